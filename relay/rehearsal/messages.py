"""Anthropic messages, spoken healthily: named events, numbered content blocks, a stop reason, then `message_stop`."""

from __future__ import annotations

import orjson

from .answers import Answer, Failure, Usage
from .dialect import Usual
from .events import Event, Role, event

REASONS = {"stop": "end_turn", "tools": "tool_use", "length": "max_tokens", "filter": "refusal", "refusal": "refusal"}


class Messages(Usual):
    """See `Dialect`."""

    name = "anthropic"
    path = "/messages"
    id_prefix = "msg_"
    request_id_header = "request-id"
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    marker = event(Role.MARKER, {"type": "message_stop"}, "message_stop")

    def events(self, answer: Answer) -> list[Event]:
        started = {**_message(answer), "content": [], "stop_reason": None, "stop_sequence": None}
        started["usage"] = {**usage(answer.usage), "output_tokens": 1}
        found = [_event(Role.OPENING, "message_start", {"message": started})]
        for index, (block, deltas) in enumerate(_blocks(answer)):
            role = Role.CLOSING if index else Role.OPENING
            found.append(_event(role, "content_block_start", {"index": index, "content_block": block}))
            for delta in deltas:
                found.append(_event(Role.CONTENT, "content_block_delta", {"index": index, "delta": delta}))
            found.append(_event(Role.CLOSING, "content_block_stop", {"index": index}))
        return [*found, finish_event(answer), self.marker]

    def whole(self, answer: Answer) -> dict[str, object]:
        content = [_filled(block, deltas) for block, deltas in _blocks(answer)]
        return {
            **_message(answer),
            "content": content,
            "stop_reason": REASONS.get(answer.finish, answer.finish),
            "stop_sequence": None,
            "usage": usage(answer.usage),
        }

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        return event(Role.ERROR, self.failure_body(failure), "error")

    def failure_body(self, failure: Failure) -> dict[str, object]:
        return {"type": "error", "error": {"type": failure.type, "message": failure.message}, "request_id": None}


def usage(figures: Usage) -> dict[str, object]:
    """Usage as messages report it: what was read from a cache is counted apart from the input."""
    return {
        "input_tokens": figures.input - figures.cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": figures.cached,
        "output_tokens": figures.output,
    }


def finish_event(answer: Answer, figures: Usage | None = None) -> Event:
    """The event with the stop reason and the cumulative usage."""
    delta = {"stop_reason": REASONS.get(answer.finish, answer.finish), "stop_sequence": None}
    return _event(Role.FINISH, "message_delta", {"delta": delta, "usage": usage(figures or answer.usage)})


def usage_event(answer: Answer) -> Event:
    """A further event that says only what was used."""
    return _event(
        Role.USAGE,
        "message_delta",
        {"delta": {"stop_reason": None, "stop_sequence": None}, "usage": usage(answer.usage)},
    )


def _event(role: Role, name: str, payload: dict[str, object]) -> Event:
    return event(role, {"type": name, **payload}, name)


def _message(answer: Answer) -> dict[str, object]:
    return {"id": answer.id, "type": "message", "role": "assistant", "model": answer.model}


Block = tuple[dict[str, object], list[dict[str, object]]]


def _blocks(answer: Answer) -> list[Block]:
    """Each content block as it starts, and its deltas."""
    blocks: list[Block] = []
    if answer.reasoning:
        deltas: list[dict[str, object]] = [{"type": "thinking_delta", "thinking": text} for text in answer.reasoning]
        deltas.append({"type": "signature_delta", "signature": "c2lnbmVk"})
        blocks.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    text = (*answer.text, answer.refusal) if answer.refusal else answer.text
    if text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in text]))
    for call in answer.calls:
        opened: dict[str, object] = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}
        blocks.append((opened, [{"type": "input_json_delta", "partial_json": piece} for piece in call.arguments]))
    return blocks


def _filled(block: dict[str, object], deltas: list[dict[str, object]]) -> dict[str, object]:
    """The block as a whole answer has it."""

    def joined(key: str) -> str:
        return "".join(str(delta.get(key, "")) for delta in deltas)

    if block["type"] == "text":
        return {**block, "text": joined("text")}
    if block["type"] == "thinking":
        return {**block, "thinking": joined("thinking"), "signature": joined("signature")}
    try:
        return {**block, "input": orjson.loads(joined("partial_json"))}
    except orjson.JSONDecodeError:  # arguments that a scenario left incomplete
        return block
