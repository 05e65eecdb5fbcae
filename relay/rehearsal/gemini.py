"""Gemini, spoken healthily: every event is a whole response, and the last of them has a finish reason.

With `alt=sse` the events are server-sent ones, without it the elements of one JSON array.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import parse_qs, unquote

import orjson

from .answers import Answer, Failure, Usage
from .dialect import Usual
from .events import PLAIN_STYLE, Event, Role, Style, event
from .http1 import Request

REASONS = {"stop": "STOP", "tools": "STOP", "length": "MAX_TOKENS", "filter": "SAFETY", "refusal": "PROHIBITED_CONTENT"}
WHOLE, STREAM = ":generateContent", ":streamGenerateContent"
SIGNATURE = "c2lnbmVk"


class Gemini(Usual):
    """See `Dialect`."""

    name = "gemini"
    path = STREAM
    id_prefix = "gem-"
    request_id_header = "x-goog-request-id"
    ping = b": keep-alive\n\n"
    marker = event(Role.MARKER, {"usageMetadata": {}})

    def serves(self, request: Request) -> bool:
        path = unquote(request.path)
        return path.endswith(WHOLE) or (path.endswith(STREAM) and parse_qs(request.query).get("alt") == ["sse"])

    def streams(self, request: Request, body: dict[str, object]) -> bool:
        return unquote(request.path).endswith(STREAM)

    def model(self, request: Request, body: dict[str, object]) -> str:
        return unquote(request.path).rpartition("models/")[2].rpartition(":")[0]

    def events(self, answer: Answer) -> list[Event]:
        everyone = range(answer.choices)
        found = []
        for part in _parts(answer):
            found += [_event(Role.CONTENT, answer, index, [part]) for index in everyone]
        found += [_event(Role.FINISH, answer, index, [{"text": ""}], _reason(answer)) for index in everyone]
        return found

    def whole(self, answer: Answer) -> dict[str, object]:
        parts = _parts(answer)
        thoughts = "".join(str(part["text"]) for part in parts if part.get("thought"))
        text = "".join(str(part["text"]) for part in parts if "text" in part and not part.get("thought"))
        joined: list[dict[str, object]] = [{"text": thoughts, "thought": True}] if thoughts else []
        joined += [{"text": text}] if text else []
        joined += [part for part in parts if "functionCall" in part]
        candidates = [_candidate(answer, index, joined, _reason(answer)) for index in range(answer.choices)]
        return {**_frame(answer), "candidates": candidates, "usageMetadata": usage(answer.usage)}

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        return event(Role.ERROR, self.failure_body(failure))

    def failure_body(self, failure: Failure) -> dict[str, object]:
        return {"error": {"code": failure.status, "message": failure.message, "status": failure.type}}


class GeminiArray(Gemini):
    """The same without `alt=sse`."""

    ping = b"\n"
    stream_type = "application/json; charset=UTF-8"

    def serves(self, request: Request) -> bool:
        return unquote(request.path).endswith(STREAM) and parse_qs(request.query).get("alt") != ["sse"]

    def events(self, answer: Answer) -> list[Event]:
        found = [Element(item.role, item.data) for item in super().events(answer)]
        found[0] = replace(found[0], first=True)
        found[-1] = replace(found[-1], last=True)
        return list(found)

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        return Element(Role.ERROR, orjson.dumps(self.failure_body(failure)), first=not sequence, last=True)


@dataclass(frozen=True, slots=True)
class Element(Event):
    """One element of the array."""

    first: bool = False
    last: bool = False

    def encode(self, style: Style = PLAIN_STYLE) -> bytes:
        return (b"[" if self.first else b",\r\n") + self.data + (b"]" if self.last else b"")


def usage(figures: Usage) -> dict[str, object]:
    """Usage as Gemini reports it: thoughts are counted apart from the candidates."""
    found: dict[str, object] = {
        "promptTokenCount": figures.input,
        "cachedContentTokenCount": figures.cached,
        "candidatesTokenCount": figures.output - figures.reasoning,
        "totalTokenCount": figures.total,
    }
    return found | ({"thoughtsTokenCount": figures.reasoning} if figures.reasoning else {})


def _parts(answer: Answer) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = [{"text": piece, "thought": True} for piece in answer.reasoning]
    parts += [{"text": piece} for piece in (*answer.text, answer.refusal) if piece]
    for number, call in enumerate(answer.calls):
        try:
            arguments = orjson.loads("".join(call.arguments))
        except orjson.JSONDecodeError:  # arguments that a scenario left incomplete
            arguments = {}
        part: dict[str, object] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
        parts.append(part | ({} if number else {"thoughtSignature": SIGNATURE}))
    return parts


def _reason(answer: Answer) -> str:
    return REASONS.get(answer.finish, answer.finish)


def _frame(answer: Answer) -> dict[str, object]:
    return {"responseId": answer.id, "modelVersion": answer.model}


def _candidate(answer: Answer, index: int, parts: list[dict[str, object]], reason: str | None) -> dict[str, object]:
    found: dict[str, object] = {"content": {"role": "model", "parts": parts}, "index": index}
    return found | ({"finishReason": reason} if reason else {})


def _event(role: Role, answer: Answer, index: int, parts: list[dict[str, object]], reason: str | None = None) -> Event:
    figures = usage(answer.usage) if reason else {"promptTokenCount": answer.usage.input}
    candidates = [_candidate(answer, index, parts, reason)]
    return event(role, {**_frame(answer), "candidates": candidates, "usageMetadata": figures})
