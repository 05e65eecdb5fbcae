"""Chat completions' answers: an upstream's read into events, and events written for a client."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from relay.wire import openai_chat
from relay.wire.events import Answer, ClientError, sse
from relay.wire.translation.chat_request import written_call
from relay.wire.translation.events import (
    Began,
    CallBegan,
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
from relay.wire.translation.fields import whole_number
from relay.wire.translation.prompt import Refusal, Text, Thought, ToolCall
from relay.wire.translation.signatures import GEMINI, opened, sealed
from relay.wire.translation.speaking import Listener, Told

STOPS = {
    "stop": Stop.STOP,
    "length": Stop.LENGTH,
    "tool_calls": Stop.TOOLS,
    "function_call": Stop.TOOLS,
    "content_filter": Stop.FILTER,
}
REASONS = {
    Stop.STOP: "stop",
    Stop.SEQUENCE: "stop",
    Stop.TOOLS: "tool_calls",
    Stop.LENGTH: "length",
    Stop.FILTER: "content_filter",
    Stop.REFUSAL: "content_filter",
    Stop.PAUSE: "stop",
}


class Decoder:
    """Reads chunks, or a whole completion."""

    def __init__(self) -> None:
        self._began = False
        self._calls: dict[tuple[int, int], tuple[int, str]] = {}  # by choice and their index: ours, and the id
        self._counts: dict[int, int] = {}

    def read(self, body: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        if not self._began:
            self._began = True
            events.append(Began(_text(body.get("id")), _text(body.get("model"))))
        for choice in body.get("choices") or []:
            if isinstance(choice, dict):
                index = whole_number(choice.get("index"), 0)
                delta = choice.get("delta") or choice.get("message")
                events += self._delta(index, delta if isinstance(delta, dict) else {})
                if choice.get("finish_reason"):
                    raw = _text(choice["finish_reason"])
                    events.append(Finished(STOPS.get(raw, Stop.OTHER), raw, index))
        if isinstance(body.get("usage"), dict):
            events.append(Used(openai_chat.usage_of(body["usage"])))
        return events

    whole = read

    def _delta(self, choice: int, delta: dict[str, Any]) -> Iterator[Event]:
        thought = _text(delta.get("reasoning_content") or delta.get("reasoning"))
        if thought:
            yield Thinking(thought, choice)
        for detail in delta.get("reasoning_details") or []:
            value, vendor = opened(_text(detail.get("signature") or detail.get("data")), "")
            if value and vendor:
                yield Signed(value, vendor, choice, detail.get("type") == "reasoning.encrypted")
        if text := delta.get("content"):
            yield Said(_text(text), choice)
        if text := delta.get("refusal"):
            yield Refused(_text(text), choice)
        for at, call in enumerate(delta.get("tool_calls") or []):
            if isinstance(call, dict):
                yield from self._call(choice, call, at)
        if isinstance(function := delta.get("function_call"), dict):
            yield from self._call(choice, {"index": 0, "id": "call_0", "function": function}, 0)
        for name in ("audio", "annotations", "images"):
            if delta.get(name):
                yield Lost(name)

    def _call(self, choice: int, call: dict[str, Any], at: int) -> Iterator[Event]:
        """Some senders give every call the index 0: a new id under a known index is another call."""
        index = whole_number(call.get("index"), at)
        given = _text(call.get("id"))
        said = call.get("function")
        function: dict[str, Any] = said if isinstance(said, dict) else {}
        known = self._calls.get((choice, index))
        if known is None or (given and given != known[1]):
            number = self._counts.get(choice, 0)
            self._counts[choice] = number + 1
            known = self._calls[choice, index] = (number, given or f"call_{number}")
            if signature := ((call.get("extra_content") or {}).get("google") or {}).get("thought_signature"):
                yield Signed(*opened(_text(signature), GEMINI), choice, call=number)
            yield CallBegan(number, known[1], _text(function.get("name")), choice)
        if arguments := function.get("arguments"):
            yield CallPiece(known[0], _text(arguments), choice)


class Writer:
    """Writes chunks, or a whole completion."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told = Told()
        self._opened: set[int] = set()
        self._signs: dict[tuple[int, int], Signed] = {}

    def write(self, event: Event) -> bytes:
        match event:
            case Began(id):
                self._told.id = self._told.id or id
            case Used():
                self._told.used = event
            case Finished(choice=choice):
                self._told.finished[choice] = event
                return self._opening(choice)
            case Signed(choice=choice, call=int(call)):
                self._signs[choice, call] = event
            case CallBegan(call, choice=choice):
                delta = _delta(event)
                if sign := self._signs.get((choice, call)):
                    delta["tool_calls"][0]["extra_content"] = _extra(sign.value, sign.vendor)
                return self._opening(choice) + self._chunk(choice, delta)
            case Said() | Refused() | Thinking() | Signed() | CallPiece():
                return self._opening(event.choice) + self._chunk(event.choice, _delta(event))
        return b""

    def _opening(self, choice: int) -> bytes:
        if choice in self._opened:
            return b""
        self._opened.add(choice)
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def _chunk(self, choice: int, delta: dict[str, Any], reason: str | None = None) -> bytes:
        one = {"index": choice, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse(self._frame("chat.completion.chunk") | {"choices": [one]})

    def _frame(self, kind: str) -> dict[str, Any]:
        told = self._told.id or f"chatcmpl-{self._listener.seed}"
        return {"id": told, "object": kind, "created": self._listener.now, "model": self._listener.model}

    def end(self) -> bytes:
        frames = [self._chunk(choice, {}, REASONS.get(end.stop, end.raw)) for choice, end in sorted(self._told.finished.items())]
        options = self._listener.body.get("stream_options")
        if self._told.used is not None and isinstance(options, dict) and options.get("include_usage"):
            frames.append(sse(self._frame("chat.completion.chunk") | {"choices": [], "usage": usage(self._told.used)}))
        return b"".join(frames) + openai_chat.END

    def error(self, error: ClientError) -> bytes:
        return openai_chat.error_frame(error, Answer())

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        reply = assembled(events)
        self._told.id = reply.id
        choices = [_choice(index, spoken) for index, spoken in enumerate(reply.choices)]
        body = self._frame("chat.completion") | {"choices": choices}
        return body | ({"usage": usage(reply.used)} if reply.used else {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _delta(event: Said | Refused | Thinking | Signed | CallBegan | CallPiece) -> dict[str, Any]:
    match event:
        case Said(text):
            return {"content": text}
        case Refused(text):
            return {"refusal": text}
        case Thinking(text):
            return {"reasoning_content": text}
        case CallBegan(call, id, name):
            return {"tool_calls": [{"index": call, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]}
        case CallPiece(call, text):
            return {"tool_calls": [{"index": call, "function": {"arguments": text}}]}
        case Signed(value, vendor, redacted=redacted):
            return {"reasoning_details": [_detail(value, vendor, redacted)]}
    return {}


def _extra(value: str, vendor: str) -> dict[str, Any]:
    return {"google": {"thought_signature": sealed(value, vendor, GEMINI)}}


def _detail(value: str, vendor: str, redacted: bool, text: str = "") -> dict[str, Any]:
    """Reasoning's signature in the words of OpenRouter, whose clients send them back."""
    if redacted:
        return {"type": "reasoning.encrypted", "data": sealed(value, vendor, ""), "index": 0}
    return {"type": "reasoning.text", "signature": sealed(value, vendor, ""), "index": 0} | ({"text": text} if text else {})


def _choice(index: int, spoken: Spoken) -> dict[str, Any]:
    texts = [part.text for part in spoken.parts if isinstance(part, Text)]
    refusals = [part.text for part in spoken.parts if isinstance(part, Refusal)]
    thoughts = [part for part in spoken.parts if isinstance(part, Thought)]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    message["refusal"] = "".join(refusals) or None
    if text := "".join(thought.text for thought in thoughts):
        message["reasoning_content"] = text
    if signed := [thought for thought in thoughts if thought.signature]:
        message["reasoning_details"] = [_detail(t.signature, t.vendor, t.redacted, t.text) for t in signed]
    calls = [part for part in spoken.parts if isinstance(part, ToolCall)]
    if calls:
        message["tool_calls"] = [
            written_call(call) | ({"extra_content": _extra(call.signature, call.vendor)} if call.signature else {})
            for call in calls
        ]
    end = spoken.finished
    reason = REASONS.get(end.stop, end.raw) if end else None
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


def usage(used: Used) -> dict[str, Any]:
    """Chat's words for tokens."""
    figures = used.usage
    total = figures.total if figures.total is not None else (figures.input or 0) + (figures.output or 0)
    found: dict[str, Any] = {
        "prompt_tokens": figures.input or 0,
        "completion_tokens": figures.output or 0,
        "total_tokens": total,
    }
    if figures.cached is not None:
        found["prompt_tokens_details"] = {"cached_tokens": figures.cached}
    if figures.reasoning is not None:
        found["completion_tokens_details"] = {"reasoning_tokens": figures.reasoning}
    return found
