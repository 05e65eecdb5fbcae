"""One batch of records, one transaction: both logs and the places up to which the journals are shipped.

The places move in the same transaction as the rows, so whatever happens between two batches, each line is stored
exactly once. A database that is away raises `Unavailable`: nothing was stored, and all is tried again later. A row that
the database refuses is found by halving the batch, set aside in a file, and reported; the others land.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from django.db import Error as DatabaseError
from django.db import InterfaceError, OperationalError, ProgrammingError, transaction
from django.utils import timezone

from auditlog.ingest import count_dropped, store_entries
from errorlog.ingest import store_events
from proxy_project import VERSION
from relay import quotas
from relay.close_record import PLATFORM
from relay.models import JournalCheckpoint
from relay.pricing import Prices
from relay.record_id import new_record_id
from relay.shipper.segments import ASIDE, Line, Position

# SQLSTATE classes that mean "this row", whatever exception carries them: data, integrity, a limit that a value exceeds
ROW_CLASSES = frozenset({"22", "23", "54"})


class Unavailable(Exception):
    """The database cannot take anything now."""


@dataclass(slots=True)
class Item:
    """What one journal line becomes, stored as a whole or not at all."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    raw: bytes = b""
    passing: bool = False  # of an open request: what it says is said again, so a refusal is counted and no more


@dataclass(frozen=True, slots=True)
class Place:
    """How far one journal is shipped once the batch is stored."""

    journal: str
    instance: str
    position: Position
    done: bool = False


def item_of(line: Line, prices: Prices) -> Item | None:
    """What `line` brings by itself, with what the request cost; None for lines that only keep the books.

    Raises:
        DatabaseError: the prices cannot be read.
    """
    body = line.body
    if line.kind == "error":
        return Item([], [body["event"]], line.raw)
    if line.kind != "close":
        return None
    entry, event = body["entry"], body.get("event")
    cost = prices.current().cost_of(entry)
    if cost is not None:
        entry["cost"] = f"{cost:f}"  # JSON has no decimal numbers
    return Item([entry, *(body.get("egress") or ())], [event] if event else [], line.raw)


def operational_event(name: str, message: str, context: dict[str, Any]) -> dict[str, Any]:
    """An error event about the journals themselves."""
    return {
        "id": new_record_id(),
        "time": time.time(),
        "name": name,
        "message": message,
        "stack": "",
        "source": "server",
        "version": VERSION,
        "platform": PLATFORM,
        "context": context,
        "drill": False,
        "fingerprint": [name],
    }


def store(items: Sequence[Item], places: Iterable[Place], root: Path, dropped: Sequence[dict[str, Any]] = ()) -> int:
    """Stores all of `items` and moves `places`, in one transaction. Returns how many rows were set aside.

    `dropped` are entries of requests whose ending was left out over the quota: they are counted, and no more.

    Raises:
        Unavailable: nothing was stored.
    """
    try:
        with transaction.atomic():
            refused: list[tuple[Item, str]] = []
            _store_some(items, refused)
            for item, why in refused:
                if item.passing:
                    continue
                _store_some([_report(item, why, root)], [])
            _count_some(dropped)
            quotas.spend(
                entry for entries in (*(item.entries for item in items if not item.passing), dropped) for entry in entries
            )
            _move(places)
    except DatabaseError as error:
        raise Unavailable(str(error)) from error
    return len(refused)


def _store_some(items: Sequence[Item], refused: list[tuple[Item, str]]) -> None:
    entries = [entry for item in items for entry in item.entries]
    events = [event for item in items for event in item.events]
    try:
        with transaction.atomic():
            if entries:
                store_entries(entries)
            if events:
                store_events(events)
        return
    except Exception as error:
        if not is_about_a_row(error):
            raise
        if len(items) == 1:
            refused.append((items[0], f"{type(error).__name__}: {error}"[:500]))
            return
    middle = len(items) // 2
    _store_some(items[:middle], refused)
    _store_some(items[middle:], refused)


def _count_some(dropped: Sequence[dict[str, Any]]) -> None:
    """Counts them; one that cannot be counted (a journal may hold anything) is found by halving and left out."""
    if not dropped:
        return
    try:
        with transaction.atomic():
            count_dropped(dropped)
        return
    except Exception as error:
        if not is_about_a_row(error):
            raise
    if len(dropped) > 1:
        middle = len(dropped) // 2
        _count_some(dropped[:middle])
        _count_some(dropped[middle:])


def is_about_a_row(error: Exception) -> bool:
    """Whether `error` says that a row cannot be stored, rather than that nothing can be now."""
    state = getattr(error.__cause__, "sqlstate", None)
    if isinstance(state, str) and state:
        return state[:2] in ROW_CLASSES
    if isinstance(error, ProgrammingError):
        return True  # a value that the driver cannot send
    return not isinstance(error, OperationalError | InterfaceError | MemoryError)


def _report(item: Item, why: str, root: Path) -> Item:
    """Keeps the refused record in a file, and says so in the error log."""
    aside = root / ASIDE
    kept = aside / "refused.jsonl"
    try:
        aside.mkdir(mode=0o700, parents=True, exist_ok=True)
        with kept.open("ab") as file:
            file.write((item.raw or orjson.dumps({"entries": item.entries, "events": item.events})) + b"\n")
    except OSError:
        pass  # the report itself still tells its id
    record = next((part.get("id") for part in (*item.entries, *item.events)), None)
    return Item(
        events=[
            operational_event(
                "JournalRecordRefused",
                f"The database refused a record, which was set aside: {why}".replace("\0", "\\0"),
                {"record": str(record), "file": kept.name, "why": why.replace("\0", "\\0")},
            )
        ]
    )


def _move(places: Iterable[Place]) -> None:
    rows = [
        JournalCheckpoint(
            journal=place.journal,
            instance=place.instance,
            segment=place.position.segment,
            offset=place.position.offset,
            done=place.done,
            updated_at=timezone.now(),
        )
        for place in places
    ]
    if rows:
        JournalCheckpoint.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["journal"],
            update_fields=["segment", "offset", "done", "updated_at"],
        )
