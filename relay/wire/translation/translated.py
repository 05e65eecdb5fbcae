"""The passage between two protocols, and what is sent for it: where the mappings of all protocols meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from relay.wire.events import ClientError, Kind, MalformedBody, Mark, decoded, sendable, tellable
from relay.wire.passage import Passage
from relay.wire.registry import DIALECTS, Dialect
from relay.wire.sse import Frame
from relay.wire.translation import (
    chat_answer,
    chat_request,
    gemini_answer,
    gemini_request,
    messages_answer,
    messages_request,
    ollama_answer,
    ollama_request,
    responses_answer,
    responses_request,
    responses_writer,
)
from relay.wire.translation.events import Event, Lost, Signed, Used
from relay.wire.translation.features import settle, word_for
from relay.wire.translation.prompt import Prompt
from relay.wire.translation.speaking import Decoder, Listener, Writer


@dataclass(frozen=True, slots=True)
class Mapping:
    """One protocol's two mappings, each both ways; `place` is path and query of a request for (model, stream)."""

    read: Callable[[dict[str, Any]], Prompt]
    write: Callable[[Prompt, str, bool], dict[str, Any]]
    decoder: Callable[[], Decoder]
    writer: Callable[[Listener], Writer]
    place: Callable[[str, bool], tuple[str, str]]


def _fixed(path: str) -> Callable[[str, bool], tuple[str, str]]:
    return lambda model, stream: (path, "")


def _gemini_place(model: str, stream: bool) -> tuple[str, str]:
    verb = "streamGenerateContent" if stream else "generateContent"
    return f"/v1beta/models/{model}:{verb}", "alt=sse" if stream else ""


MAPPINGS: dict[str, Mapping] = {
    "openai-chat": Mapping(
        chat_request.read, chat_request.write, chat_answer.Decoder, chat_answer.Writer, _fixed("/v1/chat/completions")
    ),
    "openai-responses": Mapping(
        responses_request.read,
        responses_request.write,
        responses_answer.Decoder,
        responses_writer.Writer,
        _fixed("/v1/responses"),
    ),
    "anthropic": Mapping(
        messages_request.read, messages_request.write, messages_answer.Decoder, messages_answer.Writer, _fixed("/v1/messages")
    ),
    "gemini": Mapping(gemini_request.read, gemini_request.write, gemini_answer.Decoder, gemini_answer.Writer, _gemini_place),
    "ollama": Mapping(
        ollama_request.read, ollama_request.write, ollama_answer.Decoder, ollama_answer.Writer, _fixed("/api/chat")
    ),
}
DIALECT_OF = {dialect.protocol: dialect for dialect in DIALECTS.values()}


@dataclass(frozen=True, slots=True)
class Translation:
    """A request put into another protocol: where it goes, its body, and what was lost or changed on the way."""

    path: str
    query: str
    payload: bytes
    notes: frozenset[str]


def prompt_for(dialect: Dialect, body: dict[str, Any], protocol: str) -> Prompt:
    """What a request says, as far as an upstream of `protocol` has words for it.

    Raises:
        BadField: something in it cannot be carried, or has the wrong type.
    """
    prompt = MAPPINGS[dialect.protocol].read(body)
    settle(prompt, dialect.protocol, protocol)
    return prompt


def translate(dialect: Dialect, body: dict[str, Any], protocol: str, model: str, stream: bool) -> Translation:
    """The request for an upstream of `protocol`.

    Raises:
        BadField: something in it cannot be carried, or has the wrong type.
    """
    prompt = prompt_for(dialect, body, protocol)
    target = MAPPINGS[protocol]
    written = target.write(prompt, model, stream)
    path, query = target.place(model, stream)
    return Translation(path, query, sendable(written), frozenset(prompt.notes))


class Translated(Passage):
    """An upstream of another protocol: its events are read, and written in the client's words."""

    translates = True

    def __init__(self, dialect: Dialect, protocol: str, listener: Listener, notes: frozenset[str]) -> None:
        self.dialect = dialect
        self.upstream_dialect = DIALECT_OF[protocol]
        self.reader = self.upstream_dialect.reader()
        self.scanner = self.upstream_dialect.scanner()
        self._withholds_usage = False
        self._decoder = MAPPINGS[protocol].decoder()
        self._listener = listener
        self._writer = MAPPINGS[dialect.protocol].writer(listener)
        self._whole_events: list[Event] = []
        self.answer.notes |= notes

    @property
    def expects_marker(self) -> bool:
        return self.upstream_dialect.marked

    def take(self, frame: Frame, mark: Mark) -> bytes:
        """What the client is sent: nothing for what only the upstream's protocol has, its own end at the end.

        Raises:
            MalformedBody: the event is not shaped as its protocol says.
        """
        if mark.kind is Kind.ERROR:
            return self.error_frame(self._failure())
        body = self.reader.body
        out = (
            b""
            if mark.kind in (Kind.PING, Kind.MALFORMED) or body is None
            else self._written(self._events(self._decoder.read, body))
        )
        return out + self.end() if self.answer.terminal else out

    def name_sent(self, sent: bytes, mark: Mark) -> str:
        """The name of the last event in what the client is sent."""
        at = sent.rfind(b"event: ")
        if at >= 0 and (at == 0 or sent[at - 1 : at] == b"\n"):
            return sent[at + 7 : sent.find(b"\n", at)].decode("ascii", "replace")
        return self.dialect.end_name if self.answer.terminal and self.dialect.end_name else "delta"

    @staticmethod
    def _events(read: Callable[[dict[str, Any]], list[Event]], body: dict[str, Any]) -> list[Event]:
        try:
            return read(body)
        except (AttributeError, TypeError, ValueError, KeyError) as error:  # a text where an object belongs, and the like
            raise MalformedBody(f"what the upstream sent is not shaped as its protocol says: {error}") from error

    def _written(self, events: list[Event]) -> bytes:
        for event in events:
            self._note(event)
        return b"".join(self._writer.write(event) for event in events)

    def _note(self, event: Event) -> None:
        protocol = self.dialect.protocol
        if isinstance(event, Lost):
            self.answer.notes.add(f"lost:{event.what}"[:120])
        elif isinstance(event, Signed) and not word_for("reasoning signature", protocol):
            self.answer.notes.add("lost:reasoning signature")
        elif isinstance(event, Used):
            for name, figure in (("cached tokens", event.usage.cached), ("reasoning tokens", event.usage.reasoning)):
                if figure and not word_for(name, protocol):
                    self.answer.notes.add(f"lost:{name}")

    def end(self) -> bytes:
        """The client's end, once the upstream's was seen."""
        return self._writer.end()

    def _failure(self) -> ClientError:
        said = self.answer.failure
        assert said is not None
        return ClientError(said.status or 502, said.code or said.type or "error_event", said.message)

    def error_frame(self, error: ClientError) -> bytes:
        return self._writer.error(error)

    def error_body(self, body: bytes, error: ClientError) -> bytes:
        return orjson.dumps(self.dialect.error_body(error))

    def read_whole(self, body: bytes) -> bytes:
        self.upstream_dialect.read_whole(body, self.answer)
        if self.answer.failure is not None:
            return body
        value = decoded(body)
        if value is None:
            raise MalformedBody("the answer is not a JSON object")
        events = self._whole_events = self._events(self._decoder.whole, value)
        for event in events:
            self._note(event)
        return tellable(self._writer.whole(events))

    def whole_to_stream(self, body: bytes) -> bytes:
        writer = MAPPINGS[self.dialect.protocol].writer(self._listener)
        return b"".join(writer.write(event) for event in self._whole_events) + writer.end()

    def is_stream(self, first: bytes) -> bool:
        return self.upstream_dialect.is_stream(first)
