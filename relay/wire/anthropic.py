"""Anthropic Messages: named events; `message_delta` carries the stop reason, `message_stop` ends it, `error` fails it."""

from __future__ import annotations

from typing import Any

from relay.wire.events import (
    Answer,
    Arguments,
    ClientError,
    Kind,
    Mark,
    RequestFacts,
    Usage,
    count,
    decoded,
    failure_of,
    request_facts,
    sse,
    tellable,
    whole,
    whole_answer,
)
from relay.wire.sse import Frame

TAG, PROTOCOL = "messages", "anthropic"
HEARTBEAT = b'event: ping\ndata: {"type": "ping"}\n\n'
END, END_NAME = b'event: message_stop\ndata: {"type":"message_stop"}\n\n', "message_stop"
COMPLETED = frozenset({"end_turn", "tool_use", "stop_sequence", "pause_turn"})
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Reader:
    """Taps a stream of message events. Never raises."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.body: dict[str, Any] | None = None
        self._arguments = Arguments()

    def read(self, frame: Frame) -> Mark:
        if frame.comment_only:
            return Mark(Kind.PING, "comment")
        answer = self.answer
        answer.counts_event()
        body = self.body = decoded(frame.data, answer)
        if body is None:
            answer.notes.add("malformed-event")
            return Mark(Kind.MALFORMED, "malformed")
        name = (body.get("type") if isinstance(body.get("type"), str) else frame.event) or "other"
        name = name[:100]
        if name == "error" or frame.event == "error" or body.get("error"):
            if answer.failure is None and not answer.terminal:
                answer.failure = failure_of(body.get("error") or body)
            return Mark(Kind.ERROR, name)
        return self._mark(name, body)

    def _mark(self, name: str, body: dict[str, Any]) -> Mark:
        answer = self.answer
        if name == "ping":
            return Mark(Kind.PING, name)
        if name == "message_start":
            message = body.get("message")
            if isinstance(message, dict):
                answer.response_id = message["id"] if isinstance(message.get("id"), str) else None
                learn_usage(message.get("usage"), answer)
            return Mark(Kind.OPENING, name)
        if name == "message_stop":
            answer.terminal = True
            if answer.finish is None:
                answer.notes.add("finish-reason-missing")
            return Mark(Kind.TERMINAL, name)
        if name == "message_delta":
            learn_usage(body.get("usage"), answer)
            delta = body.get("delta")
            reason = delta.get("stop_reason") if isinstance(delta, dict) else None
            if reason:
                answer.ends(reason, COMPLETED)
                return Mark(Kind.FINISH, name)
            return Mark(Kind.USAGE, name)
        if name == "content_block_stop":
            self._arguments.check(answer)
        part = body.get("delta") if name == "content_block_delta" else body.get("content_block")
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(part, dict) and kind == "input_json_delta":
            self._arguments.add(str(body.get("index")), part.get("partial_json"))
        if isinstance(kind, str) and "thinking" in kind:
            answer.had_reasoning = True
            return Mark(Kind.REASONING, name)
        return Mark(Kind.OPENING if name == "content_block_start" else Kind.CONTENT, name)


def spoken(body: dict[str, Any]) -> tuple[str, str] | None:
    """The one text of an event in which nothing else could mean anything new, and the name of its member."""
    delta = body.get("delta")
    if body.get("type") != "content_block_delta" or not isinstance(delta, dict):
        return None
    name = {"text_delta": "text", "thinking_delta": "thinking"}.get(str(delta.get("type")))
    value = delta.get(name) if name else None
    return (name, value) if name and isinstance(value, str) and value else None


def learn_usage(usage: Any, answer: Answer) -> None:
    """What an event or a message says of usage, if it does."""
    if isinstance(usage, dict):
        answer.usage = usage_of(usage, answer.usage)


def usage_of(usage: dict[str, Any], known: Usage | None = None) -> Usage:
    """Messages' words for tokens; what was read from a cache or written to one is not in its `input_tokens`, but in ours.

    It comes twice: the input with the start, the output, cumulative, later. What is not said again stays as `known`.
    """
    known = known or Usage()
    before = None if known.input is None else known.input - (known.cached or 0) - (known.written or 0)
    fresh, output, cached, written = (
        value if (value := count(usage, name)) is not None else so_far
        for name, so_far in (
            ("input_tokens", before),
            ("output_tokens", known.output),
            ("cache_read_input_tokens", known.cached),
            ("cache_creation_input_tokens", known.written),
        )
    )
    read = None if fresh is None else fresh + (cached or 0) + (written or 0)
    total = None if read is None or output is None else read + output
    return Usage(read, output, cached, None, total, written)


def read_whole(body: bytes, answer: Answer) -> None:
    """A message that was not streamed. Raises MalformedBody."""
    value = whole_answer(body, answer)
    if value is None:
        return
    answer.response_id = value["id"] if isinstance(value.get("id"), str) else None
    learn_usage(value.get("usage"), answer)
    if value.get("stop_reason"):
        answer.ends(value["stop_reason"], COMPLETED)


def whole_to_stream(body: bytes) -> bytes:
    """A whole message as the event stream that the client asked for."""
    value = whole(body)
    start = {"type": "message_start", "message": value | {"content": [], "stop_reason": None}}
    frames = [sse(start, "message_start")]
    for index, block in enumerate(value.get("content") or []):
        frames += _block(index, block if isinstance(block, dict) else {})
    delta = {"stop_reason": value.get("stop_reason"), "stop_sequence": value.get("stop_sequence")}
    frames.append(sse({"type": "message_delta", "delta": delta, "usage": value.get("usage") or {}}, "message_delta"))
    return b"".join(frames) + END


def _block(index: int, block: dict[str, Any]) -> list[bytes]:
    started, delta = dict(block), None
    if block.get("type") == "text":
        started["text"], delta = "", {"type": "text_delta", "text": block.get("text", "")}
    elif block.get("type") == "tool_use":
        started["input"] = {}
        delta = {"type": "input_json_delta", "partial_json": tellable(block.get("input") or {}).decode()}
    frames = [sse({"type": "content_block_start", "index": index, "content_block": started}, "content_block_start")]
    if delta is not None:
        frames.append(sse({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta"))
    return [*frames, sse({"type": "content_block_stop", "index": index}, "content_block_stop")]


def error_body(error: ClientError) -> dict[str, Any]:
    kind = error.type or TYPES.get(error.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message, "code": error.code}}


def error_frame(error: ClientError, answer: Answer) -> bytes:
    body = error_body(error)
    body["error"]["type"] = "api_error"
    return sse(body, "error")


def facts(body: dict[str, Any]) -> RequestFacts:
    return request_facts(body, body.get("system"))
