"""The Audit view in the admin: the list, the page of one entry, exports, and what is recorded.

What must stay true: entries are read-only here, whoever asks; no page counts entries or skips over them. Django's own
change list does both, which is why the views are written out. Whoever may view sees; what changes anything has a
permission of its own and is a POST.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from auditlog import exporting, live, neighbours, pages, retention
from auditlog.changing import change
from auditlog.finding import Found
from auditlog.forms import RecordingForm
from auditlog.listing import found_by, listing, view_of
from auditlog.models import AuditEntry, RecordingState

FORMATS: dict[str, tuple[str, Callable[[Found], AsyncIterator[str]]]] = {
    "csv": ("text/csv; charset=utf-8", exporting.comma_separated),
    "jsonl": ("application/jsonl; charset=utf-8", exporting.json_lines),
}


@admin.register(AuditEntry)
class AuditEntryAdmin(admin.ModelAdmin):
    """Every request, newest first; a row opens on its ending and its evidence."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: AuditEntry | None = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        def page(view: Callable[..., HttpResponseBase], address: str, name: str) -> URLPattern:
            return path(address, self.admin_site.admin_view(view), name=f"auditlog_auditentry_{name}")

        return [
            page(require_POST(self.recording_view), "recording/", "recording"),
            page(require_POST(self.end_view), "end/", "end"),
            page(self.clear_view, "clear/", "clear"),
            page(self.export_view, "export/", "export"),
            page(self.inside_view, "<path:object_id>/inside/", "inside"),
            *super().get_urls(),
        ]

    # ---- reading

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        self._must(request, "view_auditentry")
        if "terms" in request.GET:  # the form sends its chips apart from what was typed; the address has them as one
            words = f"{request.GET['terms']} {request.GET.get('q', '')}"
            return HttpResponseRedirect(view_of({"q": words, "direction": request.GET.get("direction", "")}).address)
        context = {
            **self.admin_site.each_context(request),
            "title": "Audit",
            "opts": self.opts,
            **pages.list_page(listing(request.GET.dict()), request.user, everything=request.GET.get("inflight") == "all"),
            "live_address": live.ADDRESS,
        }
        return TemplateResponse(request, "admin/auditlog/auditentry/change_list.html", context | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._must(request, "view_auditentry")
        entry = self._entry(object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": entry.request_id or str(entry.pk),
            "opts": self.opts,
            **pages.entry_page(entry, request.user, request.build_absolute_uri("/").rstrip("/")),
        }
        return TemplateResponse(request, "admin/auditlog/auditentry/change_form.html", context | (extra_context or {}))

    def inside_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """What unfolds under a row: the verdict and the timeline."""
        self._must(request, "view_auditentry")
        context = pages.inside(self._entry(object_id))
        return TemplateResponse(request, "admin/auditlog/auditentry/inside.html", context)

    def export_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """The filtered set as a file."""
        self._must(request, "view_auditentry")
        kind = request.GET.get("format", "")
        view = view_of(request.GET.dict())
        if kind not in FORMATS or view.error:
            return HttpResponse(view.error or "the format is csv or jsonl", status=400, content_type="text/plain; charset=utf-8")
        content_type, lines = FORMATS[kind]
        answer = StreamingHttpResponse(lines(found_by(view)), content_type=content_type)
        answer["Content-Disposition"] = f'attachment; filename="audit-{timezone.now():%Y%m%d-%H%M%S}.{kind}"'
        answer["Cache-Control"] = "no-store"
        return answer

    def history_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        raise Http404("an entry has no history: nobody can change it")

    # ---- acting

    def recording_view(self, request: HttpRequest) -> HttpResponse:
        """Pauses recording, goes on with it, or changes what is kept."""
        self._must(request, "change_recordingstate")
        asked = request.POST.get("set", "")
        if asked in ("pause", "resume"):
            change({"paused": True} if asked == "pause" else {"enabled": True, "paused": False})
            said = "Recording is paused; what is left out is counted." if asked == "pause" else "Recording goes on."
        else:
            form = RecordingForm(request.POST, instance=RecordingState.current())
            if not form.is_valid():
                for name, errors in form.errors.items():
                    messages.error(request, f"{form.fields[name].label}: {' '.join(map(str, errors))} Nothing was changed.")
                return self._back(request)
            gone = change(form.asked())
            said = f"Saved. {gone:,} entries had to go." if gone else "Saved."
        self._note(request, None, CHANGE, said)
        messages.success(request, said)
        return self._back(request)

    def end_view(self, request: HttpRequest) -> HttpResponse:
        """Ends a stream in flight, in whichever process it runs."""
        self._must(request, "end_stream")
        entry = self._entry(request.POST.get("entry", ""))
        if not entry.is_open:
            messages.warning(request, f"{entry} had ended already: {entry.outcome}.")
        elif neighbours.end_stream(entry.request_id):
            self._note(request, entry, CHANGE, "Asked for the stream to be ended.")
            messages.success(request, f"{entry} is being ended; its client gets an error event.")
        else:
            messages.error(request, f"{entry} could not be ended: nothing here can reach it.")
        return self._back(request)

    def clear_view(self, request: HttpRequest) -> HttpResponse:
        """Deletes all entries, once that was confirmed."""
        self._must(request, "delete_auditentry")
        if request.method == "POST":
            said = f"{retention.clear():,} entries were deleted."
            self._note(request, None, DELETION, said)
            messages.success(request, said)
            return HttpResponseRedirect(reverse("admin:auditlog_auditentry_changelist"))
        context = {
            **self.admin_site.each_context(request),
            "title": "Delete all audit entries",
            "opts": self.opts,
            "state": RecordingState.current(),
        }
        return TemplateResponse(request, "admin/auditlog/auditentry/clear.html", context)

    # ---- for all of them

    def _must(self, request: HttpRequest, codename: str) -> None:
        if not request.user.has_perm(f"auditlog.{codename}"):
            raise PermissionDenied

    def _entry(self, object_id: str) -> AuditEntry:
        try:
            return AuditEntry.objects.get(pk=object_id)
        except (AuditEntry.DoesNotExist, ValidationError, ValueError):
            raise Http404("there is no such entry; it may have made room for newer ones") from None

    def _note(self, request: HttpRequest, entry: AuditEntry | None, flag: int, said: str) -> None:
        """Who did what, in the admin's own log: an audit log without one of its own would be odd."""
        assert request.user.is_authenticated
        LogEntry.objects.create(
            user_id=request.user.pk,
            content_type=None,
            object_id=None if entry is None else str(entry.pk),
            object_repr=f"Audit: {entry or 'recording'}"[:200],
            action_flag=flag,
            change_message=said,
        )

    def _back(self, request: HttpRequest) -> HttpResponse:
        """To the list as it was: the form says with which query it was shown."""
        query = request.POST.get("back", "")
        return HttpResponseRedirect(reverse("admin:auditlog_auditentry_changelist") + (query if query.startswith("?") else ""))
