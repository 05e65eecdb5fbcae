"""Responses written for a client: numbered events, each item from its adding to its being done, and the whole at the end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relay.wire import openai_responses
from relay.wire.events import Answer, ClientError, sse
from relay.wire.translation.events import (
    CallBegan,
    CallEnded,
    CallPiece,
    Event,
    Refused,
    Said,
    Signed,
    Stop,
    Thinking,
    Used,
)
from relay.wire.translation.fields import json_object
from relay.wire.translation.responses_request import custom_tools
from relay.wire.translation.signatures import OPENAI, sealed
from relay.wire.translation.speaking import Listener, OpeningWriter, Told

ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "reasoning",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
)
DEFAULTS: dict[str, Any] = {"metadata": {}, "parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
INCOMPLETE = {Stop.LENGTH: "max_output_tokens", Stop.FILTER: "content_filter"}


class Item:
    """One output item while it is written."""

    def __init__(self, index: int, kind: str, body: dict[str, Any]) -> None:
        self.index = index
        self.kind = kind
        self.body = body
        self.pieces: list[str] = []
        self.begun = False  # its part was added

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def place(self) -> dict[str, Any]:
        return {"item_id": self.body["id"], "output_index": self.index}


class Writer(OpeningWriter):
    """Writes response events, or a whole response."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._told = Told()
        self._number = -1
        self._items: list[Item] = []
        self._open: Item | None = None  # a message or reasoning
        self._calls: dict[int, Item] = {}
        self._custom = custom_tools(dict(listener.body))

    def _start(self) -> bytes:
        if self._number >= 0:
            return b""
        begun = {"response": self._response("in_progress")}
        return self._event("response.created", begun) + self._event("response.in_progress", begun)

    def _event(self, name: str, payload: dict[str, Any]) -> bytes:
        self._number += 1
        return sse({"type": name, "sequence_number": self._number, **payload}, name)

    def _content(self, event: Event) -> bytes:
        match event:
            case Said(text):
                return self._grow("output_text", text)
            case Refused(text):
                return self._grow("refusal", text)
            case Thinking(text):
                return self._grow("reasoning", text)
            case Signed(value, vendor):  # a call's too: an item of its own, before the call's
                begun = self._into("reasoning")
                assert self._open is not None
                self._open.body["encrypted_content"] = _encrypted(self._open.body, value, vendor)
                return begun + self._close()
            case CallBegan(call, id, name):
                return self._close() + self._call_began(call, id, name)
            case CallPiece(call, text) if call in self._calls:
                item = self._calls[call]
                item.pieces.append(text)
                if item.kind == "custom_tool_call":
                    return b""  # its text is inside JSON that is not whole yet
                return self._event("response.function_call_arguments.delta", {**item.place, "delta": text})
            case CallEnded(call) if call in self._calls:
                return self._done(self._calls.pop(call))
        return b""

    def _into(self, kind: str) -> bytes:
        """An open item of this kind: the one there is, or a new one."""
        if self._open is not None and self._open.kind == kind:
            return b""
        closed = self._close()
        number = len(self._items)
        if kind == "reasoning":
            body: dict[str, Any] = {"id": f"rs_{self._seed}_{number}", "type": "reasoning", "summary": []}
        else:
            body = {"id": f"msg_{self._seed}_{number}", "type": "message", "role": "assistant"}
            body |= {"status": "in_progress", "content": []}
        self._open = item = Item(number, kind, body)
        return closed + self._add(item)

    @property
    def _seed(self) -> str:
        return self._listener.seed

    def _add(self, item: Item) -> bytes:
        self._items.append(item)
        return self._event("response.output_item.added", {"output_index": item.index, "item": dict(item.body)})

    def _grow(self, kind: str, text: str) -> bytes:
        out = self._into(kind)
        item = self._open
        assert item is not None
        name, spot = _words(kind)
        if not item.begun:
            item.begun = True
            added = "response.reasoning_summary_part.added" if kind == "reasoning" else "response.content_part.added"
            out += self._event(added, {**item.place, spot: 0, "part": _part(kind, "")})
        item.pieces.append(text)
        extra: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
        return out + self._event(f"{name}.delta", {**item.place, spot: 0, "delta": text, **extra})

    def _call_began(self, call: int, call_id: str, name: str) -> bytes:
        number = len(self._items)
        kind = "custom_tool_call" if name in self._custom else "function_call"
        body: dict[str, Any] = {"id": f"fc_{self._seed}_{number}", "type": kind, "call_id": call_id, "name": name}
        body |= {"input": ""} if kind == "custom_tool_call" else {"arguments": ""}
        item = self._calls[call] = Item(number, kind, body | {"status": "in_progress"})
        return self._add(item)

    def _close(self) -> bytes:
        item, self._open = self._open, None
        return self._done(item) if item is not None else b""

    def _done(self, item: Item) -> bytes:
        """Ends an item: what it held is told once more as a whole."""
        out = b""
        if item.kind == "function_call":
            item.body["arguments"] = item.text
            payload = {**item.place, "name": item.body["name"], "arguments": item.text}
            out = self._event("response.function_call_arguments.done", payload)
        elif item.kind == "custom_tool_call":
            item.body["input"] = str((json_object(item.text) or {}).get("input", item.text))
            out = self._event("response.custom_tool_call_input.done", {**item.place, "input": item.body["input"]})
        elif item.begun:
            out = self._part_done(item)
        if "status" in item.body:
            item.body["status"] = "completed"
        return out + self._event("response.output_item.done", {"output_index": item.index, "item": item.body})

    def _part_done(self, item: Item) -> bytes:
        name, spot = _words(item.kind)
        part = _part(item.kind, item.text)
        held = "summary" if item.kind == "reasoning" else "content"
        item.body[held] = [part]
        text = {"refusal": item.text} if item.kind == "refusal" else {"text": item.text}
        extra: dict[str, Any] = {"logprobs": []} if item.kind == "output_text" else {}
        done = "response.reasoning_summary_part.done" if item.kind == "reasoning" else "response.content_part.done"
        whole = self._event(f"{name}.done", {**item.place, spot: 0, **text, **extra})
        return whole + self._event(done, {**item.place, spot: 0, "part": part})

    def end(self) -> bytes:
        out = self._start() + self._close() + b"".join(self._done(item) for item in self._calls.values())
        self._calls.clear()
        status, name = self._ended()
        return out + self._event(name, {"response": self._response(status)})

    def _ended(self) -> tuple[str, str]:
        end = self._told.finished.get(0)
        short = end is not None and (end.stop in INCOMPLETE or end.stop is Stop.OTHER)
        return ("incomplete", "response.incomplete") if short else ("completed", "response.completed")

    def _response(self, status: str) -> dict[str, Any]:
        listener, end = self._listener, self._told.finished.get(0)
        ended = status != "in_progress"
        reason = INCOMPLETE.get(end.stop, end.raw) if end and status == "incomplete" else None
        echoed = {name: listener.body.get(name, DEFAULTS.get(name)) for name in ECHOED}
        return {
            "id": self._id(),
            "object": "response",
            "created_at": listener.now,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": reason} if reason else None,
            "model": listener.model,
            "output": [item.body for item in self._items] if ended else [],
            **echoed,
            "usage": usage(self._told.used) if ended and self._told.used else None,
        }

    def _id(self) -> str:
        return self._told.id or f"resp_{self._listener.seed}"

    def error(self, error: ClientError) -> bytes:
        answer = Answer()
        answer.response_id, answer.sequence_number = self._told.id or None, self._number
        if self._number >= 0:  # the client knows it by an id already
            answer.response_id = self._id()
        return openai_responses.error_frame(error, answer)

    def whole(self, events: Iterable[Event]) -> dict[str, Any]:
        for event in events:
            self.write(event)
        self.end()
        return self._response(self._ended()[0])


def _words(kind: str) -> tuple[str, str]:
    """The name that an item's text has in events, and what its place is called."""
    if kind == "reasoning":
        return "response.reasoning_summary_text", "summary_index"
    return f"response.{kind}", "content_index"


def _part(kind: str, text: str) -> dict[str, Any]:
    if kind == "reasoning":
        return {"type": "summary_text", "text": text}
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _encrypted(body: dict[str, Any], value: str, vendor: str) -> str:
    """OpenAI's own goes back into an item of its own id; another's is sealed for a client of this protocol."""
    if vendor == OPENAI:
        item_id, _, value = value.partition("|")
        body["id"] = item_id or body["id"]
    return sealed(value, vendor, OPENAI)


def usage(used: Used) -> dict[str, Any]:
    """Responses' words for tokens."""
    figures = used.usage
    total = figures.total if figures.total is not None else (figures.input or 0) + (figures.output or 0)
    return {
        "input_tokens": figures.input or 0,
        "input_tokens_details": {"cached_tokens": figures.cached or 0},
        "output_tokens": figures.output or 0,
        "output_tokens_details": {"reasoning_tokens": figures.reasoning or 0},
        "total_tokens": total,
    }
