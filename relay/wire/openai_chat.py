"""OpenAI chat completions: `data:`-only events, finish evidence on every choice, then `[DONE]` (docs/protocols)."""

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
    bare_error,
    count,
    decoded,
    failure_of,
    request_facts,
    sse,
    whole,
    whole_answer,
)
from relay.wire.sse import Frame

TAG, PROTOCOL = "chat", "openai-chat"
HEARTBEAT, END, END_NAME = b": keep-alive\n\n", b"data: [DONE]\n\n", "[DONE]"
COMPLETED = frozenset({"stop", "tool_calls", "function_call"})
PING, DONE, MALFORMED = Mark(Kind.PING, "comment"), Mark(Kind.TERMINAL, "[DONE]"), Mark(Kind.MALFORMED, "malformed")
NOTHING = Mark(Kind.OPENING, "[DONE]")  # the marker of an answer of which nothing came: it ends none
OPENING, DELTA, REASONING = Mark(Kind.OPENING, "delta"), Mark(Kind.CONTENT, "delta"), Mark(Kind.REASONING, "delta")
USAGE, FINISH, ERROR, OTHER = (
    Mark(Kind.USAGE, "usage"),
    Mark(Kind.FINISH, "delta"),
    Mark(Kind.ERROR, "error"),
    Mark(Kind.OTHER, "other"),
)


def error_in(body: dict[str, Any]) -> Any:
    """What a chunk says of a failure; None when it is no error."""
    if body.get("error"):
        return body["error"]
    if isinstance(body.get("choices"), list):
        return None
    return bare_error(body)


class Reader:
    """Taps a stream of chat completion chunks. Never raises."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.body: dict[str, Any] | None = None
        self._choices: set[int] = set()
        self._finished: dict[int, str] = {}
        self._arguments = Arguments()

    def read(self, frame: Frame) -> Mark:
        if frame.comment_only:
            return PING
        answer = self.answer
        answer.counts_event()
        if frame.data.strip() == b"[DONE]":
            self.body = None
            if answer.event_count == 1:
                return NOTHING
            if answer.finish is None:
                answer.notes.add("finish-reason-missing")
            answer.terminal = answer.failure is None
            return DONE
        body = self.body = decoded(frame.data, answer)
        said = body if body is None else error_in(body)
        if frame.event == "error" and said is None:
            said = body or frame.data.decode("utf-8", "replace")
        if said is not None:
            if answer.failure is None and not answer.terminal:
                answer.failure = failure_of(said)
            return ERROR
        if body is None:
            answer.notes.add("malformed-event")
            return MALFORMED
        return self._chunk(body)

    def _chunk(self, body: dict[str, Any]) -> Mark:
        answer = self.answer
        if answer.response_id is None and isinstance(body.get("id"), str):
            answer.response_id = body["id"]
        usage = body.get("usage")
        if isinstance(usage, dict):
            answer.usage = usage_of(usage)
        choices = body.get("choices")
        if not isinstance(choices, list):
            return OTHER
        if not choices:
            return USAGE if usage else OPENING
        mark = OPENING
        for choice in choices:
            if isinstance(choice, dict):
                mark = self._choice(choice, mark)
        if self._finished and self._choices <= self._finished.keys() and answer.finish is None:
            shortened = next((reason for reason in self._finished.values() if reason not in COMPLETED), None)
            answer.ends(shortened or next(iter(self._finished.values())), COMPLETED)
            self._arguments.check(answer)
            return FINISH
        return mark

    def _choice(self, choice: dict[str, Any], mark: Mark) -> Mark:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        self._choices.add(index)
        if choice.get("finish_reason"):
            self._finished[index] = str(choice["finish_reason"])
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            return DELTA if choice.get("text") else mark
        if delta.get("reasoning_content") or delta.get("reasoning"):
            self.answer.had_reasoning = True
            return REASONING
        for call in delta.get("tool_calls") or ():
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                self._arguments.add((index, str(call.get("index"))), call["function"].get("arguments"))
        held = delta.keys() - {"role", "reasoning_content", "reasoning"}
        return DELTA if any(delta[name] not in (None, "") for name in held) else mark


def spoken(body: dict[str, Any]) -> tuple[str, str] | None:
    """The one text of a chunk in which nothing else could mean anything new, and the name of its member."""
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and len(choices) == 1 else None
    delta = choice.get("delta") if isinstance(choice, dict) and not choice.get("finish_reason") else None
    if not isinstance(delta, dict):
        return None
    said = [(name, value) for name, value in delta.items() if value not in (None, "") and name != "role"]
    if len(said) != 1 or said[0][0] not in ("content", "reasoning_content", "reasoning") or not isinstance(said[0][1], str):
        return None
    return said[0]


def usage_of(usage: dict[str, Any]) -> Usage:
    """Chat's words for tokens."""
    return Usage(
        count(usage, "prompt_tokens"),
        count(usage, "completion_tokens"),
        count(usage, "prompt_tokens_details", "cached_tokens"),
        count(usage, "completion_tokens_details", "reasoning_tokens"),
        count(usage, "total_tokens"),
    )


def read_whole(body: bytes, answer: Answer) -> None:
    """A chat completion that was not streamed. Raises MalformedBody."""
    value = whole_answer(body, answer)
    if value is None:
        return
    answer.response_id = value["id"] if isinstance(value.get("id"), str) else None
    if isinstance(value.get("usage"), dict):
        answer.usage = usage_of(value["usage"])
    choices = value.get("choices")
    reasons = [item.get("finish_reason") for item in choices if isinstance(item, dict)] if isinstance(choices, list) else []
    reasons = [reason for reason in reasons if reason]
    if reasons:
        answer.ends(next((reason for reason in reasons if reason not in COMPLETED), reasons[0]), COMPLETED)
    else:
        answer.notes.add("finish-reason-missing")


def whole_to_stream(body: bytes) -> bytes:
    """A whole completion as the chunk stream that the client asked for."""
    value = whole(body)
    chunk = {name: value[name] for name in value if name not in ("choices", "usage", "object")}
    chunk["object"] = "chat.completion.chunk"
    choices = []
    for choice in value.get("choices") or []:
        delta = dict(choice.get("message") or {})
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            delta["tool_calls"] = [{"index": index} | call for index, call in enumerate(calls)]
        choices.append({"index": choice.get("index", 0), "delta": delta, "finish_reason": choice.get("finish_reason")})
    frames = sse(chunk | {"choices": choices})
    if value.get("usage"):
        frames += sse(chunk | {"choices": [], "usage": value["usage"]})
    return frames + END


def error_body(error: ClientError) -> dict[str, Any]:
    kind = error.type or ("invalid_request_error" if error.status < 500 and error.status != 429 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}


def error_frame(error: ClientError, answer: Answer) -> bytes:
    return sse(error_body(error))


def facts(body: dict[str, Any]) -> RequestFacts:
    messages = body.get("messages")
    said = (
        [item for item in messages if isinstance(item, dict) and item.get("role") in ("system", "developer")]
        if isinstance(messages, list)
        else []
    )
    return request_facts(body, said)
