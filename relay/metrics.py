"""What /metrics says, of all processes of this gateway together, whichever of them is asked.

Each process counts in plain memory and publishes a snapshot to its own place on a board: memory that the parent shared
before it forked, so that no disk can be full and no file be left behind. A process that takes the place of a dead one
goes on from its last snapshot, so a counter never falls. Labels come from closed vocabularies and the operator's own
upstream names: no key, credential, model or client text. Rehearsals are not counted.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import orjson

from relay.ending import Outcome, Verdict

if TYPE_CHECKING:
    from relay.exchange import Exchange

PLACE_BYTES = 256 << 10
HALF_BYTES = PLACE_BYTES // 2
HEADER = struct.Struct("<QII")  # sequence, length, checksum
PUBLISH_SECONDS = 1.0
MOST_UPSTREAMS = 100  # further ones are counted as `other`
FIRST_BYTE_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
DURATION_BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0)
UPSTREAMS_SIDE = (Outcome.UPSTREAM_ERROR, Outcome.UPSTREAM_PREMATURE)  # connecting and timeouts are among them
SEPARATOR = "\x1f"  # between the labels of one series, as JSON has no tuples for keys


class Board:
    """Places for the snapshots of so many processes. Made before the fork; each place has one writer.

    A snapshot goes to the older of two halves, behind a checksum: a writer that is killed meanwhile leaves the other.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._memory = mmap.mmap(-1, places * PLACE_BYTES)

    def write(self, place: int, snapshot: dict[str, Any]) -> None:
        data = orjson.dumps(snapshot)
        if len(data) > HALF_BYTES - HEADER.size:
            return
        sequence = max(self._sequence(place, 0), self._sequence(place, 1)) + 1
        start = place * PLACE_BYTES + (sequence % 2) * HALF_BYTES
        body = start + HEADER.size
        self._memory[body : body + len(data)] = data
        self._memory[start:body] = HEADER.pack(sequence, len(data), zlib.crc32(data))

    def read(self, place: int) -> dict[str, Any]:
        """The newest whole snapshot; empty when there is none."""
        for half in sorted((0, 1), key=lambda half: -self._sequence(place, half)):
            start = place * PLACE_BYTES + half * HALF_BYTES
            _, length, checksum = HEADER.unpack_from(self._memory, start)
            body = start + HEADER.size
            data = self._memory[body : body + min(length, HALF_BYTES - HEADER.size)]
            if length and zlib.crc32(data) == checksum:
                found: dict[str, Any] = orjson.loads(data)
                return found
        return {}

    def _sequence(self, place: int, half: int) -> int:
        sequence: int = HEADER.unpack_from(self._memory, place * PLACE_BYTES + half * HALF_BYTES)[0]
        return sequence


class Counts:
    """What one process has counted: counters and histograms by series, and gauges as they are now."""

    def __init__(self, snapshot: dict[str, Any] | None = None) -> None:
        known = snapshot or {}
        self.counters: dict[str, dict[str, float]] = known.get("counters", {})
        self.histograms: dict[str, dict[str, list[float]]] = known.get("histograms", {})
        self.gauges: dict[str, float] = {}

    def add(self, name: str, labels: Iterable[str], amount: float = 1) -> None:
        series = self.counters.setdefault(name, {})
        key = SEPARATOR.join(labels)
        series[key] = series.get(key, 0) + amount

    def observe(self, name: str, label: str, seconds: float, buckets: tuple[float, ...]) -> None:
        """Counts one into its bucket; the last two figures of a series are those above all buckets, and the sum."""
        series = self.histograms.setdefault(name, {})
        figures = series.get(label)
        if figures is None:
            figures = series[label] = [0] * (len(buckets) + 2)
        figures[bisect_left(buckets, seconds)] += 1
        figures[-1] += seconds

    def snapshot(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "counters": self.counters, "histograms": self.histograms, "gauges": self.gauges}


_board = Board(1)
_place = 0
_counts = Counts()
_published = 0.0
_absolute: dict[str, float] = {}  # of counters that others keep: how much of them is counted already
lookers: list[Callable[[], None]] = []  # called before each snapshot; each tells `keep` and `gauge` what its module knows


def share(places: int) -> None:
    """Makes the board of a gateway with so many processes. For the parent, before it forks."""
    global _board
    _board = Board(places)


def take(place: int) -> None:
    """This process counts at `place` from now on, and goes on from what its predecessor there had published."""
    global _place, _counts
    _place, _counts = place, Counts(_board.read(place))
    _absolute.clear()


def publish(now: float | None = None) -> None:
    """Shows the other processes what this one has counted; at most once a second when `now` (monotonic) is given."""
    global _published
    if now is not None:
        if now - _published < PUBLISH_SECONDS:
            return
        _published = now
    for look in lookers:
        look()
    _board.write(_place, _counts.snapshot())


def ended(exchange: Exchange, verdict: Verdict) -> None:
    """Counts one request of a client, and the attempts that it made."""
    if exchange.drill:
        return
    counts = _counts
    count_endings(verdict.outcome.value, verdict.cause or "", verdict.fault or "")
    if exchange.ended is not None:
        counts.observe("request_seconds", verdict.outcome.value, exchange.ended - exchange.received, DURATION_BUCKETS)
    for attempt in exchange.attempts:
        theirs = attempt.cause if attempt.outcome in UPSTREAMS_SIDE else None  # not a client that left, nor a drain
        counts.add("attempts", (_upstream(attempt.upstream), theirs or ""))
    if exchange.attempts and exchange.first_upstream_byte is not None:
        last = exchange.attempts[-1]
        took = exchange.first_upstream_byte - last.started
        counts.observe("first_byte_seconds", _upstream(last.upstream), took, FIRST_BYTE_BUCKETS)


def count_endings(outcome: str, cause: str, fault: str, amount: int = 1) -> None:
    """Counts endings that no exchange of this process told of, such as lost ones."""
    _counts.add("endings", (outcome, cause, fault), amount)


def keep(name: str, total: float) -> None:
    """A counter that another module keeps for this process: counts what came on top since the last time."""
    known = _absolute.get(name, 0.0)
    if total > known:
        _counts.add(name, (), total - known)
        _absolute[name] = total


def gauge(name: str, value: float) -> None:
    """A figure of this process as it is now."""
    _counts.gauges[name] = value


def everything() -> Iterator[dict[str, Any]]:
    """The snapshots of all processes."""
    publish()
    return (found for place in range(_board.places) if (found := _board.read(place)))


def _upstream(name: str) -> str:
    known = _counts.counters.get("attempts", {})
    if len(known) < MOST_UPSTREAMS:
        return name
    names = {series.partition(SEPARATOR)[0] for series in known}
    return name if name in names or len(names) < MOST_UPSTREAMS else "other"
