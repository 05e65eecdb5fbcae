"""Gemini's answers: an upstream's read into events, and events written for a client."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson

from relay.wire import gemini
from relay.wire.events import ClientError
from relay.wire.translation.events import (
    Began,
    CallBegan,
    CallEnded,
    CallPiece,
    Event,
    Finished,
    Lost,
    Refused,
    Said,
    Signed,
    Spoken,
    Stop,
    Thinking,
    Used,
    assembled,
)
from relay.wire.translation.fields import json_object, whole_number
from relay.wire.translation.prompt import Part, Refusal, Text, Thought, ToolCall
from relay.wire.translation.signatures import GEMINI, opened, sealed
from relay.wire.translation.speaking import Listener, Told

FILTERS = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "MODEL_ARMOR")
STOPS = {"STOP": Stop.STOP, "MAX_TOKENS": Stop.LENGTH} | dict.fromkeys(FILTERS, Stop.FILTER)
REASONS = {
    Stop.STOP: "STOP",
    Stop.SEQUENCE: "STOP",
    Stop.TOOLS: "STOP",
    Stop.LENGTH: "MAX_TOKENS",
    Stop.FILTER: "SAFETY",
    Stop.REFUSAL: "PROHIBITED_CONTENT",
    Stop.PAUSE: "STOP",
}
BROKEN_CALL = "MALFORMED_FUNCTION_CALL"


class Decoder:
    """Reads responses of a stream, or a whole one."""

    def __init__(self) -> None:
        self._began = False
        self._calls: dict[int, int] = {}  # how many of each choice

    def read(self, body: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self._began:
            self._began = True
            events.append(Began(str(body.get("responseId") or ""), str(body.get("modelVersion") or "")))
        for candidate in body.get("candidates") or []:
            if isinstance(candidate, dict):
                events += self._candidate(candidate)
        feedback = body.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            events.append(Finished(Stop.FILTER, str(feedback["blockReason"])))
        if isinstance(body.get("usageMetadata"), dict):
            events.append(Used(gemini.usage_of(body["usageMetadata"])))
        return events

    whole = read

    def _candidate(self, candidate: dict[str, Any]) -> list[Event]:
        choice = whole_number(candidate.get("index"), 0)
        events: list[Event] = []
        for part in gemini.parts_of(candidate):
            events += self._part(choice, part)
        for name in ("citationMetadata", "groundingMetadata"):
            if candidate.get(name):
                events.append(Lost(name))
        if raw := candidate.get("finishReason"):
            stop = STOPS.get(str(raw), Stop.OTHER)
            events.append(Finished(Stop.TOOLS if stop is Stop.STOP and choice in self._calls else stop, str(raw), choice))
        return events

    def _part(self, choice: int, part: dict[str, Any]) -> list[Event]:
        signature = part.get("thoughtSignature")
        signed = opened(signature, GEMINI) if isinstance(signature, str) and signature else None
        if isinstance(call := part.get("functionCall"), dict):
            return self._call(choice, call, signed)
        events: list[Event] = []
        text = part.get("text")
        if isinstance(text, str) and text:
            events.append(Thinking(text, choice) if part.get("thought") else Said(text, choice))
        elif not isinstance(text, str):
            events.append(Lost(f"part {next(iter(part), '')}"))
        if signed:
            events.append(Signed(*signed, choice))
        return events

    def _call(self, choice: int, call: dict[str, Any], signed: tuple[str, str] | None) -> list[Event]:
        number = self._calls.get(choice, 0)
        self._calls[choice] = number + 1
        name = str(call.get("name") or "")
        events: list[Event] = [Signed(*signed, choice, call=number)] if signed else []
        events.append(CallBegan(number, str(call.get("id") or f"call_{number}_{name}"), name, choice))
        events.append(CallPiece(number, orjson.dumps(call.get("args") or {}).decode(), choice))
        return [*events, CallEnded(number, choice)]


class Writer:
    """Writes responses of a stream, or a whole one. A call is written when its arguments are whole: it has no pieces."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told = Told()
        self._calls: dict[tuple[int, int], ToolCall] = {}
        self._pieces: dict[tuple[int, int], list[str]] = {}  # of the open calls' arguments
        self._signs: dict[tuple[int, int], Signed] = {}
        self._broken: set[int] = set()  # choices with a call whose arguments are no JSON
        self._wrote = False

    def write(self, event: Event) -> bytes:
        match event:
            case Began(id):
                self._told.id = self._told.id or id
            case Used():
                self._told.used = event
            case Finished(choice=choice):
                self._told.finished[choice] = event
            case CallBegan(call, id, name, choice):
                sign = self._signs.get((choice, call))
                self._calls[choice, call] = ToolCall(id, name, "", sign.value if sign else "", sign.vendor if sign else "")
                self._pieces[choice, call] = []
            case CallPiece(call, text, choice) if (choice, call) in self._calls:
                self._pieces[choice, call].append(text)
            case Signed(choice=choice, call=int(call)):
                self._signs[choice, call] = event
            case CallEnded(call, choice) if (choice, call) in self._calls:
                return self._call(choice, call)
            case Said(text, choice) | Refused(text, choice):
                return self._chunk(choice, [{"text": text}])
            case Thinking(text, choice):
                return self._chunk(choice, [{"text": text, "thought": True}])
            case Signed(value, vendor, choice):
                return self._chunk(choice, [{"text": "", "thought": True, "thoughtSignature": sealed(value, vendor, GEMINI)}])
        return b""

    def _call(self, choice: int, call: int) -> bytes:
        whole = replace(self._calls.pop((choice, call)), arguments="".join(self._pieces.pop((choice, call))))
        part = _call_part(whole)
        if part is None:
            self._broken.add(choice)
            return b""
        return self._chunk(choice, [part])

    def _chunk(self, choice: int, parts: list[dict[str, Any]], reason: str | None = None) -> bytes:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": choice}
        return self._framed(self._frame([candidate | ({"finishReason": reason} if reason else {})]))

    def _frame(self, candidates: list[dict[str, Any]]) -> dict[str, Any]:
        found = {"candidates": candidates, "modelVersion": self._listener.model}
        return found | {"responseId": self._told.id or self._listener.seed}

    def _framed(self, body: dict[str, Any]) -> bytes:
        data = orjson.dumps(body)
        if not self._listener.as_array:
            return b"data: " + data + b"\n\n"
        begun, self._wrote = self._wrote, True
        return (b",\n" if begun else b"[") + data

    def end(self) -> bytes:
        out = b"".join(self._call(*key) for key in list(self._calls))
        ends = [self._end(choice, end) for choice, end in sorted(self._told.finished.items())]
        last = self._frame(ends) | ({"usageMetadata": usage(self._told.used)} if self._told.used else {})
        return out + self._framed(last) + (b"]" if self._listener.as_array else b"")

    def _end(self, choice: int, end: Finished) -> dict[str, Any]:
        broken = choice in self._broken and end.stop is not Stop.LENGTH
        reason = BROKEN_CALL if broken else REASONS.get(end.stop, end.raw)
        return {"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": reason, "index": choice}

    def error(self, error: ClientError) -> bytes:
        data = orjson.dumps(gemini.error_body(error))
        if not self._listener.as_array:
            return b"data: " + data + b"\n\n"
        return (b",\n" if self._wrote else b"[") + data + b"]"

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        reply = assembled(events)
        self._told.id = reply.id
        body = self._frame([self._candidate(index, spoken) for index, spoken in enumerate(reply.choices)])
        return body | ({"usageMetadata": usage(reply.used)} if reply.used else {})

    def _candidate(self, index: int, spoken: Spoken) -> dict[str, Any]:
        parts = []
        for part in spoken.parts:
            written = _whole_part(part)
            if written is None:
                self._broken.add(index)
            else:
                parts.append(written)
        found: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "index": index}
        if spoken.finished is not None:
            found["finishReason"] = self._end(index, spoken.finished)["finishReason"]
        return found


def _call_part(call: ToolCall) -> dict[str, Any] | None:
    """The call as a part; None when its arguments are no JSON, which this protocol cannot say."""
    arguments = json_object(call.arguments)
    if arguments is None:
        return None
    found: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    return found | ({"thoughtSignature": sealed(call.signature, call.vendor, GEMINI)} if call.signature else {})


def _whole_part(part: Part) -> dict[str, Any] | None:
    match part:
        case ToolCall():
            return _call_part(part)
        case Thought(text, signature, vendor):
            sign = {"thoughtSignature": sealed(signature, vendor, GEMINI)} if signature else {}
            return {"text": text, "thought": True, **sign}
        case Text(text) | Refusal(text):
            return {"text": text}
    return {"text": ""}


def usage(used: Used) -> dict[str, Any]:
    """Gemini's words for tokens."""
    figures = used.usage
    total = figures.total if figures.total is not None else (figures.input or 0) + (figures.output or 0)
    found: dict[str, Any] = {
        "promptTokenCount": figures.input or 0,
        "candidatesTokenCount": max((figures.output or 0) - (figures.reasoning or 0), 0),
        "totalTokenCount": total,
    }
    if figures.cached is not None:
        found["cachedContentTokenCount"] = figures.cached
    return found | ({"thoughtsTokenCount": figures.reasoning} if figures.reasoning else {})
