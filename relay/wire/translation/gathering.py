"""An event stream that came where a whole answer was asked for: gathered into that answer, in its own protocol.

The body is believed and not the header. What the pieces tell is put together by the mappings that translation uses anyway.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from relay.wire.events import ClientError, MalformedBody
from relay.wire.sse import OversizedEvent
from relay.wire.translation.events import Event
from relay.wire.translation.speaking import Listener
from relay.wire.translation.translated import DIALECT_OF, MAPPINGS, Translated


@dataclass(frozen=True, slots=True)
class Gathered:
    """`body` is the whole answer, or the error that the stream told of; empty when the stream ended before its end."""

    body: bytes


def gathered(protocol: str, raw: bytes, listener: Listener) -> Gathered | None:
    """What an event stream of `protocol` amounts to; None when the bytes are no such stream."""
    dialect = DIALECT_OF[protocol]
    reader, scanner, decoder = dialect.reader(), dialect.scanner(), MAPPINGS[protocol].decoder()
    try:
        frames = scanner.feed(raw)
    except OversizedEvent:
        return None
    last = scanner.close()
    events: list[Event] = []
    final: dict[str, object] | None = None
    for frame in [*frames, *([last] if last is not None else [])]:
        reader.read(frame)
        answer = reader.answer
        if answer.failure is not None:
            said = answer.failure
            told = ClientError(said.status or 502, said.code or said.type or "error_event", said.message, said.type)
            return Gathered(orjson.dumps(dialect.error_body(told)))
        if reader.body is None:
            continue
        try:
            events += Translated._events(decoder.read, reader.body)
        except MalformedBody:
            return None
        response = reader.body.get("response")
        final = response if isinstance(response, dict) else final
    answer = reader.answer
    if not events:
        return None
    if not answer.terminal and answer.finish is None:
        return Gathered(b"")
    if protocol == "openai-responses" and final is not None:  # its last event holds the whole answer as it is
        return Gathered(orjson.dumps(final))
    return Gathered(orjson.dumps(MAPPINGS[protocol].writer(listener).whole(events)))
