"""Anthropic Messages' answers: an upstream's read into events, and events written for a client."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from relay.wire import anthropic
from relay.wire.events import Answer, ClientError, Usage, sse
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
    Stop,
    Thinking,
    Used,
    assembled,
)
from relay.wire.translation.fields import json_object, whole_number
from relay.wire.translation.messages_request import UNSAFE
from relay.wire.translation.prompt import Part, Refusal, Text, Thought, ToolCall
from relay.wire.translation.signatures import ANTHROPIC, opened, sealed
from relay.wire.translation.speaking import Listener, OpeningWriter, Told

STOPS = {
    "end_turn": Stop.STOP,
    "stop_sequence": Stop.SEQUENCE,
    "tool_use": Stop.TOOLS,
    "max_tokens": Stop.LENGTH,
    "model_context_window_exceeded": Stop.LENGTH,
    "refusal": Stop.REFUSAL,
    "pause_turn": Stop.PAUSE,
}
REASONS = {
    Stop.STOP: "end_turn",
    Stop.SEQUENCE: "stop_sequence",
    Stop.TOOLS: "tool_use",
    Stop.LENGTH: "max_tokens",
    Stop.FILTER: "refusal",
    Stop.REFUSAL: "refusal",
    Stop.PAUSE: "pause_turn",
}


class Decoder:
    """Reads message events, or a whole message."""

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}  # by the block's index
        self._usage: Usage | None = None

    def read(self, body: dict[str, Any]) -> list[Event]:
        index = whole_number(body.get("index"), 0)
        match body.get("type"):
            case "message_start" if isinstance(message := body.get("message"), dict):
                return [Began(str(message.get("id") or ""), str(message.get("model") or "")), *self._used(message)]
            case "content_block_start" if isinstance(block := body.get("content_block"), dict):
                return self._block(index, block)
            case "content_block_delta" if isinstance(delta := body.get("delta"), dict):
                return self._delta(index, delta)
            case "content_block_stop" if index in self._calls:
                return [CallEnded(self._calls[index])]
            case "message_delta":
                delta = body.get("delta")
                return [*self._used(body), *_finished(delta if isinstance(delta, dict) else {})]
        return []

    def whole(self, body: dict[str, Any]) -> list[Event]:
        events: list[Event] = [Began(str(body.get("id") or ""), str(body.get("model") or ""))]
        for index, block in enumerate(body.get("content") or []):
            if isinstance(block, dict):
                events += self._block(index, block)
                if block.get("type") == "tool_use" and block.get("input"):
                    events.append(CallPiece(self._calls[index], orjson.dumps(block["input"]).decode()))
        return [*events, *self._used(body), *_finished(body)]

    def _block(self, index: int, block: dict[str, Any]) -> list[Event]:
        match block.get("type"):
            case "text":
                return [Said(block["text"])] if block.get("text") else []
            case "thinking":
                events: list[Event] = [Thinking(block["thinking"])] if block.get("thinking") else []
                return events + _signed(block.get("signature"))
            case "redacted_thinking":
                value, vendor = opened(str(block.get("data") or ""), ANTHROPIC)
                return [Signed(value, vendor, redacted=True)]
            case "tool_use":
                call = self._calls[index] = len(self._calls)
                return [CallBegan(call, str(block.get("id") or ""), str(block.get("name") or ""))]
        return [Lost(f"content block {block.get('type')}")]

    def _delta(self, index: int, delta: dict[str, Any]) -> list[Event]:
        match delta.get("type"):
            case "text_delta":
                return [Said(str(delta.get("text") or ""))]
            case "thinking_delta":
                return [Thinking(str(delta.get("thinking") or ""))]
            case "signature_delta":
                return _signed(delta.get("signature"))
            case "input_json_delta" if index in self._calls:
                return [CallPiece(self._calls[index], str(delta.get("partial_json") or ""))]
            case "input_json_delta":
                return []
        return [Lost(str(delta.get("type")))]

    def _used(self, holder: dict[str, Any]) -> list[Event]:
        """Usage comes in parts."""
        usage = holder.get("usage")
        if not isinstance(usage, dict):
            return []
        self._usage = anthropic.usage_of(usage, self._usage)
        return [Used(self._usage)]


def _signed(signature: Any) -> list[Event]:
    if not isinstance(signature, str) or not signature:
        return []
    value, vendor = opened(signature, ANTHROPIC)
    return [Signed(value, vendor)]


def _finished(holder: dict[str, Any]) -> list[Event]:
    raw = holder.get("stop_reason")
    if not raw:
        return []
    sequence = holder.get("stop_sequence")
    return [Finished(STOPS.get(raw, Stop.OTHER), str(raw), sequence=sequence if isinstance(sequence, str) else None)]


class Writer(OpeningWriter):
    """Writes message events, or a whole message. Blocks of parallel calls may be open at once, each under its index."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told = Told()
        self._started = False
        self._count = 0
        self._open = ""  # text or thinking: the kind of the block that is being written
        self._calls: dict[int, int] = {}  # open calls, by the index of their block

    def _content(self, event: Event) -> bytes:
        match event:
            case Said(text) | Refused(text):
                return self._into("text", {"type": "text", "text": ""}, {"type": "text_delta", "text": text})
            case Thinking(text):
                empty = {"type": "thinking", "thinking": "", "signature": ""}
                return self._into("thinking", empty, {"type": "thinking_delta", "thinking": text})
            case Signed(value, vendor, redacted=True):
                block = {"type": "redacted_thinking", "data": sealed(value, vendor, ANTHROPIC)}
                return self._close_open() + self._begin(block) + self._stop(self._count - 1)
            case Signed(value, vendor):
                delta = {"type": "signature_delta", "signature": sealed(value, vendor, ANTHROPIC)}
                return self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""}, delta) + self._close_open()
            case CallBegan(call, id, name):
                closing = self._close_open()
                self._calls[call] = self._count
                called = {"type": "tool_use", "id": UNSAFE.sub("_", id) or f"call_{call}", "name": name, "input": {}}
                return closing + self._begin(called)
            case CallPiece(call, text) if call in self._calls:
                return self._delta(self._calls[call], {"type": "input_json_delta", "partial_json": text})
            case CallEnded(call) if call in self._calls:
                return self._stop(self._calls.pop(call))
        return b""

    def _start(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        return _event("message_start", {"message": self._message([], None) | {"usage": usage(self._told.used)}})

    def _message(self, content: list[dict[str, Any]], end: Finished | None) -> dict[str, Any]:
        return {
            "id": self._told.id or f"msg_{self._listener.seed}",
            "type": "message",
            "role": "assistant",
            "model": self._listener.model,
            "content": content,
            **_ended(end),
        }

    def _into(self, kind: str, empty: dict[str, Any], delta: dict[str, Any]) -> bytes:
        """The delta, in a block of this kind: the one that is open, or a new one."""
        begun = b""
        if self._open != kind:
            begun = self._close_open() + self._begin(empty)
            self._open = kind
        return begun + self._delta(self._count - 1, delta)

    def _begin(self, block: dict[str, Any]) -> bytes:
        self._count += 1
        return _event("content_block_start", {"index": self._count - 1, "content_block": block})

    def _delta(self, index: int, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", {"index": index, "delta": delta})

    def _stop(self, index: int) -> bytes:
        return _event("content_block_stop", {"index": index})

    def _close_open(self) -> bytes:
        """Ends the block of text or thinking, which is always the last one."""
        if not self._open:
            return b""
        self._open = ""
        return self._stop(self._count - 1)

    def _close(self) -> bytes:
        calls = b"".join(self._stop(index) for index in self._calls.values())
        self._calls.clear()
        return self._close_open() + calls

    def end(self) -> bytes:
        delta = _event("message_delta", {"delta": _ended(self._told.finished.get(0)), "usage": usage(self._told.used)})
        return self._start() + self._close() + delta + anthropic.END

    def error(self, error: ClientError) -> bytes:
        return anthropic.error_frame(error, Answer())

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        reply = assembled(events)
        self._told.id = reply.id
        spoken = reply.choices[0]
        content = []
        for part in spoken.parts:
            if isinstance(part, ToolCall) and part.signature:  # in a block of its own, before the call's
                content.append(_whole_block(Thought("", part.signature, part.vendor)))
            content.append(_whole_block(part))
        return self._message(content, spoken.finished) | {"usage": usage(reply.used)}


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return sse({"type": name, **payload}, name)


def _ended(end: Finished | None) -> dict[str, Any]:
    if end is None:
        return {"stop_reason": None, "stop_sequence": None}
    reason = REASONS.get(end.stop, end.raw)
    if end.stop is Stop.SEQUENCE and end.sequence is None:
        reason = "end_turn"
    return {"stop_reason": reason, "stop_sequence": end.sequence}


def _whole_block(part: Part) -> dict[str, Any]:
    match part:
        case Thought(signature=signature, vendor=vendor, redacted=True):
            return {"type": "redacted_thinking", "data": sealed(signature, vendor, ANTHROPIC)}
        case Thought(text, signature, vendor):
            return {"type": "thinking", "thinking": text, "signature": sealed(signature, vendor, ANTHROPIC)}
        case ToolCall(id, name, arguments):
            return {"type": "tool_use", "id": UNSAFE.sub("_", id), "name": name, "input": json_object(arguments) or {}}
        case Text(text) | Refusal(text):
            return {"type": "text", "text": text}
    return {"type": "text", "text": ""}


def usage(used: Used | None) -> dict[str, Any]:
    """Messages' words for tokens: the input that was neither read from nor written to a cache, and those apart."""
    figures = used.usage if used else Usage()
    written = figures.written or 0
    cached = figures.cached or 0
    return {
        "input_tokens": max((figures.input or 0) - cached - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": figures.output or 0,
    }
