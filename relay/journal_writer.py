"""The writer of one journal: what must outlive a process, appended to a file before anything else happens with it.

One process, one folder `<root>/<uuid>/`: a `lock` file, held with flock for the life of the process, and numbered
segments of one JSON object a line. Invariants:

- A line is one `os.write` on an `O_APPEND` descriptor, so `kill -9` leaves whole lines. Nothing here raises or waits.
- Each segment is self-contained: it begins with the `open` lines of all records that are still open, so that a segment
  that was shipped can be deleted. A folder and a segment appear under their names only once they are complete.
- What a full disk refuses waits in bounded memory and is written when the disk has room again.
- Over the quota normal completions are left out first: a `drop` line of a few bytes takes their place, so that their
  `open` line is not taken for a death.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

LOCK = "lock"
SEGMENT_BYTES = 64 << 20
BACKLOG_BYTES = 16 << 20  # lines that a full disk refused
MEASURE_SECONDS = 1.0  # how often the quota is measured
RETRY_SECONDS = 0.25  # how often a refused write is tried again
SPENT = ("client_key_id", "input_tokens", "output_tokens")  # of an ending that is left out: its key's budget counts it


@dataclass(frozen=True, slots=True)
class JournalState:
    """How this process's journal is, for /readyz, /metrics and the admin."""

    folder: str = ""
    total_bytes: int = 0  # all journals below the same root
    quota_bytes: int = 0
    dropped: int = 0  # normal completions left out because of the quota
    refused: int = 0  # writes that the disk refused (they were kept in memory and tried again)
    lost: int = 0  # lines that are gone: the memory for refused ones was full too
    backlog_bytes: int = 0
    last_error: str = ""

    @property
    def over_quota(self) -> bool:
        return self.total_bytes > self.quota_bytes > 0

    @property
    def ok(self) -> bool:
        """Whether what is recorded now is safe on disk."""
        return not self.backlog_bytes and not self.last_error


def segment_name(number: int) -> str:
    return f"{number:06d}.jsonl"


class Journal:
    """One process's journal. Safe from any thread; not to be used across a fork (see `current`)."""

    def __init__(
        self,
        root: Path,
        quota: int,
        segment_bytes: int = SEGMENT_BYTES,
        fsync: bool = False,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes the folder under `root` and takes its lock. `about` is what the begin line says of the process.

        Raises:
            OSError: the folder cannot be made.
        """
        self.root = root
        self.quota = quota
        self.segment_bytes = segment_bytes
        self.fsync = fsync
        self.about = about or {}
        self.name = str(uuid.uuid4())
        self.folder = root / self.name
        self._mutex = threading.RLock()  # re-entrant: a signal handler may log while we write
        self._open: dict[str, tuple[bytes, bytes]] = {}  # record id → its open line and its newest live line
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._retry_at = 0.0
        self._keeper: threading.Thread | None = None
        self._closed = False
        self._torn = False
        self._dirty = False
        self._number = 1
        self._written = 0  # new bytes in the current segment; what it took over from the last one does not count
        self._total = 0
        self._measure_at = 0.0
        self.dropped = self.refused = self.lost = 0
        self.last_error = ""
        self._make(b"")

    def _make(self, carried: bytes) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        making = self.root / f".making-{self.name}"
        making.mkdir(mode=0o700)
        try:
            self._lock = os.open(making / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._descriptor = self._create(making / segment_name(1), carried)
            making.rename(self.folder)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            raise

    def _create(self, path: Path, carried: bytes) -> int:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_TRUNC, 0o600)
        begin = {**self.about, "t": "begin", "at": time.time(), "pid": os.getpid()}
        data = memoryview(orjson.dumps(begin) + b"\n" + carried)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    # what the recorder calls

    def open(self, record: str, line: bytes) -> None:
        """A request was accepted. `line` is one JSON object without line end, here and below."""
        with self._mutex:
            self._open[record] = (line, b"")
            self._append(line)

    def live(self, record: str, line: bytes) -> None:
        """An open request told how it is. Left out over the quota: the next one says more."""
        with self._mutex:
            known = self._open.get(record)
            if known is None:
                return
            self._open[record] = (known[0], line)
            if self._size() <= self.quota:
                self._append(line)

    def close(
        self, record: str, line: bytes, outcome: str = "", droppable: bool = False, entry: Mapping[str, Any] | None = None
    ) -> None:
        """A request ended. A `droppable` one (a normal completion) is left out over the quota, and counted.

        Far over the quota every other is, too: then its outcome is kept, and of `entry` what a budget counts.
        """
        with self._mutex:
            self._open.pop(record, None)
            size = self._size()
            if size > self.quota and (droppable or size > 2 * self.quota):
                self.dropped += 1
                kept = {name: value for name in SPENT if type(value := (entry or {}).get(name)) is int and 0 < value < 1 << 63}
                line = orjson.dumps({"t": "drop", "id": record, "at": time.time(), "outcome": outcome, **kept})
            self._append(line)

    def error(self, line: bytes) -> None:
        """An error event that belongs to no request's ending. Left out, and counted, far over the quota."""
        with self._mutex:
            if self._size() > 2 * self.quota:
                self.dropped += 1
                return
            self._append(line)

    def state(self) -> JournalState:
        return JournalState(
            folder=str(self.folder),
            total_bytes=self._total,
            quota_bytes=self.quota,
            dropped=self.dropped,
            refused=self.refused,
            lost=self.lost,
            backlog_bytes=self._backlog_bytes,
            last_error=self.last_error,
        )

    def shut(self) -> None:
        """Writes what waits in memory, if the disk lets it, and gives up the lock: the shipper may take the folder."""
        with self._mutex:
            if self._closed:
                return
            self._retry_at = 0.0
            self._flush()
            self._closed = True
            os.close(self._descriptor)
            os.close(self._lock)

    def abandon(self) -> None:
        """After a fork, in the child: forgets the parent's descriptors without giving up the parent's lock."""
        self._closed = True
        for descriptor in (self._descriptor, self._lock):
            try:
                os.close(descriptor)
            except OSError:
                pass

    # writing

    def _append(self, line: bytes) -> None:
        if self._closed:
            self.lost += 1
            return
        if self._backlog:
            self._keep(line)
            self._flush()
            return
        try:
            self._write(line + b"\n")
        except OSError as error:
            self._note(error)
            self._keep(line)
            return
        if self._written >= self.segment_bytes and time.monotonic() >= self._retry_at:
            self._rotate()
        if self.fsync and not self._dirty:
            self._dirty = True
            self._wake_keeper()

    def _write(self, data: bytes) -> None:
        if self._torn:
            data = b"\n" + data  # what the last write left half done becomes a line of its own, which readers skip
        written = os.write(self._descriptor, data)
        if written != len(data):
            self._torn = True
            raise OSError(errno.EIO, "short write")
        self._torn = False
        self._written += written
        self._total += written

    def _note(self, error: OSError) -> None:
        self.refused += 1
        self.last_error = f"{error.strerror or error}"
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _keep(self, line: bytes) -> None:
        if self._backlog_bytes + len(line) > BACKLOG_BYTES:
            self.lost += 1
            return
        self._backlog.append(line)
        self._backlog_bytes += len(line)
        self._wake_keeper()

    def _flush(self) -> None:
        if not self._backlog or time.monotonic() < self._retry_at:
            return
        try:
            while self._backlog:
                self._write(self._backlog[0] + b"\n")
                self._backlog_bytes -= len(self._backlog.popleft())
        except OSError as error:
            self._note(error)
            return
        self.last_error = ""

    def _rotate(self) -> None:
        """Goes on in a new segment, which begins with the lines of every record that is still open."""
        making = self.folder / f".making-{segment_name(self._number + 1)}"
        try:
            descriptor = self._create(making, self._carried())
            making.rename(self.folder / segment_name(self._number + 1))
        except OSError as error:
            self._note(error)  # the old segment grows on until there is room for a new one
            making.unlink(missing_ok=True)
            return
        self.last_error = ""
        self._number += 1
        self._written = 0
        previous, self._descriptor = self._descriptor, descriptor
        if self.fsync:
            os.fsync(previous)
        os.close(previous)

    def _carried(self) -> bytes:
        return b"".join(opened + b"\n" + (live + b"\n" if live else b"") for opened, live in self._open.values())

    def _remake(self) -> None:
        """Someone deleted our files: goes on in a new folder, with what is open."""
        descriptor, lock = self._descriptor, self._lock
        self.name = str(uuid.uuid4())
        self.folder = self.root / self.name
        self._number, self._written = 1, 0
        self._make(self._carried())
        os.close(descriptor)
        os.close(lock)

    def _size(self) -> int:
        """What all journals below the root take. Measured once a second (some 50 µs); between, our own lines count."""
        now = time.monotonic()
        if now >= self._measure_at:
            self._measure_at = now + MEASURE_SECONDS
            try:
                if not os.fstat(self._descriptor).st_nlink:
                    self._remake()
                self._total = folder_bytes(self.root)
            except OSError as error:
                self._note(error)
        return self._total

    def _wake_keeper(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep_up, name="journal-keeper", daemon=True)
            self._keeper.start()

    def _keep_up(self) -> None:
        """Runs while there is something to do later: writes that were refused, or the fsync of each second."""
        while True:
            time.sleep(1.0 if self._dirty and not self._backlog else RETRY_SECONDS)
            with self._mutex:
                self._flush()
                if self._closed or not (self._backlog or self.fsync):
                    self._keeper = None
                    return
                dirty, self._dirty = self._dirty, False
                descriptor = os.dup(self._descriptor) if dirty else -1
            if descriptor >= 0:
                try:
                    os.fsync(descriptor)
                except OSError as error:
                    self.last_error = f"{error.strerror or error}"
                os.close(descriptor)


def folder_bytes(root: Path) -> int:
    """The size of all files below `root`, one level of folders deep."""
    total = 0
    with os.scandir(root) as entries:
        for entry in entries:
            try:
                if not entry.is_dir(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
                    continue
                with os.scandir(entry.path) as files:
                    total += sum(file.stat(follow_symlinks=False).st_size for file in files)
            except FileNotFoundError:
                continue
    return total
