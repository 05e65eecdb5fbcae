"""Responses' answers: an upstream's read into events. What is written for a client is in responses_writer.py."""

from __future__ import annotations

from typing import Any

from relay.wire import openai_responses
from relay.wire.events import Answer
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
)
from relay.wire.translation.signatures import OPENAI, opened

STOPS = {"max_output_tokens": Stop.LENGTH, "content_filter": Stop.FILTER}


class Decoder:
    """Reads response events, or a whole response."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}  # by the item's id
        self._heard: set[str] = set()  # items whose text came in deltas
        self._refused = False

    def read(self, body: dict[str, Any]) -> list[Event]:
        item = body.get("item")
        response = body.get("response")
        key = str(body.get("item_id") or "")
        match body.get("type"):
            case "response.created" if isinstance(response, dict):
                return [Began(str(response.get("id") or ""), str(response.get("model") or ""))]
            case "response.output_item.added" if isinstance(item, dict):
                return self._added(item)
            case "response.output_item.done" if isinstance(item, dict):
                return self._done(item)
            case "response.output_text.delta":
                self._heard.add(key)
                return [Said(str(body.get("delta") or ""))]
            case "response.refusal.delta":
                self._heard.add(key)
                self._refused = True
                return [Refused(str(body.get("delta") or ""))]
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                self._heard.add(key)
                return [Thinking(str(body.get("delta") or ""), summary="summary" in str(body.get("type")))]
            case "response.reasoning_summary_part.added" if body.get("summary_index"):
                return [Thinking("\n\n", summary=True)]
            case "response.function_call_arguments.delta" if key in self._calls:
                self._heard.add(key)
                return [CallPiece(self._calls[key], str(body.get("delta") or ""))]
            case "response.output_text.annotation.added":
                return [Lost("annotations")]
            case "response.completed" | "response.incomplete" if isinstance(response, dict):
                return self._ended(response)
        return []

    def whole(self, body: dict[str, Any]) -> list[Event]:
        events: list[Event] = [Began(str(body.get("id") or ""), str(body.get("model") or ""))]
        for item in body.get("output") or []:
            if isinstance(item, dict):
                events += self._added(item) + self._done(item)
        return events + self._ended(body)

    def _added(self, item: dict[str, Any]) -> list[Event]:
        kind, key = item.get("type"), str(item.get("id") or item.get("call_id") or "")
        if kind == "function_call":
            call = self._calls[key] = len(self._calls)
            return [CallBegan(call, str(item.get("call_id") or ""), str(item.get("name") or ""))]
        return [] if kind in ("message", "reasoning") else [Lost(f"output item {kind}")]

    def _done(self, item: dict[str, Any]) -> list[Event]:
        """The end of an item; what was not told in deltas is told now."""
        kind, key = item.get("type"), str(item.get("id") or item.get("call_id") or "")
        events: list[Event] = []
        if kind == "function_call" and key in self._calls:
            if key not in self._heard and item.get("arguments"):
                events.append(CallPiece(self._calls[key], str(item["arguments"])))
            events.append(CallEnded(self._calls[key]))
        elif kind == "message" and key not in self._heard:
            events += self._content(item)
        elif kind == "reasoning":
            if key not in self._heard:
                summary = bool(item.get("summary"))
                texts = [str(part.get("text") or "") for part in item.get("summary") or item.get("content") or []]
                events += [Thinking("\n\n".join(texts), summary=summary)] if any(texts) else []
            events += _signed(item)
        return events

    def _content(self, item: dict[str, Any]) -> list[Event]:
        events: list[Event] = []
        for part in item.get("content") or []:
            if part.get("type") == "output_text" and part.get("text"):
                events.append(Said(str(part["text"])))
            elif part.get("type") == "refusal":
                self._refused = True
                events.append(Refused(str(part.get("refusal") or "")))
        return events

    def _ended(self, response: dict[str, Any]) -> list[Event]:
        answer = Answer()
        openai_responses.learn(response, answer)
        events: list[Event] = [Used(answer.usage)] if answer.usage else []
        if answer.finish is None:
            return events
        raw = answer.finish_reason or ""
        if answer.finish == "incomplete":
            return [*events, Finished(STOPS.get(raw, Stop.OTHER), raw)]
        stop = Stop.TOOLS if self._calls else Stop.REFUSAL if self._refused else Stop.STOP
        return [*events, Finished(stop, raw)]


def _signed(item: dict[str, Any]) -> list[Event]:
    """The sealed reasoning with the id of its item: both must come back."""
    sealed = item.get("encrypted_content")
    if not isinstance(sealed, str) or not sealed:
        return []
    value, vendor = opened(sealed, OPENAI)
    if vendor == OPENAI:
        value = f"{item.get('id') or ''}|{value}"
    return [Signed(value, vendor)]
