"""The Errors tab: groups, and the latest event of each. Everything that came from outside is escaped by the templates."""

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from errorlog.models import ErrorEvent, ErrorGroup, ReadCursor


@admin.register(ErrorGroup)
class ErrorGroupAdmin(admin.ModelAdmin):
    list_display = ["title", "fault", "count", "first_seen", "last_seen", "status", "regressed"]
    list_filter = ["status", "fault", "name", "source"]
    search_fields = ["title", "name", "events__request_id", "events__message"]
    readonly_fields = [
        "name",
        "title",
        "why_grouped",
        "fault",
        "count",
        "first_seen",
        "last_seen",
        "regressed",
        "request",
        "message",
        "context",
        "stack",
    ]
    fields = ["status", *readonly_fields]
    actions = ["resolve", "ignore", "mark_all_read"]
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="Why grouped")
    def why_grouped(self, group: ErrorGroup) -> str:
        return " · ".join(str(part) for part in group.parts)

    @admin.display(description="Request of the latest event")
    def request(self, group: ErrorGroup) -> str:
        event = group.sample
        if event is None or not event.request_id:
            return "–"
        address = reverse("admin:auditlog_auditentry_changelist")
        return format_html('<a href="{}?q={}">{}</a>', address, event.request_id, event.request_id)

    @admin.display(description="Latest message")
    def message(self, group: ErrorGroup) -> str:
        return group.sample.message if group.sample else ""

    @admin.display(description="Context")
    def context(self, group: ErrorGroup) -> str:
        return format_html("<pre>{}</pre>", json.dumps(group.sample.context if group.sample else {}, indent=2))

    @admin.display(description="Stack")
    def stack(self, group: ErrorGroup) -> str:
        return format_html("<pre>{}</pre>", (group.sample.stack if group.sample else "") or "none")

    @admin.action(description="Resolve")
    def resolve(self, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> None:
        groups.update(status=ErrorGroup.Status.RESOLVED, regressed=False)

    @admin.action(description="Ignore")
    def ignore(self, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> None:
        groups.update(status=ErrorGroup.Status.IGNORED)

    @admin.action(description="Mark all read")
    def mark_all_read(self, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> Any:
        last = ErrorEvent.objects.order_by("-sequence").values_list("sequence", flat=True).first() or 0
        ReadCursor.objects.update_or_create(reader=f"user:{request.user.pk}", defaults={"sequence": last})
        return HttpResponseRedirect(request.get_full_path())
