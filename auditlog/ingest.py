"""The only door by which entries come in: `store_entries`, called with a batch from the journal.

What must stay true, whatever is called twice and in whatever order lines of a batch come: a record id has one row; a row
goes from open to closed once and never back; each closed request is in the hourly counts once, recorded or not; and a
batch costs the same few queries whatever its size. All of it happens inside the caller's transaction.
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connections, models, router, transaction
from django.db.models import F
from django.utils import timezone

from auditlog import columns, live, recording, retention
from auditlog.models import INGRESS, AuditEntry, HourlyCount, LeftOut, RecordingState
from auditlog.recording import Rules

BATCH = 500  # rows a statement; longer sequences are stored in several
TIDY_SECONDS = 60.0  # how often a process looks for entries that became too old
CountKey = tuple[dt.datetime, str, str, str, str]


@dataclass(slots=True)
class StoreResult:
    """What became of a batch, in record ids."""

    stored: int = 0  # rows made or brought up to date
    duplicates: int = 0  # closed before, or closed and left out before
    dropped: int = 0  # closed while recording was off
    sampled: int = 0  # normal completions that sampling left out
    trimmed: int = 0  # older entries that went to make room

    def __add__(self, other: StoreResult) -> StoreResult:
        return StoreResult(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(slots=True)
class Plan:
    """What a batch asks of the database."""

    write: list[dict[str, Any]] = field(default_factory=list)
    closed: list[dict[str, Any]] = field(default_factory=list)  # for the first time, recorded or not
    left_out: list[uuid.UUID] = field(default_factory=list)
    remove: list[uuid.UUID] = field(default_factory=list)  # open rows whose end sampling leaves out
    made: int = 0
    result: StoreResult = field(default_factory=StoreResult)


def store_entries(entries: Sequence[Mapping[str, Any]]) -> StoreResult:
    """Stores a batch: opens, live updates and closes, in the order in which they were written.

    Idempotent by record id: what was stored before changes nothing and is counted as a duplicate.

    Raises:
        columns.BadEntry: an entry cannot be a row; nothing of the batch was stored.
    """
    total = StoreResult()
    with transaction.atomic(using=router.db_for_write(AuditEntry)):
        for start in range(0, len(entries), BATCH):
            total += _store(entries[start : start + BATCH])
        total.trimmed = _make_room()
        if total.stored:
            transaction.on_commit(live.announce, using=router.db_for_write(AuditEntry), robust=True)
    return total


def count_dropped(entries: Sequence[Mapping[str, Any]]) -> None:
    """Counts requests whose ending never reached us, as if recording had been off: in the hourly counts and `dropped`.

    Not idempotent, since nothing is stored to know them by: the caller's transaction must see to it that each comes once.

    Raises:
        columns.BadEntry: an entry cannot be a row; nothing was counted.
    """
    rows = [{**_blank(), **columns.values(entry), "id": columns.record_id(entry)} for entry in entries]
    rows = [row for row in rows if row["direction"] == INGRESS and not row["drill"]]
    with transaction.atomic(using=router.db_for_write(AuditEntry)):
        _count(rows)
        RecordingState.current()
        RecordingState.objects.filter(pk=RecordingState.ONLY).update(dropped=F("dropped") + len(rows))


def _store(entries: Sequence[Mapping[str, Any]]) -> StoreResult:
    plan = _plan(_fold(entries), recording.rules())
    _upsert(AuditEntry, plan.write, "outcome IS NULL")
    retention.remember_left_out(plan.left_out)
    _count(plan.closed)
    retention.delete_rows(plan.remove)
    # The state's row last: other writers wait for it only from here to the commit.
    _note(plan)
    return plan.result


def _fold(entries: Iterable[Mapping[str, Any]]) -> dict[uuid.UUID, dict[str, Any]]:
    """One set of columns for each record id. After a close nothing more is taken."""
    folded: dict[uuid.UUID, dict[str, Any]] = {}
    for entry in entries:
        known = folded.setdefault(columns.record_id(entry), {})
        if not known.get("outcome"):
            known.update(columns.values(entry))
    return folded


def _plan(folded: dict[uuid.UUID, dict[str, Any]], rules: Rules) -> Plan:
    plan = Plan()
    ids = list(folded)
    # One query for both: a batch is mostly small, and then each query costs more than its rows.
    rows = {row["id"]: dict(row) for row in AuditEntry.objects.filter(pk__in=ids).values()}
    closed_before = {pk for pk, row in rows.items() if row["outcome"] is not None}
    closed_before.update(LeftOut.objects.filter(pk__in=ids).values_list("id", flat=True))
    blank = _blank()
    for record_id, named in folded.items():
        if record_id in closed_before:
            plan.result.duplicates += 1
            continue
        before = rows.get(record_id)
        if before is None and "time" not in named:
            raise columns.BadEntry("time", None, "seconds since 1970")
        row = {**(blank if before is None else before), **named, "id": record_id}
        _place(row, before is not None, rules, plan)
    return plan


def _place(row: dict[str, Any], known: bool, rules: Rules, plan: Plan) -> None:
    """Decides for one record. What was open when recording went off is still closed: it must not stay in flight."""
    ends = row["outcome"] is not None
    if ends and not row["drill"] and row["direction"] == INGRESS:
        plan.closed.append(row)
    if not known and not rules.on:
        if ends:
            plan.left_out.append(row["id"])
            plan.result.dropped += not row["drill"]
        return
    if ends and not row["drill"] and not rules.keeps(row["id"], row["outcome"]):
        plan.left_out.append(row["id"])
        plan.result.sampled += 1
        if known:
            plan.remove.append(row["id"])
        return
    plan.write.append(row)
    plan.result.stored += 1
    plan.made += not known


def _blank() -> dict[str, Any]:
    blank = AuditEntry()
    return {item.attname: getattr(blank, item.attname) for item in AuditEntry._meta.concrete_fields}


def _count(closed: list[dict[str, Any]]) -> None:
    counts: Counter[CountKey] = Counter()
    for row in closed:
        hour = row["time"].replace(minute=0, second=0, microsecond=0)
        provider = row["provider"] or ""
        model = (row["model"] or "") if provider else ""
        counts[hour, provider, model, row["outcome"], row["fault"] or ""] += 1
    # Sorted, so that two writers take the rows' locks in the same order and never wait for each other in a ring.
    names = ("hour", "provider", "model", "outcome", "fault")
    rows = [{**dict(zip(names, key, strict=True)), "count": count} for key, count in sorted(counts.items())]
    _upsert(HourlyCount, rows, adding="count")


def _note(plan: Plan) -> None:
    result = plan.result
    if plan.made or result.dropped or result.sampled:
        RecordingState.objects.filter(pk=RecordingState.ONLY).update(
            size=F("size") + plan.made, dropped=F("dropped") + result.dropped, sampled=F("sampled") + result.sampled
        )


_tidied = 0.0


def _make_room() -> int:
    """Lets the oldest go: at once when there are too many, and now and then when they are too old."""
    global _tidied
    rules = recording.rules()
    gone = 0
    if rules.capacity is not None:
        excess = RecordingState.current().size - rules.capacity
        # A bound, so that a lowered capacity never holds up the writer: it trims a little with each batch.
        gone = retention.delete_oldest(min(excess, 2 * retention.STEP)) if excess > 0 else 0
    if time.monotonic() - _tidied > TIDY_SECONDS:
        _tidied = time.monotonic()
        retention.forget_the_rest()
        retention.forget_payloads(timezone.now() - dt.timedelta(days=rules.payload_days))
        if rules.keep_days is not None:
            before = timezone.now() - dt.timedelta(days=rules.keep_days)
            gone += retention.delete_oldest(2 * retention.STEP, before)
    return gone


def _upsert(table: type[models.Model], rows: list[dict[str, Any]], only_where: str = "", adding: str = "") -> None:
    """INSERT … ON CONFLICT DO UPDATE as one statement.

    Written out because Django's `bulk_create` splits a batch of fifty columns into 27 statements on SQLite, cannot add to
    what is there, and cannot leave a row alone on a condition.
    """
    if not rows:
        return
    connection = connections[router.db_for_write(table)]
    quote = connection.ops.quote_name
    fields = [item for item in table._meta.concrete_fields if item.attname in rows[0]]
    name = quote(table._meta.db_table)
    names = [quote(item.column or "") for item in fields]
    if adding:
        key = [quote(item.column or "") for item in fields if item.attname != adding]
        change = f"{quote(adding)} = {name}.{quote(adding)} + EXCLUDED.{quote(adding)}"
    else:
        key = [quote("id")]
        change = ", ".join(f"{column} = EXCLUDED.{column}" for column in names if column not in key)
    sql = (
        f"INSERT INTO {name} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))}) "  # noqa: S608 - names are our models'
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {change}" + (f" WHERE {name}.{only_where}" if only_where else "")
    )
    with connection.cursor() as cursor:
        cursor.executemany(sql, list(_prepared(fields, rows, connection)))


def _prepared(fields: Sequence[models.Field[Any, Any]], rows: list[dict[str, Any]], connection: Any) -> Iterator[list[Any]]:
    """The rows as the driver takes them: texts, figures and truths are so already (columns.py saw to that)."""
    plain = models.CharField | models.TextField | models.IntegerField | models.FloatField | models.BooleanField
    names = [item.attname for item in fields]
    others = [(place, item) for place, item in enumerate(fields) if not isinstance(item, plain)]
    for row in rows:
        found = [row[name] for name in names]
        for place, item in others:
            value = found[place]
            if value is not None and not isinstance(value, columns.Written):
                found[place] = item.get_db_prep_save(value, connection)
        yield found
