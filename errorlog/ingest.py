"""From event dicts to rows: idempotent by id, one update per group and batch, inside the caller's transaction."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F

from errorlog.models import ErrorEvent, ErrorGroup
from errorlog.redaction import redact, storable

SIGNATURE_VERSION = 1
ARRIVAL_LOCK = 0x6572726F72  # PostgreSQL: sequences are in commit order while it is held
_VARIES = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\d+")


@dataclass(frozen=True, slots=True)
class StoreResult:
    """How many events were new, and how many were there already."""

    stored: int
    duplicates: int


def store_events(events: Sequence[Mapping[str, Any]]) -> StoreResult:
    """Stores what is new of `events`, and counts it in its groups (drills apart)."""
    if not settings.ERRORLOG.get("ENABLED", True) or not events:
        return StoreResult(0, 0)
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ARRIVAL_LOCK])
        fresh = {str(event["id"]): event for event in events}
        known = {str(item) for item in ErrorEvent.objects.filter(id__in=fresh).values_list("id", flat=True)}
        new = [storable(redact(dict(event))) for key, event in fresh.items() if key not in known]
        groups = _groups([event for event in new if not event.get("drill")])
        rows = [_row(event, groups) for event in new]
        ErrorEvent.objects.bulk_create(rows)
        _count(rows, groups)
    return StoreResult(len(new), len(events) - len(new))


def parts_of(event: Mapping[str, Any]) -> list[str]:
    """What makes an event the same as others: its own fingerprint, or its name and innermost stack line."""
    given = event.get("fingerprint")
    if isinstance(given, list) and given:
        return [str(part) for part in given]
    frames = [line.strip() for line in str(event.get("stack") or "").splitlines() if re.match(r"\s*(File |at )", line)]
    innermost = frames[-1] if frames else str(event.get("message") or "")[:200]
    return [str(event.get("name") or "Error"), _VARIES.sub("#", innermost)]


def signature_of(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join([str(SIGNATURE_VERSION), *parts]).encode()).hexdigest()[:32]


def _when(event: Mapping[str, Any]) -> datetime:
    return datetime.fromtimestamp(float(event["time"]), UTC)


def _groups(events: Sequence[Mapping[str, Any]]) -> dict[str, ErrorGroup]:
    wanted = {signature_of(parts): (parts, event) for event in events for parts in [parts_of(event)]}
    found = {group.signature: group for group in ErrorGroup.objects.filter(signature__in=wanted)}
    missing = [
        ErrorGroup(
            signature=signature,
            signature_version=SIGNATURE_VERSION,
            parts=parts,
            name=str(event.get("name") or "Error")[:200],
            title=str(event.get("title") or " · ".join(part for part in parts if part))[:500],
            source=str(event.get("source") or "server")[:20],
            fault=str((event.get("context") or {}).get("fault") or "")[:20],
            first_seen=_when(event),
            last_seen=_when(event),
        )
        for signature, (parts, event) in wanted.items()
        if signature not in found
    ]
    ErrorGroup.objects.bulk_create(missing)
    return found | {group.signature: group for group in missing}


def _row(event: Mapping[str, Any], groups: Mapping[str, ErrorGroup]) -> ErrorEvent:
    return ErrorEvent(
        id=event["id"],
        time=_when(event),
        name=str(event.get("name") or "Error")[:200],
        message=str(event.get("message") or ""),
        stack=str(event.get("stack") or ""),
        source=str(event.get("source") or "server")[:20],
        version=str(event.get("version") or "unknown")[:50],
        platform=str(event.get("platform") or "")[:100],
        context=event.get("context") or {},
        request_id=str(event.get("request_id") or "")[:128],
        drill=bool(event.get("drill")),
        group=None if event.get("drill") else groups[signature_of(parts_of(event))],
    )


def _count(rows: Sequence[ErrorEvent], groups: Mapping[str, ErrorGroup]) -> None:
    stored = {str(row.id): row for row in ErrorEvent.objects.filter(id__in=[row.id for row in rows])}
    for group in groups.values():
        mine = [stored[str(row.id)] for row in rows if row.group is group]
        if not mine:
            continue
        back = group.status == ErrorGroup.Status.RESOLVED
        ErrorGroup.objects.filter(pk=group.pk).update(
            count=F("count") + len(mine),
            first_seen=min(group.first_seen, *(row.time for row in mine)),
            last_seen=max(group.last_seen, *(row.time for row in mine)),
            sample=max(mine, key=lambda row: row.sequence),
            status=ErrorGroup.Status.UNRESOLVED if back else group.status,
            regressed=back or group.regressed,
        )
