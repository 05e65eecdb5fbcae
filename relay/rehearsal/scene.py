"""Everything a play needs: the script, the request, the dialect, and the healthy answer from which it departs.

A scene is the same for streamed and whole answers: `healthy()` and `upto()` give the body in pieces, events in one case
and parts of the JSON in the other, so that most plays do not ask which of the two they are in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property

import orjson

from .answers import SENTENCES, THOUGHTS, Answer, Failure, Usage, split_words, weather_calls, words
from .dialect import Dialect
from .events import PLAIN_STYLE, Event, Role, Style
from .http1 import Request
from .script import Script
from .steps import JSON_TYPE, SSE_TYPE, Framing, Head, Pause, Steps
from .websocket import METHOD

DEFAULT_EVENTS = 5
DEFAULT_AFTER = 3
DEMO_GAP_MS = 20.0


@dataclass
class Scene:
    """One request about to be answered."""

    script: Script
    dialect: Dialect
    request: Request
    body: dict[str, object]  # the request's, empty when it was no JSON object
    identity: str  # unique for this request, and in every id of the answer
    now: int  # epoch seconds
    ordinal: int = 1  # the how-manieth request of its connection this is
    demo: bool = False
    style: Style = field(default=PLAIN_STYLE)

    @property
    def streamed(self) -> bool:
        return self.request.method == METHOD or self.dialect.streams(self.request, self.body)

    @property
    def after(self) -> int:
        """How many deltas come before what the scenario is about."""
        return max(0, self.script.count("after", DEFAULT_AFTER))

    @property
    def gap(self) -> float:
        """Seconds between two pieces."""
        return max(0.0, self.script.number("gap_ms", DEMO_GAP_MS if self.demo else 0.0) / 1000)

    @cached_property
    def answer(self) -> Answer:
        """The healthy answer, long enough that `after` deltas are never all of it."""
        script = self.script
        if self.demo and "events" not in script.parameters:
            text = split_words(SENTENCES)
        else:
            text = words(max(script.count("events", DEFAULT_EVENTS), self.after + 2 if "after" in script.parameters else 0))
        size = script.count("size", 0)
        text = tuple(piece.ljust(size, ".") for piece in text)
        asked = self.body.get("stream_options")
        return Answer(
            id=f"{self.dialect.id_prefix}{self.identity}",
            model=self.dialect.model(self.request, self.body) or "rehearsal",
            created=self.now,
            text=text,
            with_usage=isinstance(asked, dict) and asked.get("include_usage") is True,
            usage=Usage(input=script.count("input", 12), output=len(text)),
        )

    def thoughtful(self) -> Answer:
        """The answer with reasoning before it."""
        thoughts = split_words(THOUGHTS)
        usage = replace(self.answer.usage, output=self.answer.usage.output + len(thoughts), reasoning=len(thoughts))
        return replace(self.answer, reasoning=thoughts, usage=usage)

    def calling(self) -> Answer:
        """An answer that calls tools instead of saying anything."""
        calls = weather_calls(self.script.count("calls", 2), self.identity)
        return replace(self.answer, text=(), calls=calls, finish="tools", usage=replace(self.answer.usage, output=9))

    def healthy(self, answer: Answer | None = None) -> list[bytes]:
        """The whole body of a healthy answer in its pieces."""
        answer = answer or self.answer
        if self.streamed:
            return self.encode(self.dialect.events(answer))
        return [orjson.dumps(self.dialect.whole(answer))]

    def upto(self, after: int | None = None, answer: Answer | None = None) -> list[bytes]:
        """The body until `after` deltas have been said; of a whole answer, the first half of its JSON."""
        if self.streamed:
            return self.encode(self.first(after, answer))
        whole = b"".join(self.healthy(answer))
        return [whole[: len(whole) // 2]]

    def first(self, after: int | None = None, answer: Answer | None = None) -> list[Event]:
        """The events until `after` deltas have been said, the opening ones included."""
        limit = self.after if after is None else after
        found: list[Event] = []
        said = 0
        for item in self.dialect.events(answer or self.answer):
            if item.role is not Role.OPENING and said >= limit:
                break
            said += item.role is Role.CONTENT
            found.append(item)
        return found

    def without(self, *roles: Role, answer: Answer | None = None) -> list[Event]:
        """The healthy events less those of `roles`."""
        return [item for item in self.dialect.events(answer or self.answer) if item.role not in roles]

    def encode(self, events: Iterable[Event]) -> list[bytes]:
        return [item.encode(self.style) for item in events]

    def head(self, length: int = 0, framing: Framing | None = None, status: int = 200) -> Head:
        """A healthy head: chunked for a stream, with a length for a whole answer, unless the script says otherwise."""
        usual = Framing.CHUNKED if self.streamed else Framing.LENGTH
        content_type = getattr(self.dialect, "stream_type", SSE_TYPE) if self.streamed else JSON_TYPE
        return Head(status, content_type, framing or self.framing(usual), length, self.headers())

    def framing(self, usual: Framing) -> Framing:
        """The script's framing when it names one."""
        asked = self.script.text("framing")
        return Framing(asked) if asked in list(Framing) else usual

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What providers add to every answer and the relay is to pass on or record."""
        return ((self.dialect.request_id_header, f"req_{self.identity}"), ("x-ratelimit-remaining-requests", "41"))

    def flow(self, pieces: Iterable[bytes]) -> Steps:
        """The pieces with the script's gap between them."""
        for index, piece in enumerate(pieces):
            if index and self.gap:
                yield Pause(self.gap)
            yield piece

    def say(self, pieces: list[bytes]) -> Steps:
        """A proper answer with these pieces as its body."""
        yield self.head(sum(map(len, pieces)))
        yield from self.flow(pieces)

    def failure(self, status: int = 500) -> Failure:
        """The error of this scenario in its dialect's words; `error=`, `type=` and `message=` are taken verbatim."""
        kinds = {"anthropic": ANTHROPIC_ERRORS, "gemini": GEMINI_ERRORS}.get(self.dialect.name, OPENAI_ERRORS)
        kind, code = kinds.get(status) or kinds[500 if status >= 500 else 400]
        message = self.script.text("message") or f"rehearsed failure: {code}"
        return Failure(status, self.script.text("type") or kind, self.script.text("error") or code, message)


OPENAI_ERRORS = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    402: ("insufficient_quota", "insufficient_quota"),
    403: ("invalid_request_error", "model_not_allowed"),
    404: ("invalid_request_error", "model_not_found"),
    413: ("invalid_request_error", "request_too_large"),
    422: ("invalid_request_error", "unprocessable"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", "server_error"),
    503: ("server_error", "service_unavailable"),
    529: ("overloaded_error", "server_is_overloaded"),
}
ANTHROPIC_ERRORS = {
    400: ("invalid_request_error", "invalid_request_error"),
    401: ("authentication_error", "authentication_error"),
    402: ("billing_error", "billing_error"),
    403: ("permission_error", "permission_error"),
    404: ("not_found_error", "not_found_error"),
    413: ("request_too_large", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_error"),
    500: ("api_error", "api_error"),
    529: ("overloaded_error", "overloaded_error"),
}
GEMINI_ERRORS = {
    400: ("INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    401: ("UNAUTHENTICATED", "UNAUTHENTICATED"),
    403: ("PERMISSION_DENIED", "PERMISSION_DENIED"),
    404: ("NOT_FOUND", "NOT_FOUND"),
    429: ("RESOURCE_EXHAUSTED", "RESOURCE_EXHAUSTED"),
    500: ("INTERNAL", "INTERNAL"),
    503: ("UNAVAILABLE", "UNAVAILABLE"),
    529: ("UNAVAILABLE", "UNAVAILABLE"),
}
