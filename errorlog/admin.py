"""The Errors tab: groups, and behind each its events, one at a time.

Only passes on what a person decides and puts pages together; the rows themselves are read-only. Everything that came from
outside is escaped, by the templates or by `format_html`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Sum
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from errorlog import clearing, detail, reading, search
from errorlog.filters import PROPERTIES, KindFilter, PeriodFilter, SortFilter, StateFilter, value_filter
from errorlog.listing import GroupList, reader_of, surroundings
from errorlog.models import ErrorEvent, ErrorGroup
from errorlog.muting import PERIODS, MuteForm

LIST = "admin:errorlog_errorgroup_changelist"


def _for(**time: int) -> Callable[[Any], int]:
    return lambda groups: groups.mute(until=timezone.now() + timedelta(**time))


DECISIONS: dict[str, tuple[str, Callable[[Any], int]]] = {
    "resolve": ("Resolved", lambda groups: groups.resolve()),
    "resolve_next": ("Resolved from the next version", lambda groups: groups.resolve(next_version=True)),
    "mute_hour": ("Muted for 1 hour", _for(hours=1)),
    "mute_day": ("Muted for 24 hours", _for(days=1)),
    "mute_week": ("Muted for 7 days", _for(days=7)),
    "mute_hundred": ("Muted until 100 events in an hour", lambda groups: groups.mute(events=100, seconds=3600)),
    "ignore": ("Ignored", lambda groups: groups.ignore()),
    "reopen": ("Reopened", lambda groups: groups.reopen()),
}
MUTES = [
    ("mute_hour", "for 1 hour"),
    ("mute_day", "for 24 hours"),
    ("mute_week", "for 7 days"),
    ("mute_hundred", "until 100 events in an hour"),
]

COPIES = {
    "markdown": lambda group, event: (detail.as_markdown(group, event), "text/markdown; charset=utf-8"),
    "json": lambda group, event: (detail.as_json(event), "application/json"),
}


@admin.register(ErrorGroup)
class ErrorGroupAdmin(admin.ModelAdmin):
    list_display = ["name"]
    list_filter = [
        StateFilter,
        PeriodFilter,
        SortFilter,
        KindFilter,
        *map(value_filter, PROPERTIES),
    ]
    search_fields = ["name"]  # makes the search box; errorlog.search searches
    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        own = [
            path("clear/", view(self.clear_view), name="errorlog_errorgroup_clear"),
            path("seen/", view(self.seen_view), name="errorlog_errorgroup_seen"),
        ]
        return own + super().get_urls()

    # the list

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return GroupList

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        return search.search(queryset, search_term), False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        ErrorGroup.objects.wake()
        extra = {"title": "Errors", "mutes": MUTES, **(extra_context or {})}
        response = super().changelist_view(request, extra)
        cl = (getattr(response, "context_data", None) or {}).get("cl")
        if isinstance(cl, GroupList):
            response.context_data |= surroundings(request, cl) | {  # type: ignore[attr-defined]
                "may_change": self.has_change_permission(request),
                "may_delete": self.has_delete_permission(request),
            }
        return response

    # what a person decides

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = {"read": (_mark_read, "read", "Mark read")}
        if self.has_change_permission(request):
            for name, (shown, _) in DECISIONS.items():
                actions[name] = (_decide(name), name, shown)
        if self.has_delete_permission(request):
            actions["delete_groups"] = (_delete, "delete_groups", "Delete…")
        return actions

    def seen_view(self, request: HttpRequest) -> HttpResponse:
        """Marks everything read for this person."""
        if request.method != "POST" or not self.has_view_permission(request):
            raise PermissionDenied
        reading.mark_read(reader_of(request))
        return HttpResponseRedirect(reverse(LIST))

    def clear_view(self, request: HttpRequest) -> HttpResponse:
        """Deletes all events and groups, after a confirmation."""
        if not self.has_delete_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            messages.success(request, f"{clearing.clear():,} events deleted.")
            return HttpResponseRedirect(reverse(LIST))
        return self._confirm(request, "Clear the error log", ErrorGroup.objects.all())

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        group = self._group(request, object_id)
        if not self.has_delete_permission(request, group):
            raise PermissionDenied
        if request.method == "POST":
            messages.success(request, f"{clearing.delete_groups([group.pk]):,} events deleted.")
            return HttpResponseRedirect(reverse(LIST))
        return self._confirm(request, "Delete this group", ErrorGroup.objects.filter(pk=group.pk))

    def _confirm(self, request: HttpRequest, title: str, groups: QuerySet[ErrorGroup], action: str = "") -> HttpResponse:
        count = groups.count()
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "groups": groups[:20],
            "group_count": count,
            "more": count - 20,
            "event_count": groups.aggregate(total=Sum("count"))["total"] or 0,
            "action": action,
            "selected": list(groups.values_list("pk", flat=True)) if action else [],
        }
        return TemplateResponse(request, "admin/errorlog/errorgroup/confirm.html", context)

    # the detail

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        group = self._group(request, object_id)
        if request.method == "POST":
            return self._carry_out(request, group)
        event = self._event(group, request.GET.get("event", ""))
        if event is not None and request.GET.get("as") in COPIES:
            return HttpResponse(*COPIES[request.GET["as"]](group, event))
        context = {
            **self.admin_site.each_context(request),
            "title": f"{group.name} {group.cause}".strip(),
            "opts": self.opts,
            "original": group,
            "group": group,
            "event": event,
            **detail.page_of(group, event, reader_of(request)),
            "mutes": MUTES,
            "mute_periods": PERIODS,
            "may_change": self.has_change_permission(request, group),
            "may_delete": self.has_delete_permission(request, group),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/errorlog/errorgroup/change_form.html", context)

    def _carry_out(self, request: HttpRequest, group: ErrorGroup) -> HttpResponse:
        name = request.POST.get("action", "")
        if name == "read":
            reading.mark_groups_read(reader_of(request), [group.pk])
            return HttpResponseRedirect(request.get_full_path())
        if name not in {*DECISIONS, "mute"} or not self.has_change_permission(request, group):
            raise PermissionDenied
        if name == "mute":
            form = MuteForm(request.POST)
            if form.is_valid():
                form.mute(ErrorGroup.objects.filter(pk=group.pk))
                messages.success(request, "Muted.")
            else:
                messages.error(request, " ".join(str(word) for words in form.errors.values() for word in words))
            return HttpResponseRedirect(request.get_full_path())
        DECISIONS[name][1](ErrorGroup.objects.filter(pk=group.pk))
        messages.success(request, f"{DECISIONS[name][0]}.")
        return HttpResponseRedirect(request.get_full_path())

    def _group(self, request: HttpRequest, object_id: str) -> ErrorGroup:
        if not self.has_view_permission(request):
            raise PermissionDenied
        ErrorGroup.objects.wake()
        group = self.get_object(request, object_id)
        if group is None:
            raise Http404("There is no such group; it may have been cleared.")
        return group

    def _event(self, group: ErrorGroup, asked: str) -> ErrorEvent | None:
        mine = ErrorEvent.objects.filter(group=group)
        if asked.isascii() and asked.isdigit() and len(asked) < 19:
            found = mine.filter(sequence=int(asked)).first()
            if found is None:
                raise Http404("There is no such event any more.")
            return found
        return mine.order_by("-sequence").first()


def _decide(name: str) -> Callable[[Any, HttpRequest, QuerySet[ErrorGroup]], None]:
    def action(model_admin: Any, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> None:
        changed = DECISIONS[name][1](ErrorGroup.objects.filter(pk__in=list(groups.values_list("pk", flat=True))))
        messages.success(request, f"{DECISIONS[name][0]}: {changed} group{'' if changed == 1 else 's'}.")

    return action


def _mark_read(model_admin: Any, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> None:
    reading.mark_groups_read(reader_of(request), list(groups.values_list("pk", flat=True)))


def _delete(model_admin: ErrorGroupAdmin, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> HttpResponse | None:
    chosen = ErrorGroup.objects.filter(pk__in=list(groups.values_list("pk", flat=True)))
    if not request.POST.get("confirmed"):
        return model_admin._confirm(request, "Delete these groups", chosen, action="delete_groups")
    messages.success(request, f"{clearing.delete_groups(list(chosen.values_list('pk', flat=True))):,} events deleted.")
    return None
