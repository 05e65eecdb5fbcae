"""What reached the upstream and how each connection ended, as a witness that shares nothing with the relay.

Written by the server's event loop alone; read from any thread, since a snapshot only copies.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from .http1 import Request

KEPT = 20_000
BODY_KEPT = 64 * 1024


class Ended(StrEnum):
    """How a connection ended as this side saw it; the first thing seen counts."""

    OPEN = "open"
    CLIENT_FIN = "client-fin"
    CLIENT_RESET = "client-reset"
    WE_CLOSED = "we-closed"


@dataclass(slots=True)
class Fate:
    """One connection, shared by the records of its requests."""

    number: int
    ended: Ended = Ended.OPEN
    ended_at: float | None = None
    pings: int = 0

    def seal(self, ended: Ended) -> None:
        if self.ended is Ended.OPEN:
            self.ended, self.ended_at = ended, time.time()


@dataclass(slots=True)
class Record:
    """One request. Times are epoch seconds; `ended` and `ended_at` tell of its connection."""

    at: float
    method: str
    path: str
    query: str
    headers: dict[str, str]
    connection: int
    ordinal: int  # the how-manieth request of its connection
    body_bytes: int = 0
    body_sha256: str = ""
    body: str = ""  # its first 64 KiB as text; empty when the ledger keeps no content
    model: str = ""
    scenario: str = ""
    stream: bool = False
    status: int = 0  # 0: no head was written
    pieces: int = 0  # body pieces written, events as a rule
    bytes_written: int = 0
    answered: bool = False  # the play came to its end; false when the other side left before
    answered_at: float | None = None
    ended: Ended = Ended.OPEN
    ended_at: float | None = None
    pings: int = 0  # of its WebSocket, that came from the other side


@dataclass(slots=True)
class Ledger:
    """The records, newest last. With `contents` off (the demo) neither bodies nor headers are kept."""

    contents: bool = True
    _rows: deque[tuple[Record, Fate]] = field(default_factory=lambda: deque(maxlen=KEPT))

    def open(self, request: Request, fate: Fate, ordinal: int) -> Record:
        record = Record(
            at=time.time(),
            method=request.method,
            path=request.path,
            query=request.query if self.contents else "",
            headers=dict(request.headers) if self.contents else {},
            connection=fate.number,
            ordinal=ordinal,
            body_bytes=len(request.body),
            body_sha256=hashlib.sha256(request.body).hexdigest(),
            body=request.body[:BODY_KEPT].decode("utf-8", "replace") if self.contents else "",
        )
        self._rows.append((record, fate))
        return record

    def records(self) -> list[Record]:
        """A snapshot, each record with what is known of its connection's end."""
        found = []
        for record, fate in list(self._rows):
            record.ended_at, record.ended, record.pings = fate.ended_at, fate.ended, fate.pings
            found.append(Record(**asdict(record)))
        return found

    def clear(self) -> None:
        self._rows.clear()
