"""The Errors tab: groups, and behind each its events, one at a time.

Only presents, and passes on what a person decides; the rows themselves are read-only. Everything that came from outside
is escaped, by the templates or by `format_html`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from errorlog import clearing, presenting, reading, search
from errorlog.filters import PeriodFilter, StateFilter, value_filter
from errorlog.models import ErrorEvent, ErrorGroup

LIST = "admin:errorlog_errorgroup_changelist"
DECISIONS: dict[str, tuple[str, Callable[[Any], int]]] = {
    "resolve": ("Resolve", lambda groups: groups.resolve()),
    "resolve_next": ("Resolve from next version", lambda groups: groups.resolve(next_version=True)),
    "mute_hour": ("Mute for 1 hour", lambda groups: groups.mute(until=timezone.now() + timedelta(hours=1))),
    "mute_day": ("Mute for 24 hours", lambda groups: groups.mute(until=timezone.now() + timedelta(days=1))),
    "mute_hundred": ("Mute until 100 events in an hour", lambda groups: groups.mute(events=100, seconds=3600)),
    "ignore": ("Ignore", lambda groups: groups.ignore()),
    "reopen": ("Reopen", lambda groups: groups.reopen()),
}


def reader_of(request: HttpRequest) -> str:
    return f"user:{request.user.pk}"


class GroupList(ChangeList):
    """The page's groups, with their figures from a few queries for all of them."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        self.result_list = list(self.result_list)
        figures = presenting.figures_of(self.result_list, reader_of(request))
        for group in self.result_list:
            group.figures = figures[group.pk]


@admin.register(ErrorGroup)
class ErrorGroupAdmin(admin.ModelAdmin):
    list_display = ["group", "fault_shown", "last_24_hours", "count", "keys_hit", "last_seen", "first_seen"]
    list_display_links = None
    list_filter = [
        StateFilter,
        ("name", admin.AllValuesFieldListFilter),
        *(value_filter(name) for name in ("cause", "phase", "fault", "model", "upstream", "credential", "client_key")),
        PeriodFilter,
    ]
    search_fields = ["name"]  # makes the search box; errorlog.search searches
    search_help_text = "Words, a request id, and pairs such as cause:eof model:gpt-5 -fault:client"
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
        extra = {
            "title": "Errors",
            "unread_events": reading.unread_total(reader_of(request)),
            "may_delete": self.has_delete_permission(request),
        }
        return super().changelist_view(request, {**extra, **(extra_context or {})})

    @admin.display(description="Group", ordering="name")
    def group(self, group: Any) -> str:
        figures: presenting.GroupFigures = group.figures
        return format_html(
            '<a href="{}"><strong>{}</strong></a> {} {}{}<br>{}',
            reverse("admin:errorlog_errorgroup_change", args=[group.pk]),
            group.name,
            format_html("<code>{}</code>", group.cause) if group.cause else "",
            format_html_join("", "<em>{}</em> ", ((chip,) for chip in figures.chips)),
            format_html(" <b>{} unread</b>", figures.unread) if figures.unread else "",
            " · ".join(figures.where) or group.title.removeprefix(group.name).strip(" ·"),
        )

    @admin.display(description="Fault", ordering="fault")
    def fault_shown(self, group: ErrorGroup) -> str:
        return group.fault or "–"

    @admin.display(description="24 h")
    def last_24_hours(self, group: Any) -> int:
        return group.figures.day

    # what a person decides

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = {"mark_read": (_mark_read, "mark_read", "Mark read")}
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
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "groups": groups[:20],
            "group_count": groups.count(),
            "event_count": sum(groups.values_list("count", flat=True)),
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
        older, newer = presenting.neighbours(event) if event else (None, None)
        tops = presenting.top_values([group.pk], presenting.PROPERTIES)[group.pk]
        context = {
            **self.admin_site.each_context(request),
            "title": group.title,
            "opts": self.opts,
            "original": group,
            "group": group,
            "figures": presenting.figures_of([group], reader_of(request))[group.pk],
            "event": event,
            "older": older,
            "newer": newer,
            "context_rows": presenting.context_rows(event) if event else [],
            "entry": presenting.entry_of(event) if event else None,
            "markdown": presenting.as_markdown(group, event) if event else "",
            "json": presenting.as_json(event) if event else "",
            "tops": [(name, tops[name][:5]) for name in presenting.PROPERTIES if tops[name]],
            "decisions": [(name, shown) for name, (shown, _) in DECISIONS.items()],
            "may_change": self.has_change_permission(request, group),
            "may_delete": self.has_delete_permission(request, group),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/errorlog/errorgroup/change_form.html", context)

    def _carry_out(self, request: HttpRequest, group: ErrorGroup) -> HttpResponse:
        name = request.POST.get("decision", "")
        if name == "mark_read":
            reading.mark_groups_read(reader_of(request), [group.pk])
            return HttpResponseRedirect(request.get_full_path())
        if name not in DECISIONS or not self.has_change_permission(request, group):
            raise PermissionDenied
        DECISIONS[name][1](ErrorGroup.objects.filter(pk=group.pk))
        messages.success(request, f"{DECISIONS[name][0]}: done.")
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
        messages.success(request, f"{DECISIONS[name][0]}: {changed} groups.")

    return action


def _mark_read(model_admin: Any, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> None:
    reading.mark_groups_read(reader_of(request), list(groups.values_list("pk", flat=True)))


def _delete(model_admin: ErrorGroupAdmin, request: HttpRequest, groups: QuerySet[ErrorGroup]) -> HttpResponse | None:
    chosen = ErrorGroup.objects.filter(pk__in=list(groups.values_list("pk", flat=True)))
    if not request.POST.get("confirmed"):
        return model_admin._confirm(request, "Delete these groups", chosen, action="delete_groups")
    messages.success(request, f"{clearing.delete_groups(list(chosen.values_list('pk', flat=True))):,} events deleted.")
    return None
