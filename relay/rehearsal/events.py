"""Server-sent events as the rehearsed upstream writes them, and the ways in which senders spell them differently.

A style changes the spelling only: by the WHATWG rules every style means the same events.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import orjson


class Role(StrEnum):
    """What an event is for, so that a scenario can stop before, leave out or repeat one in any dialect."""

    OPENING = "opening"  # before any content
    CONTENT = "content"  # a delta of text, reasoning, refusal or arguments; what `after=` counts
    CLOSING = "closing"  # ends a block, item or part; says nothing of the whole answer
    FINISH = "finish"  # the finish evidence
    USAGE = "usage"
    MARKER = "marker"  # ends the answer
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Style:
    """How events are spelt."""

    eol: str = "\n"
    space: str = " "
    named: bool = True  # whether the `event:` line is sent


PLAIN_STYLE = Style()


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its role, its data, and its name where the protocol names events."""

    role: Role
    data: bytes
    name: str = ""

    def encode(self, style: Style = PLAIN_STYLE) -> bytes:
        eol, colon = style.eol.encode(), b":" + style.space.encode()
        head = b"event" + colon + self.name.encode() + eol if self.name and style.named else b""
        return head + b"data" + colon + self.data + eol + eol


def event(role: Role, payload: dict[str, object], name: str = "") -> Event:
    """An event whose data is `payload` as JSON."""
    return Event(role, orjson.dumps(payload), name)
