"""From entry dicts to rows: an upsert by id inside the caller's transaction. A closed row is never reopened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import models, transaction
from django.db.models import F

from auditlog.models import AuditEntry, RecordingState

COLUMNS = {field.name: field for field in AuditEntry._meta.fields}
CHANGING = [name for name in COLUMNS if name != "id"]


@dataclass(frozen=True, slots=True)
class StoreResult:
    """How many rows were made or changed, and how many entries said nothing new."""

    stored: int
    duplicates: int


def store_entries(entries: Sequence[Mapping[str, Any]]) -> StoreResult:
    """Stores `entries` in order: open, live, close. What comes after a close is dropped."""
    merged: dict[str, dict[str, Any]] = {}
    for entry in entries:
        known = merged.get(str(entry["id"]), {})
        if known.get("outcome") is None:
            merged[str(entry["id"])] = known | dict(entry)
    if not merged:
        return StoreResult(0, len(entries))
    with transaction.atomic():
        existing = {str(row.id): row for row in AuditEntry.objects.filter(id__in=merged)}
        made, changed = [], []
        for key, entry in merged.items():
            row = existing.get(key)
            if row is None:
                made.append(_filled(AuditEntry(id=key), entry))
            elif row.outcome is None:
                changed.append(_filled(row, entry))
        made = _kept(made)
        AuditEntry.objects.bulk_create(made)
        if changed:
            AuditEntry.objects.bulk_update(changed, CHANGING, batch_size=100)
    return StoreResult(len(made) + len(changed), len(entries) - len(made) - len(changed))


def _kept(rows: list[AuditEntry]) -> list[AuditEntry]:
    """Those that the recording state lets in; what it leaves out is counted."""
    state = RecordingState.current()
    if not state.enabled or state.paused:
        RecordingState.objects.filter(pk=1).update(dropped=F("dropped") + len(rows))
        return []
    if state.sampling >= 1:
        return rows
    # the record's own random bits decide, so that a replay decides the same
    kept = [row for row in rows if row.outcome != "completed" or int(str(row.id)[-8:], 16) / 2**32 < state.sampling]
    RecordingState.objects.filter(pk=1).update(sampled=F("sampled") + len(rows) - len(kept))
    return kept


def _filled(row: AuditEntry, entry: Mapping[str, Any]) -> AuditEntry:
    for name, value in entry.items():
        field = COLUMNS.get(name)
        if field is None or name == "id":
            continue
        if name == "time":
            value = datetime.fromtimestamp(float(value), UTC)
        elif isinstance(field, models.CharField) and isinstance(value, str):
            value = value[: field.max_length]
        setattr(row, name, value)
    return row
