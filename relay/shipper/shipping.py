"""The loop: reads every journal of this machine, ships what is new, and ends what the dead left open.

One shipper works at a time on one machine (a lock below the journals' root decides which). A journal's place moves only
after its rows are stored. What follows from that: a database that is away, or a shipper that is killed, delays rows and
loses none.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import Error as DatabaseError
from django.db import connection

from relay import journal, metrics
from relay.close_record import version
from relay.ending import Cause, Fault, Outcome
from relay.journal_writer import SPENT
from relay.models import JournalCheckpoint
from relay.pricing import Prices
from relay.shipper import leases
from relay.shipper.recovery import lost
from relay.shipper.segments import JournalReader, Line, Peek, Position, journals
from relay.shipper.storing import Item, Place, Unavailable, item_of, operational_event, store

logger = logging.getLogger(__name__)

BATCH = 500  # lines in one transaction, and so records
POLL_SECONDS = 0.05
BATCH_SECONDS = 0.1  # from one small batch to the next, and longer the more there is to do: each batch costs a few queries
SECONDS_PER_LINE, LONGEST_WAIT = 0.01, 0.4
SWEEP_SECONDS = 2.0  # how often new and dead journals are looked for
SHOW_AFTER_SECONDS = 1.0  # an open request older than this gets its audit row
BACKOFF_SECONDS = (0.2, 5.0)
LAST_TRY_SECONDS = 5.0  # how long a clean stop tries to ship what is left
SHIPPER_LOCK = "shipper.lock"


@dataclass(slots=True)
class ShipperState:
    """What this shipper did and could not do, for /metrics and logs."""

    shipped: int = 0  # lines that became rows
    lost: int = 0  # requests ended as relay-lost
    refused: int = 0  # records set aside because the database refused them
    damaged: int = 0  # lines and segments that could not be read
    dropped: int = 0  # normal completions that processes left out over the quota
    adopted: int = 0  # journals of dead processes, shipped and removed
    last_error: str = ""


class Shipper:
    """Ships the journals below `root`. `run` is for a thread or a process; `ship_once` is one turn of it."""

    def __init__(self, root: Path | None = None, instance: str = "") -> None:
        self.root = root or journal.root()
        self.instance = instance or journal.instance()
        self.state = ShipperState()
        self._readers: dict[str, JournalReader] = {}
        self._prices = Prices()
        self._sweep_at = 0.0
        self._lease_at = 0.0
        self._began = time.time()
        self._orphans_ended = False
        self._lost_shown = 0
        self._lock = -1

    # the loop

    def run(self, stop: threading.Event) -> None:
        """Ships until `stop` is set, then what is left. Waits while another shipper has the lock. Never raises."""
        backoff = BACKOFF_SECONDS[0]
        while not stop.is_set():
            try:
                if not self.take_lock():
                    pause(stop, 1.0)
                    continue
                began = time.monotonic()
                count = self.ship_once()
                backoff = BACKOFF_SECONDS[0]
                self._show(caught_up=count < BATCH)
                if count < BATCH:
                    due = began + min(BATCH_SECONDS + SECONDS_PER_LINE * count, LONGEST_WAIT)
                    pause(stop, max(due - time.monotonic(), POLL_SECONDS) if count else POLL_SECONDS)
            except Exception as error:  # noqa: BLE001 - whatever it is, the journals keep it
                self._failed(error)
                pause(stop, backoff)
                backoff = min(backoff * 2, BACKOFF_SECONDS[1])
        self._finish()

    def _show(self, caught_up: bool) -> None:
        """What /metrics says of the shipping."""
        for name, total in (
            ("shipped", self.state.shipped),
            ("shipper_refused", self.state.refused),
            ("shipper_damaged", self.state.damaged),
            ("shipper_adopted", self.state.adopted),
        ):
            metrics.keep(name, total)
        if self.state.lost > self._lost_shown:
            metrics.count_endings(Outcome.RELAY_LOST, Cause.CRASH, Fault.RELAY, self.state.lost - self._lost_shown)
            self._lost_shown = self.state.lost
        if caught_up:
            metrics.gauge("caught_up_at", time.time())
        metrics.publish()

    def _finish(self) -> None:
        """A clean stop: ships what all have left, this process's own journal last, and lets go."""
        until = time.monotonic() + LAST_TRY_SECONDS
        try:
            self.take_lock()  # one that is told to stop before its first turn has not got it yet
        except OSError as error:
            self._failed(error)
        while self._lock >= 0:
            try:
                self._sweep_at = 0.0
                while self.ship_once():
                    pass
                journal.shut()
                self._sweep_at = 0.0
                while self.ship_once():
                    pass
                break
            except Exception as error:  # noqa: BLE001 - the next start ships it
                self._failed(error)
                if time.monotonic() > until:
                    break
                time.sleep(BACKOFF_SECONDS[0])
        self.release()
        connection.close()

    def _failed(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self.state.last_error:
            log = logger.warning if isinstance(error, Unavailable | DatabaseError) else logger.exception
            log("nothing can be shipped now, the journals keep it: %s", text)
        self.state.last_error = text
        try:
            connection.close()
        except Exception:
            logger.debug("closing a broken connection failed", exc_info=True)

    def take_lock(self) -> bool:
        """Whether this shipper is the one of this machine."""
        if self._lock >= 0:
            return True
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.root / SHIPPER_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def release(self) -> None:
        """Lets go of all files, for another shipper to go on."""
        for reader in self._readers.values():
            reader.release()
        self._readers.clear()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # one turn

    def ship_once(self) -> int:
        """One batch, at most, of each thing there is to do. Returns how many lines and lost requests were shipped.

        Raises:
            Unavailable: the database takes nothing now; nothing was lost.
        """
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep()
            self._sweep_at = now + SWEEP_SECONDS
        count = self._ship_lines()
        count += sum(self._bury(reader) for reader in list(self._readers.values()) if reader.dead)
        if now >= self._lease_at:
            self._lease_at = now + leases.RENEW_SECONDS
            leases.renew(self.instance)
            self.state.lost += leases.end_expired(self.instance, version(), self.root)
        if not count and not self._orphans_ended:
            self._end_orphans()
        self.state.last_error = ""
        return count

    def _sweep(self) -> None:
        """Learns of new journals, and which ones' processes are gone."""
        folders = journals(self.root)
        new = [folder for folder in folders if folder.name not in self._readers]
        if new:
            rows = JournalCheckpoint.objects.filter(journal__in=[folder.name for folder in new])
            places = {row.journal: row for row in rows}
            for folder in new:
                row = places.get(folder.name)
                if row is not None and row.done:
                    shutil.rmtree(folder, ignore_errors=True)
                    continue
                reader = JournalReader(folder)
                reader.resume(Position(row.segment, row.offset) if row is not None else None)
                self._readers[folder.name] = reader
        for reader in self._readers.values():
            reader.adopt()
        _sweep_unfinished(self.root)

    def _end_orphans(self) -> None:
        """Once, when all was read: open rows of this instance that no journal knows, for theirs was lost."""
        open_here = {record for reader in self._readers.values() for record in reader.opens}
        reason = "the journal that knew of the request is gone"
        self.state.lost += leases.end_open_rows(self.instance, reason, version(), self.root, open_here, before=self._began)
        self._orphans_ended = True

    def _ship_lines(self) -> int:
        peeks: list[tuple[JournalReader, Peek]] = []
        room = BATCH
        for reader in self._readers.values():
            peek = reader.peek(room)
            if peek.position != reader.position:
                peeks.append((reader, peek))
                room -= len(peek.lines)
            if room <= 0:
                break
        items, shown = self._items(peeks)
        if not peeks and not items:
            return 0
        places = [Place(reader.name, self.instance, peek.position) for reader, peek in peeks]
        dropped = [entry for reader, peek in peeks for entry in _dropped(reader, peek)]
        self.state.refused += store(items, places, self.root, dropped)
        count = 0
        for reader, peek in peeks:
            reader.advance(peek)
            count += len(peek.lines)
            self.state.damaged += peek.damaged
            self.state.dropped += sum(line.kind == "drop" for line in peek.lines)
        for reader, record in shown:
            reader.unshown.pop(record, None)
        self.state.shipped += count
        # A batch that only went to the next segment, or past damage, was work too: there may be more behind it.
        return count or len(peeks)

    def _items(self, peeks: list[tuple[JournalReader, Peek]]) -> tuple[list[Item], list[tuple[JournalReader, str]]]:
        """What the lines bring, and the rows of requests that have been open for a while."""
        items: list[Item] = []
        shown: list[tuple[JournalReader, str]] = []
        ended: set[str] = set()
        for reader, peek in peeks:
            ended.update(line.record for line in peek.lines if line.kind in ("close", "drop"))
            items += [item for line in peek.lines if (item := item_of(line, self._prices)) is not None]
            items += _left_out(reader, peek)
            if peek.damaged:
                items.append(_damage(reader, peek))
        at_end = {reader.name: peek.at_end for reader, peek in peeks}
        lives: dict[str, Item] = {}
        for reader, peek in peeks:
            for line in peek.lines:
                if line.kind == "live" and line.record not in ended:
                    known = reader.opens.get(line.record)
                    lives[line.record] = Item([{**(known.entry if known else {}), **line.body["entry"]}], passing=True)
                    shown.append((reader, line.record))
        due = time.time() - SHOW_AFTER_SECONDS
        for reader in self._readers.values():
            if reader.dead or not at_end.get(reader.name, True):
                continue
            for record, known in reader.unshown.items():
                if known.at > due:
                    break  # opened in order
                if record not in ended and record not in lives:
                    lives[record] = Item([known.entry], passing=True)
                    shown.append((reader, record))
        return [*items, *lives.values()], shown

    def _bury(self, reader: JournalReader) -> int:
        """A dead process's journal that is shipped: ends what it left open, then removes it."""
        if reader.peek(1).position != reader.position:
            return 0
        left = list(reader.opens.items())
        now, ours = time.time(), version()
        for start in range(0, len(left), BATCH):
            items = [lost(record, known, reader.begin, now, ours) for record, known in left[start : start + BATCH]]
            self.state.refused += store(items, [], self.root)
        store([], [Place(reader.name, self.instance, reader.position, done=True)], self.root)
        reader.remove()
        del self._readers[reader.name]
        JournalCheckpoint.objects.filter(journal=reader.name).delete()
        self.state.lost += len(left)
        self.state.adopted += 1
        return len(left)


def pause(stop: threading.Event, seconds: float) -> None:
    """Sleeps, and wakes soon after `stop` is set.

    Not `stop.wait`: a signal handler that sets the event while this thread is inside it waits for a lock that this
    thread holds.
    """
    until = time.monotonic() + seconds
    while not stop.is_set() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, POLL_SECONDS))


def _left_out(reader: JournalReader, peek: Peek) -> list[Item]:
    """Endings left out over the quota of requests that have a row already: it must not stay open."""
    items = []
    for line in peek.lines:
        known = reader.opens.get(line.record) if line.kind == "drop" else None
        if known is not None and line.record not in reader.unshown:
            evidence = {"kind": line.body.get("outcome"), "notes": ["left-out-over-quota"]}
            items.append(
                Item([{**known.entry, **_spent(line), "outcome": line.body.get("outcome"), "evidence": evidence}], [], line.raw)
            )
    return items


def _dropped(reader: JournalReader, peek: Peek) -> list[dict[str, Any]]:
    """The rest of them, that no row tells of: what their open lines said, with the outcome that was kept."""
    begun = {line.record: line.body["entry"] for line in peek.lines if line.kind == "open"}
    entries = []
    for line in peek.lines:
        if line.kind != "drop" or (line.record in reader.opens and line.record not in reader.unshown):
            continue
        known = reader.opens.get(line.record)
        entry = known.entry if known else begun.get(line.record, {})
        outcome = line.body.get("outcome") or "completed"
        entries.append({"time": line.at, **entry, **_spent(line), "id": line.record, "outcome": outcome})
    return entries


def _spent(line: Line) -> dict[str, int]:
    """What a line that took an ending's place kept of it for its key's budget."""
    return {name: value for name in SPENT if type(value := line.body.get(name)) is int}


def _damage(reader: JournalReader, peek: Peek) -> Item:
    """Says once for each batch that lines of a journal were skipped."""
    segment = reader.position.segment
    return Item(
        events=[
            operational_event(
                "JournalDamaged",
                f"Part of a journal was skipped: {peek.why}",
                {"journal": reader.name, "segment": segment, "skipped": peek.damaged, "why": peek.why},
            )
        ]
    )


def _sweep_unfinished(root: Path) -> None:
    """Removes folders of processes that died while they made their journal."""
    for folder in root.glob(".making-*"):
        try:
            if time.time() - folder.stat().st_mtime > 60:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
