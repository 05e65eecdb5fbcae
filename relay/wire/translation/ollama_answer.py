"""Ollama's answers: an upstream's read into events, and events written for a client of `/api/chat` or `/api/generate`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from relay.wire import ollama
from relay.wire.events import Answer, ClientError
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
    Stop,
    Thinking,
    Used,
    assembled,
)
from relay.wire.translation.fields import json_object, json_text
from relay.wire.translation.prompt import Refusal, Text, Thought, ToolCall
from relay.wire.translation.speaking import Listener, Told

STOPS = {"stop": Stop.STOP, "length": Stop.LENGTH}
REASONS = {Stop.LENGTH: "length", Stop.OTHER: ""}


class Decoder:
    """Reads lines, or a whole answer."""

    def __init__(self) -> None:
        self._began = False
        self._calls = 0

    def read(self, body: dict[str, Any]) -> list[Event]:
        events: list[Event] = [] if self._began else [Began("", str(body.get("model") or ""))]
        self._began = True
        message = body.get("message")
        said: dict[str, Any] = message if isinstance(message, dict) else {"content": body.get("response"), **body}
        if text := said.get("thinking"):
            events.append(Thinking(str(text)))
        if text := said.get("content"):
            events.append(Said(str(text)))
        for call in said.get("tool_calls") or []:
            events += self._call(call if isinstance(call, dict) else {})
        if said.get("images"):
            events.append(Lost("images"))
        return events + (self._ended(body) if body.get("done") is True else [])

    whole = read

    def _call(self, call: dict[str, Any]) -> list[Event]:
        number = self._calls
        self._calls += 1
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        name = str(function.get("name") or "")
        began = CallBegan(number, str(call.get("id") or f"call_{number}_{name}"), name)
        return [began, CallPiece(number, json_text(function.get("arguments") or {})), CallEnded(number)]

    def _ended(self, body: dict[str, Any]) -> list[Event]:
        answer = Answer()
        ollama.learn(body, answer)
        events: list[Event] = [Used(answer.usage)] if answer.usage else []
        raw = answer.finish_reason
        if raw is None:
            return events
        stop = STOPS.get(raw, Stop.OTHER)
        return [*events, Finished(Stop.TOOLS if stop is Stop.STOP and self._calls else stop, raw)]


class Writer:
    """Writes lines, or a whole answer. A call is written when its arguments are whole: it has no pieces."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told = Told()
        self._calls: dict[int, ToolCall] = {}
        self._pieces: dict[int, list[str]] = {}  # of the open calls' arguments
        self._generates = listener.path.endswith("/generate")

    def write(self, event: Event) -> bytes:
        match event:
            case Used():
                self._told.used = event
            case Finished():
                self._told.finished[0] = event
            case CallBegan(call, id, name):
                self._calls[call] = ToolCall(id, name, "")
                self._pieces[call] = []
            case CallPiece(call, text) if call in self._calls:
                self._pieces[call].append(text)
            case CallEnded(call) if call in self._calls:
                return self._line(self._body(calls=self._take([call])) | {"done": False})
            case Said(text) | Refused(text):
                return self._line(self._body(text) | {"done": False})
            case Thinking(text):
                return self._line(self._body(thinking=text) | {"done": False})
        return b""

    def _take(self, calls: list[int]) -> list[ToolCall]:
        """These calls with their arguments; without those whose arguments are no JSON, which this protocol cannot say."""
        found = [replace(self._calls.pop(call), arguments="".join(self._pieces.pop(call))) for call in calls]
        return [call for call in found if json_object(call.arguments) is not None]

    def _line(self, body: dict[str, Any]) -> bytes:
        """Go escapes the two line separators of Unicode, and clients that split by lines rely on it."""
        return orjson.dumps(body).replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029") + b"\n"

    def _body(self, text: str = "", thinking: str = "", calls: Iterable[ToolCall] = ()) -> dict[str, Any]:
        moment = datetime.fromtimestamp(self._listener.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found: dict[str, Any] = {"model": self._listener.model, "created_at": moment}
        said: dict[str, Any] = {"thinking": thinking} if thinking else {}
        written = [{"function": {"name": call.name, "arguments": json_object(call.arguments) or {}}} for call in calls]
        said |= {"tool_calls": written} if written else {}
        if self._generates:
            return found | {"response": text} | said
        return found | {"message": {"role": "assistant", "content": text, **said}}

    def _end(self) -> dict[str, Any]:
        end, used = self._told.finished.get(0), self._told.used
        found: dict[str, Any] = {"done": True}
        if end is not None:
            found["done_reason"] = REASONS.get(end.stop, "stop") or end.raw
        if used is not None:
            found |= {"prompt_eval_count": used.usage.input or 0, "eval_count": used.usage.output or 0}
        return found

    def end(self) -> bytes:
        calls = self._take(list(self._calls))
        out = self._line(self._body(calls=calls) | {"done": False}) if calls else b""
        return out + self._line(self._body() | self._end())

    def error(self, error: ClientError) -> bytes:
        return ollama.error_frame(error, Answer())

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        reply = assembled(events)
        spoken = reply.choices[0]
        self._told.used = reply.used
        if spoken.finished is not None:
            self._told.finished[0] = spoken.finished
        text = "".join(part.text for part in spoken.parts if isinstance(part, Text | Refusal))
        thinking = "".join(part.text for part in spoken.parts if isinstance(part, Thought))
        calls = [part for part in spoken.parts if isinstance(part, ToolCall) and json_object(part.arguments) is not None]
        return self._body(text, thinking, calls) | self._end()
