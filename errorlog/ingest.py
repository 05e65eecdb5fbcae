"""From event dicts to rows: idempotent by id, inside the caller's transaction, one update per group and batch.

Only this module makes events and counts them, one writer at a time, so that `sequence` is in commit order and a reader's
cursor never passes an event that is still to come.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Max, Min
from django.utils import timezone

from errorlog import counting, options, retention, signature
from errorlog.arrival import take_arrival_lock
from errorlog.models import UNDECIDED, ErrorEvent, ErrorGroup, SeenVersion
from errorlog.redaction import redact, storable

LONGEST_MESSAGE = 16_000
LONGEST_STACK = 64_000
SOURCES = frozenset({"main", "server", "external", "renderer"})
TIDY_SECONDS = 600.0  # how often a process looks for counts that became too old
OUR_FAULT, NOBODYS_FAULT = "relay", "unknown"  # of events that do not say: those of our own code, and reports from outside


@dataclass(frozen=True, slots=True)
class StoreResult:
    """How many events were new, how many were there already, and in how many groups the new ones are."""

    stored: int
    duplicates: int
    groups: int = 0


def store_events(events: Sequence[Mapping[str, Any]]) -> StoreResult:
    """Stores what is new of `events` in the order given, and counts it in its groups (drills apart).

    Raises:
        ValueError: an event's id is no UUID.
    """
    if not events or not options.enabled():
        return StoreResult(0, 0)
    with transaction.atomic():
        take_arrival_lock()
        first_of_id: dict[uuid.UUID, Mapping[str, Any]] = {}
        for event in events:
            first_of_id.setdefault(uuid.UUID(str(event["id"])), event)
        known = set(ErrorEvent.objects.filter(id__in=first_of_id).values_list("id", flat=True))
        rows, parts = [], []
        for key, event in first_of_id.items():
            if key not in known:
                clean = storable(redact(dict(event)))
                rows.append(_row(key, clean))
                parts.append(None if rows[-1].drill else _parts(clean))
        groups = _groups(rows, parts)
        for row, mine in zip(rows, parts, strict=True):
            if mine is not None:
                _number(row, groups[signature.signature_of(mine)])
        ErrorEvent.objects.bulk_create(rows)
        _note_versions(rows)
        _settle(groups.values(), rows)
        _tidy()
    return StoreResult(len(rows), len(events) - len(rows), len(groups))


_tidied = time.monotonic()


def _tidy() -> None:
    """Lets hourly counts go that no page draws, now and then and a few at a time: the writer never waits for long."""
    global _tidied
    if time.monotonic() - _tidied > TIDY_SECONDS:
        _tidied = time.monotonic()
        retention.delete_old_hours(timezone.now() - retention.DRAWN)


def store_directly(event: Mapping[str, Any]) -> None:
    """The writer of a project that has no journal: one event, at once."""
    store_events([event])


def _row(key: uuid.UUID, event: Mapping[str, Any]) -> ErrorEvent:
    context = event.get("context")
    context = context if isinstance(context, dict) else {} if context is None else {"context": context}
    source = str(event.get("source") or "server")
    return ErrorEvent(
        id=key,
        time=_when(event.get("time")),
        name=str(event.get("name") or "Error")[:200],
        message=_cut(event.get("message"), LONGEST_MESSAGE),
        stack=_cut(event.get("stack"), LONGEST_STACK),
        source=source if source in SOURCES else "external",
        version=str(event.get("version") or "unknown")[:50],
        platform=str(event.get("platform") or "")[:100],
        context=context,
        request_id=str(event.get("request_id") or context.get("request_id") or "")[:128],
        fault=str(context.get("fault") or (NOBODYS_FAULT if source == "external" else OUR_FAULT))[:20],
        drill=bool(event.get("drill")),
    )


def _when(given: Any) -> datetime:
    try:
        return datetime.fromtimestamp(float(given), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return timezone.now()


def _cut(given: Any, longest: int) -> str:
    """A text that is too long loses its middle: what failed stands at one of its ends."""
    text = "" if given is None else str(given)
    return text if len(text) <= longest else f"{text[: longest // 2]}\n…\n{text[-longest // 2 + 3 :]}"


def _parts(event: Mapping[str, Any]) -> list[str]:
    return signature.parts_of(event, options.own_modules())


def _groups(rows: Sequence[ErrorEvent], parts: Sequence[list[str] | None]) -> dict[str, ErrorGroup]:
    """The groups of `rows` by signature, locked; those that are missing are made."""
    wanted = {signature.signature_of(mine): (mine, row) for mine, row in zip(parts, rows, strict=True) if mine is not None}
    found = {group.signature: group for group in ErrorGroup.objects.select_for_update().filter(signature__in=wanted)}
    missing = [
        ErrorGroup(
            signature=key,
            signature_version=signature.VERSION,
            parts=mine,
            name=row.name,
            title=" · ".join(part for part in mine if part)[:500],
            source=row.source,
            cause=str(row.context.get("cause") or "")[:50],
            upstream=str(row.context.get("provider") or "")[:200],
            fault=row.fault,
            first_seen=row.time,
            last_seen=row.time,
        )
        for key, (mine, row) in wanted.items()
        if key not in found
    ]
    ErrorGroup.objects.bulk_create(missing)
    return found | {group.signature: group for group in missing}


def _note_versions(rows: Sequence[ErrorEvent]) -> None:
    first: dict[str, datetime] = {}
    for row in rows:
        if not row.drill and row.version != "unknown":
            first[row.version] = min(first.get(row.version, row.time), row.time)
    SeenVersion.objects.bulk_create(
        [SeenVersion(version=name, first_seen=at) for name, at in first.items()], ignore_conflicts=True
    )


def _number(row: ErrorEvent, group: ErrorGroup) -> None:
    """Gives `row` its place in `group`. The group in memory is ahead of its row until `_settle`."""
    group.count += 1
    group.kept += 1
    row.group, row.number, row.client_before = group, group.count, group.client_count
    group.client_count += row.fault == "client"
    group.first_seen = min(group.first_seen, row.time)
    group.last_seen = max(group.last_seen, row.time)


def _settle(groups: Any, rows: Sequence[ErrorEvent]) -> None:
    """Counts what is new in each group, wakes those that it wakes, thins those that hold too much: one update each."""
    by_group: dict[int, list[ErrorEvent]] = {}
    for row in rows:
        if row.group_id is not None:
            by_group.setdefault(row.group_id, []).append(row)
    counting.count_hours(by_group)
    values = counting.count_values(by_group)
    for group in groups:
        mine = by_group[group.pk]
        group.last_sequence = mine[-1].sequence
        group.fault = values[group.pk].dominant("fault")
        group.cause = values[group.pk].dominant("cause")
        group.upstream = values[group.pk].dominant("upstream")
        group.keys_hit = values[group.pk].number_of("client_key")
        retention.keep_to_quota(group, options.events_per_group())
        fields = {name: getattr(group, name) for name in _COUNTED}
        ErrorGroup.objects.filter(pk=group.pk).update(**fields, **_woken(group, mine))


_COUNTED = (
    *("count", "client_count", "kept", "keys_hit", "first_seen", "last_seen"),
    *("last_sequence", "fault", "cause", "upstream"),
)


def _woken(group: ErrorGroup, rows: Sequence[ErrorEvent]) -> dict[str, object]:
    """What new events change about a decision that was made for the group."""
    if group.status == ErrorGroup.Status.RESOLVED and any(_contradicts(group, row) for row in rows):
        return {**UNDECIDED, "status": ErrorGroup.Status.UNRESOLVED, "regressed": True}
    if group.status == ErrorGroup.Status.MUTED and _mute_is_over(group):
        return {**UNDECIDED, "status": ErrorGroup.Status.UNRESOLVED}
    return {}


def _contradicts(group: ErrorGroup, row: ErrorEvent) -> bool:
    """Whether an event shows that a resolved group is not: a later one, and of a later version if one was meant."""
    if group.resolved_at is not None and row.time < group.resolved_at:
        return False  # it happened before, and only arrived after
    return not group.resolved_version or _is_later(row.version, group.resolved_version)


def _is_later(version: str, than: str) -> bool:
    """Whether `version` comes after `than`; one that cannot be compared does, unless it is the same."""
    numbers = [[int(part) for part in re.findall(r"\d+", text)] for text in (version, than)]
    return version != than if not all(numbers) else numbers[0] > numbers[1]


def _mute_is_over(group: ErrorGroup) -> bool:
    if group.muted_until is not None and group.muted_until <= timezone.now():
        return True
    if group.muted_events is None:
        return False
    since = ErrorEvent.objects.filter(group=group, number__gt=group.muted_count)
    if group.muted_seconds is not None:
        since = since.filter(time__gte=timezone.now() - timedelta(seconds=group.muted_seconds))
    ends = since.aggregate(first=Min("number"), last=Max("number"))  # by numbers: retention may have thinned the rows
    return ends["last"] is not None and ends["last"] - ends["first"] + 1 >= group.muted_events
