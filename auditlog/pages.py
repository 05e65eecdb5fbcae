"""What the templates of the Audit view are given. Reads the database; decides nothing and formats nothing."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from auditlog import neighbours, presenting
from auditlog.entries import Place
from auditlog.forms import RecordingForm
from auditlog.inflight import in_flight
from auditlog.listing import PAGE_SIZE, Listing, menus, relaxed
from auditlog.models import AuditEntry, RecordingState
from auditlog.rows import mark, row
from proxy_project.drawing import timeline
from proxy_project.phases import mapping

ACTS = ("end_stream", "change_recordingstate", "delete_auditentry", "view_payloads")


def list_page(view: Listing, user: Any, everything: bool = False) -> dict[str, Any]:
    """The list, the strip above it, and the state of recording."""
    state = RecordingState.current()
    return {
        "view": view,
        "costs": any(entry.cost is not None for entry in view.entries),
        "currency": settings.CURRENCY,
        "rows": [row(view, entry) for entry in view.entries],
        "menus": menus(view),
        "relaxed": relaxed(view) if not view.entries and not view.error else [],
        "flight": in_flight(everything),
        "form": RecordingForm(instance=state),
        "page_size": PAGE_SIZE,
        **recording(state),
        **permitted(user),
    }


def recording(state: RecordingState | None = None) -> dict[str, Any]:
    """What is recorded, what was left out, and how far the rows are behind."""
    state = state or RecordingState.current()
    return {
        "state": state,
        "recording": state.enabled and not state.paused,
        "percent": f"{state.sampling * 100:g}",
        "lag": neighbours.journal_lag(),
    }


def permitted(user: Any) -> dict[str, bool]:
    """Which acts the page offers."""
    return {f"may_{name}": user.has_perm(f"auditlog.{name}") for name in ACTS}


def inside(entry: AuditEntry) -> dict[str, Any]:
    """The verdict and the timeline of one entry."""
    evidence = mapping(entry.evidence)
    return {
        "entry": entry,
        "mark": mark(entry),
        "verdict": presenting.verdict_of(entry),
        "timeline": timeline(
            evidence,
            outcome=entry.outcome or "",
            cause=entry.cause or "",
            fault=mark(entry).fault,
            ident=f"tl-{entry.pk}",
            subject=entry.request_id,
        ),
        "error_event": neighbours.error_of_entry(entry.request_id),
    }


def entry_page(entry: AuditEntry, user: Any, origin: str) -> dict[str, Any]:
    """The page of one entry. `origin` is the address under which clients reach us."""
    beside = AuditEntry.objects.filter(direction=entry.direction).only("id", "time")
    may = permitted(user)
    captured = mapping(entry.payloads) if may["may_view_payloads"] else {}
    return {
        **inside(entry),
        **may,
        "figures": presenting.figures(entry),
        "attempts": presenting.attempts(entry),
        "last_events": presenting.last_events(entry),
        "summary": presenting.summary(entry),
        "evidence": presenting.evidence(entry),
        "payloads": presenting.payloads(entry) if may["may_view_payloads"] else [],
        "raw": presenting.raw(entry),
        "markdown": presenting.markdown(entry),
        "curl": presenting.curl(entry, origin, str(captured.get("request") or "") if "request_bytes" not in captured else ""),
        "older": beside.older_than(Place.of(entry)).newest_first().first(),
        "newer": beside.newer_than(Place.of(entry)).order_by("time", "id").first(),
        "others": AuditEntry.objects.filter(request_id=entry.request_id).exclude(pk=entry.pk).newest_first()[:10]
        if entry.request_id and entry.direction == "ingress"
        else [],
    }
