"""OpenAI Responses: named events with a `type` inside; response.completed, .incomplete, .failed or error ends it."""

from __future__ import annotations

import secrets
from typing import Any

import orjson

from relay.wire import openai_chat
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
    whole,
    whole_answer,
)
from relay.wire.sse import Frame

TAG, PROTOCOL = "responses", "openai-responses"
HEARTBEAT, END, END_NAME = b": keep-alive\n\n", b"", ""
OPENINGS = frozenset(
    {
        "response.created",
        "response.in_progress",
        "response.queued",
        "response.output_item.added",
        "response.content_part.added",
        "response.reasoning_summary_part.added",
    }
)
SPOKEN = frozenset(
    {"response.output_text.delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta"}
    | {"response.refusal.delta", "response.function_call_arguments.delta"}
)
PING, MALFORMED = Mark(Kind.PING, "comment"), Mark(Kind.MALFORMED, "malformed")


class Reader:
    """Taps a stream of Responses events. Never raises."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.body: dict[str, Any] | None = None

    def read(self, frame: Frame) -> Mark:
        if frame.comment_only:
            return PING
        answer = self.answer
        answer.counts_event()
        if frame.data.strip() == b"[DONE]":
            self.body = None
            return Mark(Kind.OPENING, "[DONE]")  # not of this protocol, and nothing of the answer
        body = self.body = decoded(frame.data, answer)
        if body is None:
            answer.notes.add("malformed-event")
            return MALFORMED
        name = body.get("type") if isinstance(body.get("type"), str) else frame.event
        number = body.get("sequence_number")
        if isinstance(number, int):
            answer.sequence_number = max(answer.sequence_number, number)
        response = body.get("response")
        if isinstance(response, dict):
            learn(response, answer)
        return self._mark(name or "other", body, response if isinstance(response, dict) else {})

    def _mark(self, name: str, body: dict[str, Any], response: dict[str, Any]) -> Mark:
        answer = self.answer
        name = name[:100]
        if name == "error" or name == "response.failed" or (name == "other" and body.get("error")):
            if answer.failure is None and not answer.terminal:
                answer.failure = failure_of(response.get("error") or body.get("error") or body)
            return Mark(Kind.ERROR, name)
        if name in ("response.completed", "response.incomplete"):
            answer.terminal = True
            return Mark(Kind.TERMINAL, name)
        if name in OPENINGS:
            return Mark(Kind.OPENING, name)
        if name == "keepalive" or name == "ping":
            return Mark(Kind.PING, name)
        if name == "response.function_call_arguments.done":
            arguments = Arguments()
            arguments.add(name, body.get("arguments"))
            arguments.check(answer)
        if name.startswith("response.reasoning"):
            answer.had_reasoning = True
            return Mark(Kind.REASONING, name)
        return Mark(Kind.CONTENT, name)


def spoken(body: dict[str, Any]) -> tuple[str, str] | None:
    """The one text of an event in which nothing else could mean anything new, and the name of its member."""
    value = body.get("delta")
    if body.get("type") not in SPOKEN or "response" in body or not isinstance(value, str) or not value:
        return None
    return "delta", value


def learn(response: dict[str, Any], answer: Answer) -> None:
    """Id, usage and status of a response object."""
    if isinstance(response.get("id"), str):
        answer.response_id = response["id"]
    usage = response.get("usage")
    if isinstance(usage, dict):
        answer.usage = Usage(
            count(usage, "input_tokens"),
            count(usage, "output_tokens"),
            count(usage, "input_tokens_details", "cached_tokens"),
            count(usage, "output_tokens_details", "reasoning_tokens"),
            count(usage, "total_tokens"),
        )
    if response.get("status") == "completed":
        answer.finish, answer.finish_reason = "completed", "completed"
    elif response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        answer.finish, answer.finish_reason = "incomplete", str(reason or "incomplete")[:200]


def read_whole(body: bytes, answer: Answer) -> None:
    """A response that was not streamed. Raises MalformedBody."""
    value = whole_answer(body, answer)
    if value is None:
        return
    learn(value, answer)


def whole_to_stream(body: bytes) -> bytes:
    """A whole response as the shortest event stream that an SDK takes for one."""
    value = whole(body)
    begun = value | {"status": "in_progress", "output": [], "usage": None}
    frames = [sse({"type": "response.created", "sequence_number": 0, "response": begun}, "response.created")]
    number = 1
    for index, item in enumerate(value.get("output") or []):
        for name in ("response.output_item.added", "response.output_item.done"):
            frames.append(sse({"type": name, "sequence_number": number, "output_index": index, "item": item}, name))
            number += 1
    name = "response.incomplete" if value.get("status") == "incomplete" else "response.completed"
    frames.append(sse({"type": name, "sequence_number": number, "response": value}, name))
    return b"".join(frames)


def error_body(error: ClientError) -> dict[str, Any]:
    return openai_chat.error_body(error)


def error_frame(error: ClientError, answer: Answer) -> bytes:
    """`response.failed`; the top-level `error` makes the official SDK raise with our message (tried with 3.57)."""
    said = {"code": error.code, "message": error.message}
    response = {
        "id": answer.response_id or f"resp_relay_{secrets.token_hex(12)}",
        "object": "response",
        "created_at": 0,
        "status": "failed",
        "error": said,
        "incomplete_details": None,
        "model": "",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    event = {
        "type": "response.failed",
        "sequence_number": answer.sequence_number + 1,
        "response": response,
        "error": said,
    }
    return b"event: response.failed\ndata: " + orjson.dumps(event) + b"\n\n"


def facts(body: dict[str, Any]) -> RequestFacts:
    return request_facts(body, body.get("instructions"))
