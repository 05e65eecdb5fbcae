"""Ollama: a JSON line for each piece of the answer, and a last one that is `done`. A stream unless `stream` is false."""

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
    tellable,
    whole,
    whole_answer,
)
from relay.wire.sse import Frame

TAG, PROTOCOL = "ollama", "ollama"
HEARTBEAT, END, END_NAME = b"", b"", ""  # no heartbeat: a blank line breaks its clients
LINES_TYPE = "application/x-ndjson"
COMPLETED = frozenset({"stop", "load", "unload"})
# What is served of Ollama's API, on the port that the management API is on too.
GENERATING = frozenset({"/api/chat", "/api/generate"})
PASSED_ON = frozenset({"/api/embed", "/api/embeddings"})
PATHS = GENERATING | PASSED_ON | {"/api/tags", "/api/show", "/api/version", "/api/ps"}


class Reader:
    """Taps a stream of lines. Never raises."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.body: dict[str, Any] | None = None

    def read(self, frame: Frame) -> Mark:
        if frame.comment_only:
            return Mark(Kind.PING, "blank")
        answer = self.answer
        answer.counts_event()
        body = self.body = decoded(frame.data, answer)
        if body is None:
            answer.notes.add("malformed-event")
            return Mark(Kind.MALFORMED, "malformed")
        if body.get("error"):
            if answer.failure is None and not answer.terminal:
                answer.failure = failure_of(body["error"])
            return Mark(Kind.ERROR, "error")
        if body.get("done") is True:
            answer.terminal = True
            learn(body, answer)
            return Mark(Kind.TERMINAL, "done")
        return _content(body, answer)


def _content(body: dict[str, Any], answer: Answer) -> Mark:
    message = body.get("message")
    said = message if isinstance(message, dict) else body
    if said.get("thinking"):
        answer.had_reasoning = True
        return Mark(Kind.REASONING, "line")
    held = said.get("content") or said.get("response") or said.get("tool_calls") or said.get("images")
    return Mark(Kind.CONTENT if held else Kind.OPENING, "line")


def learn(body: dict[str, Any], answer: Answer) -> None:
    """What the last line tells: why it ended, and what was used."""
    _content(body, answer)
    if body.get("done_reason"):
        answer.ends(body["done_reason"], COMPLETED)
    else:
        answer.notes.add("finish-reason-missing")
    read, written = count(body, "prompt_eval_count"), count(body, "eval_count")
    if read is not None or written is not None:
        answer.usage = Usage(read, written, total=(read or 0) + (written or 0))


def read_whole(body: bytes, answer: Answer) -> None:
    """An answer that was not streamed. Raises MalformedBody."""
    value = whole_answer(body, answer)
    if value is not None:
        learn(value, answer)


def whole_to_stream(body: bytes) -> bytes:
    """A whole answer is the one line of its stream."""
    return tellable(whole(body)) + b"\n"


def is_lines(first: bytes) -> bool:
    """Whether a body that begins so is lines of JSON objects."""
    return first.lstrip()[:1] == b"{"


def error_body(error: ClientError) -> dict[str, Any]:
    """Its clients read `error` alone."""
    return {"error": error.message}


def error_frame(error: ClientError, answer: Answer) -> bytes:
    return orjson.dumps(error_body(error)) + b"\n"


def facts(body: dict[str, Any]) -> RequestFacts:
    messages = body.get("messages")
    said: Any = body.get("system") or (
        [item for item in messages if isinstance(item, dict) and item.get("role") == "system"]
        if isinstance(messages, list)
        else None
    )
    found = request_facts(body, said)
    return RequestFacts(found.model, body.get("stream") is not False, found.variant_hash)
