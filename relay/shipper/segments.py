"""Reading journals: from the bytes of segments to lines, whatever lies in them.

Nothing that is read is believed: a torn last line, foreign bytes, a segment that cannot be read are counted and
skipped, and the file is set aside instead of deleted. Reading never moves by itself: `peek` shows what comes next, and
`advance` goes past it once it is safe in the database.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from relay.journal_writer import LOCK, segment_name

ASIDE = "bad"  # the folder, beside the journals, for what was set aside
CHUNK = 1 << 20
SEGMENT = re.compile(r"(\d{6,})\.jsonl\Z")
JOURNAL = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
KINDS = frozenset({"begin", "open", "live", "close", "drop", "error"})


class Position(NamedTuple):
    """How far a journal is shipped: all before this byte of this segment."""

    segment: int
    offset: int


START = Position(0, 0)


class Line(NamedTuple):
    """One line as it was written, and the bytes that it was."""

    kind: str
    record: str
    at: float
    body: dict[str, Any]
    raw: bytes


@dataclass(slots=True)
class Peek:
    """What comes next: whole lines up to `position`, and what was skipped on the way."""

    lines: list[Line]
    position: Position
    damaged: int = 0
    why: str = ""
    at_end: bool = False  # nothing more was there


@dataclass(slots=True)
class OpenRecord:
    """A request that has an open line and no close line yet."""

    at: float
    entry: dict[str, Any]
    last_seen: float


@dataclass(slots=True)
class JournalReader:
    """One process's journal, its place in it, and the requests that are open at that place."""

    folder: Path
    position: Position = START
    dead: bool = False  # its process is gone and we hold its lock
    opens: dict[str, OpenRecord] = field(default_factory=dict)
    unshown: dict[str, OpenRecord] = field(default_factory=dict)  # those of them that have no row yet, oldest first
    begin: dict[str, Any] = field(default_factory=dict)
    damaged_segments: set[int] = field(default_factory=set)
    reported: set[int] = field(default_factory=set)
    _descriptor: int = -1
    _reading: int = -1  # the segment that the descriptor belongs to
    _lock: int = -1

    @property
    def name(self) -> str:
        return self.folder.name

    def resume(self, position: Position | None) -> None:
        """Goes to where the last shipper stopped, and learns which requests are open there.

        Segments are self-contained, so the current one up to that place is all there is to read again.
        """
        self.go_to(position)
        if position is None or self.position != position:
            return
        self.position = Position(position.segment, 0)
        while self.position < position:
            peek = self._peek(position.offset - self.position.offset, 1 << 62)
            if peek.position <= self.position or peek.position > position:
                break
            self.learn(peek.lines)
            self.position = peek.position
        self.position = position

    def go_to(self, position: Position | None) -> None:
        """That place, or the beginning of the first segment behind it that is still there."""
        numbers = self._numbers()
        if position is not None and position.segment in numbers:
            self.position = position
            return
        later = [number for number in numbers if position is None or number > position.segment]
        self.position = Position(later[0] if later else (position.segment + 1 if position else 1), 0)

    def peek(self, limit: int) -> Peek:
        """Up to `limit` lines from the current place on. Stays within one segment."""
        sealed = self._sealed()
        try:
            peek = self._peek(CHUNK, limit)
            if sealed and not peek.lines and peek.position == self.position:
                peek = self._rest(peek)
        except OSError as error:
            self._close_descriptor()
            if not sealed:
                return Peek([], self.position, at_end=True)
            self.damaged_segments.add(self.position.segment)
            return Peek([], self._after(), 1, f"segment cannot be read: {error.strerror}")
        if peek.damaged:
            self.damaged_segments.add(self.position.segment)
        return peek

    def advance(self, peek: Peek) -> None:
        """What `peek` showed is safe: goes past it, and removes the segments before the new place."""
        self.learn(peek.lines)
        left = self.position.segment
        self.position = peek.position
        if peek.position.segment != left:
            self._close_descriptor()
            self._remove(left)

    def learn(self, lines: list[Line]) -> None:
        """Keeps the books of open requests."""
        for line in lines:
            if line.kind == "open":
                if line.record not in self.opens:
                    known = OpenRecord(line.at, line.body["entry"], line.at)
                    self.opens[line.record] = self.unshown[line.record] = known
            elif line.kind == "live":
                if line.record in self.opens:
                    known = self.opens[line.record]
                    known.entry = {**known.entry, **line.body["entry"]}
                    known.last_seen = line.at
            elif line.kind in ("close", "drop"):
                self.opens.pop(line.record, None)
                self.unshown.pop(line.record, None)
            elif line.kind == "begin":
                self.begin = line.body

    # death and removal

    def adopt(self) -> bool:
        """Takes the lock of a process that is gone; False while it lives."""
        if self.dead:
            return True
        try:
            descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return False
        self._lock, self.dead = descriptor, True
        return True

    def release(self) -> None:
        """Lets go of all descriptors; the lock of a dead process too, for another shipper to take."""
        self._close_descriptor()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock, self.dead = -1, False

    def remove(self) -> None:
        """The journal is shipped: keeps what was damaged, deletes the rest."""
        self._close_descriptor()
        for number in self._numbers():
            self._remove(number)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.release()

    def _remove(self, number: int) -> None:
        path = self.folder / segment_name(number)
        try:
            if number in self.damaged_segments:
                aside = self.folder.parent / ASIDE
                aside.mkdir(mode=0o700, exist_ok=True)
                path.rename(aside / f"{self.name}-{path.name}.bad")
            else:
                path.unlink()
        except OSError:
            pass  # tried again with the folder

    # bytes

    def _numbers(self) -> list[int]:
        try:
            found = [SEGMENT.match(path.name) for path in self.folder.iterdir()]
        except OSError:
            return []
        return sorted(int(match[1]) for match in found if match)

    def _sealed(self) -> bool:
        """Whether the current segment grows no more."""
        return self.dead or (self.folder / segment_name(self.position.segment + 1)).exists()

    def _after(self) -> Position:
        later = [number for number in self._numbers() if number > self.position.segment]
        return Position(later[0] if later else self.position.segment + 1, 0)

    def _peek(self, size: int, limit: int) -> Peek:
        segment, offset = self.position
        data = self._read(size)
        while data and b"\n" not in data and len(data) >= size:
            size *= 4
            data = self._read(size)
        peek = Peek([], self.position)
        start = 0
        while len(peek.lines) < limit:
            end = data.find(b"\n", start)
            if end < 0:
                break
            raw = data[start:end]
            start = end + 1
            if not raw:
                continue
            line = parse(raw)
            if line is None:
                peek.damaged += 1
                peek.why = peek.why or f"a line at byte {offset + start - len(raw) - 1} cannot be read"
            else:
                peek.lines.append(line)
        peek.position = Position(segment, offset + start)
        peek.at_end = len(data) < size and data.find(b"\n", start) < 0
        return peek

    def _rest(self, peek: Peek) -> Peek:
        """A sealed segment without another whole line: what is left is torn, and the next segment follows."""
        size = os.fstat(self._open()).st_size if self._exists() else self.position.offset
        left = size - self.position.offset
        if left:
            peek.damaged = 1
            peek.why = f"the last line is torn: {left} bytes" if left > 0 else f"{-left} bytes that were shipped are gone"
        after = self._after()
        if after.segment in self._numbers():
            peek.position = after
            peek.at_end = False
        else:
            peek.position = Position(self.position.segment, size)
        return peek

    def _exists(self) -> bool:
        return self._reading == self.position.segment or (self.folder / segment_name(self.position.segment)).exists()

    def _read(self, size: int) -> bytes:
        if not self._exists():
            return b""
        return os.pread(self._open(), size, self.position.offset)

    def _open(self) -> int:
        if self._reading != self.position.segment:
            self._close_descriptor()
            self._descriptor = os.open(self.folder / segment_name(self.position.segment), os.O_RDONLY)
            self._reading = self.position.segment
        return self._descriptor

    def _close_descriptor(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = self._reading = -1


def parse(raw: bytes) -> Line | None:
    """One line, or None when it is not one of ours."""
    try:
        body = orjson.loads(raw)
        kind, at = body["t"], float(body["at"])
        record = "" if kind == "begin" else body["id"]
    except (orjson.JSONDecodeError, TypeError, KeyError, ValueError, IndexError):
        return None
    if not isinstance(kind, str) or kind not in KINDS or not isinstance(record, str) or not _shaped(kind, body):
        return None
    return Line(kind, record, at, body, raw)


def _shaped(kind: str, body: dict[str, Any]) -> bool:
    if kind == "error":
        return isinstance(body.get("event"), dict)
    if kind == "close":
        egress = body.get("egress") or []
        return (
            isinstance(body.get("entry"), dict)
            and isinstance(body.get("event"), dict | None)
            and isinstance(egress, list)
            and all(isinstance(item, dict) for item in egress)
        )
    return kind in ("begin", "drop") or isinstance(body.get("entry"), dict)


def journals(root: Path) -> list[Path]:
    """The folders of journals below `root`."""
    try:
        return sorted(path for path in root.iterdir() if JOURNAL.match(path.name) and path.is_dir())
    except OSError:
        return []
