"""The client's side of an exchange: what may be asked of it, how its connection closed, and what had been written by when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from relay.ending import Cause

MOST = 16  # marks that are kept
RECENT = 8  # of them, those that are never thinned out


@dataclass(slots=True)
class ClientClose:
    """How the client's connection closed, as the kernel saw it (relay/server/protocol.py)."""

    how: str  # fin, reset, timeout or the errno's name
    cause: Cause
    write_buffer: int = 0
    send_queue: int | None = None
    not_sent: int | None = None
    rtt_ms: float | None = None
    retransmits: int | None = None
    blocked_for: float = 0.0
    write_errno: str = ""
    detail: str = ""
    window_closed: float = 0.0  # seconds for which the client's receive window let nothing more through, in all


class Client(Protocol):
    """What the exchange may ask of the client's side (relay/server/handler.py)."""

    def takes(self) -> bool: ...
    def pass_on(self, block: bytes, now: float) -> None: ...
    def heartbeat(self, frame: bytes) -> None: ...
    def abort(self) -> None: ...
    def blocked_for(self, now: float) -> float: ...
    def unread_for(self, now: float) -> float: ...
    def vanished(self, blocked: float) -> bool: ...
    def snapshot(self) -> ClientClose | None: ...
    def loop_lag(self, now: float) -> float: ...


class WriteMarks:
    """When how much had been written, so that the age of what lies unsent can be told.

    A few marks a second at the most; far back they stand further apart.
    """

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def mark(self, now: float, written: int) -> None:
        """By `now` (seconds), `written` bytes had been written in all."""
        marks = self._marks
        if marks and marks[-1][1] == written:
            return
        marks.append((now, written))
        if len(marks) > MOST:
            del marks[1:-RECENT:2]

    def age(self, now: float, taken: int) -> float:
        """Seconds for which the first byte behind the `taken` ones has been written at the least; 0.0 when no mark tells."""
        return next((now - at for at, written in self._marks if written > taken), 0.0)
