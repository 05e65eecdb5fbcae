"""What crosses the two log apps: which error event belongs to which audit entry, and how far behind the rows are.

The apps name this module in their settings and know nothing of each other. A figure that cannot be had now is None:
a page lacks a panel rather than failing.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from django.db import Error as DatabaseError
from django.db.models import Sum
from django.urls import reverse
from django.utils import timezone

from auditlog.models import AuditEntry, HourlyCount
from errorlog.models import ErrorEvent
from relay import journal, stopping
from relay.close_record import NO_REQUEST
from relay.ending import Cause, Fault, Outcome, Phase
from relay.models import ConfigVersion, JournalCheckpoint
from relay.shipper.segments import JournalReader, Position, journals

SAMPLE = 500  # entries that are looked at for a comparison
WATCHED_FOR = 9.0  # seconds that a look at the streams in flight lasts

_watched = -WATCHED_FOR  # when this process last said that somebody looks; once is enough for all pages


def error_of_entry(request_id: str) -> dict[str, Any] | None:
    """The error event of the same request: what the audit entry's page shows and links to."""
    event = ErrorEvent.objects.filter(request_id=request_id).order_by("id").last() if _named(request_id) else None
    if event is None:
        return None
    address = reverse("admin:errorlog_errorgroup_change", args=[event.group_id]) if event.group_id else ""
    return {"id": str(event.id), "name": event.name, "message": event.message, "url": address}


def entry_of_error(request_id: str) -> dict[str, Any] | None:
    """The audit entry of the same request: what the error event's page shows and links to."""
    entries = AuditEntry.objects.filter(request_id=request_id, direction="ingress").order_by("id")
    entry = entries.last() if _named(request_id) else None
    if entry is None:
        return None
    address = reverse("admin:auditlog_auditentry_change", args=[entry.pk])
    return {"id": str(entry.pk), "outcome": entry.outcome, "cause": entry.cause, "url": address}


def requests_by_upstream(since: datetime) -> dict[str, int]:
    """Requests of clients that ended since then, by upstream ("" where none was asked): what a rate is a rate of."""
    rows = HourlyCount.objects.filter(hour__gte=since).values_list("provider").annotate(total=Sum("count"))
    return dict(rows.order_by())


def completed_sample(upstream: str, since: datetime) -> list[dict[str, Any]]:
    """Completed streams of an upstream since then, the newest few hundred of them: what a broken one is compared with."""
    entries = AuditEntry.objects.filter(provider=upstream, direction="ingress", drill=False, time__gte=since)
    columns = ("outcome", "model", "credential", "client_key", "tag", "evidence")
    rows = entries.order_by("-time", "-id").values(*columns)[:SAMPLE]
    return [row | {"evidence": row["evidence"] or {}} for row in rows if row["outcome"] == "completed"]


def newest_ending() -> datetime | None:
    """When the last request ended that was recorded: how fresh what the pages show is."""
    return AuditEntry.objects.filter(outcome__isnull=False).order_by("-time", "-id").values_list("time", flat=True).first()


def end_stream(request_id: str) -> bool:
    """Has a request in flight end, in whichever process of the gateway it runs. False where it has no id of its own."""
    if not _named(request_id):
        return False
    stopping.order(request_id)
    return True


def capture(on: bool) -> None:
    """Has every process keep what clients ask and are sent from now on, or no longer."""
    ConfigVersion.set_capture(on)


def watch_streams() -> None:
    """Somebody looks at the streams in flight: for some seconds every process tells of its own more often."""
    global _watched
    if time.monotonic() - _watched > WATCHED_FOR / 3:
        _watched = time.monotonic()
        ConfigVersion.watch(timezone.now() + timedelta(seconds=WATCHED_FOR))


def vocabulary() -> dict[str, tuple[str, ...]]:
    """All words that an ending is told in, by the field that has them."""
    return {"outcome": tuple(Outcome), "cause": tuple(Cause), "phase": tuple(Phase), "fault": tuple(Fault)}


def journal_lag() -> float | None:
    """Seconds that the oldest line on this machine's disk has waited for its row; 0 when all are shipped."""
    folders = journals(journal.root())
    try:
        places = {
            row.journal: Position(row.segment, row.offset)
            for row in JournalCheckpoint.objects.filter(journal__in=[folder.name for folder in folders], done=False)
        }
    except DatabaseError:
        return None
    waiting = []
    for folder in folders:
        reader = JournalReader(folder)
        reader.go_to(places.get(folder.name))
        try:
            waiting += [line.at for line in reader.peek(1).lines]
        finally:
            reader.release()
    return max(time.time() - min(waiting), 0.0) if waiting else 0.0


def _named(request_id: str) -> bool:
    """Whether it is one request's id: records made with no request at hand share one."""
    return bool(request_id) and request_id != NO_REQUEST
