"""What every writer of answers knows and keeps: who is answered, what was told so far, and what was lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from relay.wire.events import ClientError
from relay.wire.translation.events import Began, Event, Finished, Lost, Used


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is answered: the model's name as the client said it, its request, and what the answer must not draw itself."""

    model: str
    body: Mapping[str, Any]
    seed: str  # unique for the request: for ids where the upstream gave none
    now: int  # epoch seconds
    path: str = ""
    as_array: bool = False  # Gemini without `alt=sse`


@dataclass(slots=True)
class Told:
    """What has been heard of the answer besides its content."""

    id: str = ""
    used: Used | None = None
    finished: dict[int, Finished] = field(default_factory=dict)


class Decoder(Protocol):
    """Reads an upstream's answer into events."""

    def read(self, body: dict[str, Any]) -> list[Event]:
        """The events that one event of the stream holds."""

    def whole(self, body: dict[str, Any]) -> list[Event]:
        """The events that a whole answer holds."""


class Writer(Protocol):
    """Writes events in a client's words. Nothing of an end is written before `end`."""

    def write(self, event: Event) -> bytes:
        """What the client is sent for this event; may be empty."""

    def end(self) -> bytes:
        """The end: the upstream's was seen."""

    def error(self, error: ClientError) -> bytes:
        """Tells that the stream broke."""

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        """A whole answer."""


class OpeningWriter:
    """What the writers of Messages and Responses share: an opening goes out before the first content, and before an end."""

    _told: Told

    def write(self, event: Event) -> bytes:
        match event:
            case Began(id):
                self._told.id = self._told.id or id
                return b""
            case Used():
                self._told.used = event
                return b""
            case Finished():
                self._told.finished[0] = event
                return self._start()
            case Lost():
                return b""
        return self._start() + self._content(event)

    def _start(self) -> bytes:
        """The opening; empty once it has been written."""
        raise NotImplementedError

    def _content(self, event: Event) -> bytes:
        """What the client is sent for an event of the answer itself."""
        raise NotImplementedError
