"""What a play consists of. The connection carries it out in order, whether or not it makes good HTTP.

Plain `bytes` are a piece of the body, framed as the head said. A play that returns without an ending ends its body
properly.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import StrEnum

SSE_TYPE = "text/event-stream; charset=utf-8"
JSON_TYPE = "application/json"


class Framing(StrEnum):
    """How the end of the body is told."""

    CHUNKED = "chunked"
    LENGTH = "length"
    CLOSE = "close"  # by the end of the connection


@dataclass(frozen=True, slots=True)
class Head:
    """Status line and headers. `length` is what Content-Length says, true or not."""

    status: int = 200
    content_type: str | None = SSE_TYPE
    framing: Framing = Framing.CHUNKED
    length: int = 0
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Wire:
    """Bytes that are written as they are, outside of any framing."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence for `seconds`."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hold:
    """Silence until the other side leaves."""


@dataclass(frozen=True, slots=True)
class End:
    """The proper end of the body; the connection stays, unless its end is the framing."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection is closed (FIN) where it stands, once everything written has been sent."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (RST), once the other side's kernel has everything that was written."""


@dataclass(frozen=True, slots=True)
class Close:
    """A WebSocket's close frame, then the end of the connection; over HTTP a `Cut`."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Mute:
    """From here on no ping of a WebSocket is answered; nothing over HTTP."""


Step = Head | bytes | Wire | Pause | Hold | End | Cut | Reset | Close | Mute
Steps = Generator[Step, None, None]
