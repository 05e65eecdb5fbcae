"""How entries go: by capacity, by age, by hand. Every deletion of entries is in this file.

What must stay true: the state's `size` follows each deletion in the same transaction; a request in flight is never
trimmed; each step is small, so that the writer waits for none of them for long.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence

from django.db import connections, router, transaction
from django.db.models import F
from django.utils import timezone

from auditlog import recording
from auditlog.models import AuditEntry, HourlyCount, LeftOut, RecordingState

STEP = 2_000  # rows a transaction: some tens of milliseconds
YOUNG = dt.timedelta(hours=1)  # a journal that is read again is younger than this


def trim_to_capacity(capacity: int, progress: Callable[[int], None] = lambda _: None) -> int:
    """Deletes the oldest entries until `capacity` are left, and says how many went."""
    gone = 0
    while True:
        excess = RecordingState.current().size - capacity
        step = delete_oldest(min(excess, STEP)) if excess > 0 else 0
        if not step:
            return gone
        gone += step
        progress(step)


def trim_older_than(before: dt.datetime, progress: Callable[[int], None] = lambda _: None) -> int:
    """Deletes what was received before `before`, and says how many entries went."""
    gone = 0
    while step := delete_oldest(STEP, before):
        gone += step
        progress(step)
    return gone


def delete_oldest(most: int, before: dt.datetime | None = None) -> int:
    """Deletes up to `most` of the oldest closed entries, in one transaction, and says how many went."""
    with transaction.atomic():
        closed = AuditEntry.objects.filter(outcome__isnull=False) if before is None else AuditEntry.objects.closed_before(before)
        rows = list(closed.order_by("time", "id").values_list("id", "time")[:most])
        remember_left_out([pk for pk, time in rows if time > timezone.now() - YOUNG])
        return delete_rows([pk for pk, _ in rows])


def delete_rows(ids: Sequence[uuid.UUID]) -> int:
    """Deletes these entries inside the caller's transaction."""
    if not ids:
        return 0
    gone = AuditEntry.objects.filter(pk__in=ids).delete()[0]
    RecordingState.objects.filter(pk=RecordingState.ONLY).update(size=F("size") - gone)
    return gone


def forget_payloads(before: dt.datetime) -> int:
    """Takes the captured payloads from entries received before `before`, step by step, and says from how many."""
    captured = AuditEntry.objects.filter(payloads__isnull=False, time__lt=before).order_by("time", "id")
    gone = 0
    while ids := list(captured.values_list("id", flat=True)[:STEP]):
        gone += AuditEntry.objects.filter(pk__in=ids).update(payloads=None)
    return gone


def clear() -> int:
    """Deletes every entry and resets what was counted as left out. The hourly counts stay: rates rest on them."""
    using = router.db_for_write(AuditEntry)
    with transaction.atomic(using=using):
        state = RecordingState.current()
        if connections[using].vendor == "postgresql":
            # Ten million rows at once: a DELETE there leaves them all to be vacuumed. Its lock comes first, as the writer's does.
            with connections[using].cursor() as cursor:
                cursor.execute(f"TRUNCATE {connections[using].ops.quote_name(AuditEntry._meta.db_table)}")
            state.refresh_from_db()
            gone = state.size
        else:
            gone = AuditEntry.objects.all().delete()[0]  # without a condition SQLite drops the pages whole
        RecordingState.objects.filter(pk=RecordingState.ONLY).update(size=F("size") - gone, dropped=0, sampled=0)
    recording.forget()
    return gone


def remember_left_out(ids: Sequence[uuid.UUID]) -> None:
    """Notes that these closed requests have no row, so that a journal read again does not bring them back."""
    now = timezone.now()
    LeftOut.objects.bulk_create((LeftOut(id=pk, at=now) for pk in ids), ignore_conflicts=True)


def forget_the_rest() -> None:
    """Forgets what no journal can bring again, and counts of hours that no page shows any more."""
    now = timezone.now()
    LeftOut.objects.filter(at__lt=now - LeftOut.KEPT).delete()
    HourlyCount.objects.filter(hour__lt=now - HourlyCount.KEPT).delete()
