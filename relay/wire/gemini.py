"""Gemini: every event is a whole GenerateContentResponse; `finishReason` is the only sign of the end.

A stream comes as server-sent events (`alt=sse`) or as one JSON array; the two differ in framing alone.
"""

from __future__ import annotations

from typing import Any

import orjson

from relay.wire.events import (
    Answer,
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

TAG, PROTOCOL = "gemini", "gemini"
HEARTBEAT, END, END_NAME = b"", b"", ""  # no heartbeat: the official SDK raises on an SSE comment (google-genai 3.6)
COMPLETED = frozenset({"STOP"})
STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    504: "DEADLINE_EXCEEDED",
}


class Reader:
    """Taps a stream of responses. Never raises."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.body: dict[str, Any] | None = None
        self._reasons: dict[int, str] = {}
        self._open: set[int] = set()

    def read(self, frame: Frame) -> Mark:
        if frame.comment_only:
            return Mark(Kind.PING, "comment")
        answer = self.answer
        answer.counts_event()
        body = self.body = decoded(frame.data, answer)
        if body is None:
            answer.notes.add("malformed-event")
            return Mark(Kind.MALFORMED, "malformed")
        if frame.event == "error" or body.get("error"):
            if answer.failure is None and not answer.terminal:
                answer.failure = failure_of(body.get("error") or body)
            return Mark(Kind.ERROR, "error")
        return self._response(body)

    def _response(self, body: dict[str, Any]) -> Mark:
        answer = self.answer
        learn(body, answer)
        kind = Kind.OPENING
        for candidate in _candidates(body):
            index = candidate.get("index")
            index = index if isinstance(index, int) else 0
            self._open.add(index)
            kind = max(kind, _content_kind(candidate, answer), key=(Kind.OPENING, Kind.REASONING, Kind.CONTENT).index)
            if candidate.get("finishReason"):
                self._reasons[index] = str(candidate["finishReason"])
        if self._reasons and self._open <= self._reasons.keys():
            shortened = next((reason for reason in self._reasons.values() if reason not in COMPLETED), None)
            answer.ends(shortened or next(iter(self._reasons.values())), COMPLETED)
            return Mark(Kind.FINISH, "candidate")
        if answer.finish is not None:  # blocked before any candidate
            return Mark(Kind.FINISH, "promptFeedback")
        if kind is Kind.OPENING and isinstance(body.get("usageMetadata"), dict):
            return Mark(Kind.USAGE, "usage")
        return Mark(kind, "candidate")


def _candidates(body: dict[str, Any]) -> list[dict[str, Any]]:
    found = body.get("candidates")
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def parts_of(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a candidate's content."""
    content = candidate.get("content")
    parts = content.get("parts") if isinstance(content, dict) else None
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _content_kind(candidate: dict[str, Any], answer: Answer) -> Kind:
    kind = Kind.OPENING
    for part in parts_of(candidate):
        if part.get("thought"):
            answer.had_reasoning = True
            kind = Kind.REASONING if kind is Kind.OPENING else kind
        elif any(value not in (None, "") for name, value in part.items() if name not in ("thought", "thoughtSignature")):
            kind = Kind.CONTENT
    return kind


def learn(body: dict[str, Any], answer: Answer) -> None:
    """Id, usage (cumulative) and a refusal to answer at all."""
    if isinstance(body.get("responseId"), str):
        answer.response_id = body["responseId"][:200]
    usage = body.get("usageMetadata")
    if isinstance(usage, dict):
        answer.usage = usage_of(usage)
    feedback = body.get("promptFeedback")
    if isinstance(feedback, dict) and feedback.get("blockReason"):
        answer.ends(feedback["blockReason"], COMPLETED)


def usage_of(usage: dict[str, Any]) -> Usage:
    """Gemini's words for tokens.

    Thoughts are counted apart from the candidates, and belong to the output; what its own tools brought, apart from the
    prompt, and belongs to the input; what came from a cache is in the prompt.
    """
    read, brought = count(usage, "promptTokenCount"), count(usage, "toolUsePromptTokenCount")
    said, thoughts = count(usage, "candidatesTokenCount"), count(usage, "thoughtsTokenCount")
    output = None if said is None and thoughts is None else (said or 0) + (thoughts or 0)
    return Usage(
        None if read is None else read + (brought or 0),
        output,
        count(usage, "cachedContentTokenCount"),
        thoughts,
        count(usage, "totalTokenCount"),
    )


def read_whole(body: bytes, answer: Answer) -> None:
    """A response that was not streamed. Raises MalformedBody."""
    value = whole_answer(body, answer)
    if value is None:
        return
    learn(value, answer)
    candidates = _candidates(value)
    for candidate in candidates:
        _content_kind(candidate, answer)
    reasons = [str(item["finishReason"]) for item in candidates if item.get("finishReason")]
    if reasons:
        answer.ends(next((reason for reason in reasons if reason not in COMPLETED), reasons[0]), COMPLETED)
    elif answer.finish is None:
        answer.notes.add("finish-reason-missing")


def whole_to_stream(body: bytes) -> bytes:
    """A whole response is the one event of its stream."""
    return b"data: " + _one_line(body) + b"\n\n"


def whole_to_array(body: bytes) -> bytes:
    """A whole response is the one element of its array."""
    return b"[" + body.strip() + b"]"


def _one_line(body: bytes) -> bytes:
    return tellable(whole(body)) if b"\n" in body.strip() else body.strip()


def is_array(first: bytes) -> bool:
    """Whether a body that begins so is the array that was asked for."""
    return first.lstrip()[:1] == b"["


def error_body(error: ClientError) -> dict[str, Any]:
    name = STATUSES.get(error.status, "UNAVAILABLE" if error.status >= 500 else "INVALID_ARGUMENT")
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": error.code, "domain": "epitaph"}
    return {"error": {"code": error.status, "message": error.message, "status": name, "details": [info]}}


def error_frame(error: ClientError, answer: Answer) -> bytes:
    return sse(error_body(error))


def array_error_frame(error: ClientError, answer: Answer) -> bytes:
    """The last element; before it a comma when there was one, and the array's end behind it."""
    return (b",\n" if answer.event_count else b"[") + orjson.dumps(error_body(error)) + b"]"


def facts(body: dict[str, Any]) -> RequestFacts:
    """Model and stream are said by the path."""
    return request_facts({"tools": body.get("tools")}, body.get("systemInstruction") or body.get("system_instruction"))


def renamed(path: str, model: str) -> tuple[str, dict[str, Any]]:
    """The path that asks for another model."""
    head, slash, rest = path.rpartition("models/")
    return f"{head}{slash}{model}:{rest.rpartition(':')[2]}", {}
