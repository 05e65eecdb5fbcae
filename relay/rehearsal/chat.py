"""OpenAI chat completions, spoken healthily: unnamed events, a finish reason on every choice, then `[DONE]`."""

from __future__ import annotations

from .answers import Answer, Failure, Usage
from .dialect import Usual
from .events import Event, Role, event

REASONS = {"stop": "stop", "tools": "tool_calls", "length": "length", "filter": "content_filter", "refusal": "stop"}


class Chat(Usual):
    """See `Dialect`."""

    name = "openai-chat"
    path = "/chat/completions"
    id_prefix = "chatcmpl-"
    request_id_header = "x-request-id"
    ping = b": keep-alive\n\n"
    marker = Event(Role.MARKER, b"[DONE]")

    def events(self, answer: Answer) -> list[Event]:
        everyone = range(answer.choices)
        found = [_chunk(Role.OPENING, answer, index, {"role": "assistant", "content": ""}) for index in everyone]
        for piece in answer.reasoning:
            found += [_chunk(Role.CONTENT, answer, index, {"reasoning_content": piece}) for index in everyone]
        for piece in answer.text:
            found += [_chunk(Role.CONTENT, answer, index, {"content": piece}) for index in everyone]
        if answer.refusal:
            found += [_chunk(Role.CONTENT, answer, index, {"refusal": answer.refusal}) for index in everyone]
        found += _call_chunks(answer)
        found += [_chunk(Role.FINISH, answer, index, {}, _reason(answer)) for index in everyone]
        if answer.with_usage:
            found.append(usage_chunk(answer))
        return [*found, self.marker]

    def whole(self, answer: Answer) -> dict[str, object]:
        message: dict[str, object] = {"role": "assistant", "content": "".join(answer.text) or None}
        message["refusal"] = answer.refusal or None
        if answer.reasoning:
            message["reasoning_content"] = "".join(answer.reasoning)
        if answer.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in answer.calls
            ]
        choices = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": _reason(answer)}
            for index in range(answer.choices)
        ]
        return {**_frame(answer, "chat.completion"), "choices": choices, "usage": usage(answer.usage)}

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        return event(Role.ERROR, self.failure_body(failure))

    def failure_body(self, failure: Failure) -> dict[str, object]:
        return {"error": {"message": failure.message, "type": failure.type, "param": None, "code": failure.code}}


def usage(figures: Usage) -> dict[str, object]:
    """Usage as chat completions report it."""
    return {
        "prompt_tokens": figures.input,
        "completion_tokens": figures.output,
        "total_tokens": figures.total,
        "prompt_tokens_details": {"cached_tokens": figures.cached},
        "completion_tokens_details": {"reasoning_tokens": figures.reasoning},
    }


def usage_chunk(answer: Answer) -> Event:
    """The chunk without choices that carries the usage."""
    frame = _frame(answer, "chat.completion.chunk")
    return event(Role.USAGE, {**frame, "choices": [], "usage": usage(answer.usage)})


def _reason(answer: Answer) -> str:
    return REASONS.get(answer.finish, answer.finish)


def _frame(answer: Answer, kind: str) -> dict[str, object]:
    return {"id": answer.id, "object": kind, "created": answer.created, "model": answer.model}


def _chunk(role: Role, answer: Answer, index: int, delta: dict[str, object], reason: str | None = None) -> Event:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return event(role, {**_frame(answer, "chat.completion.chunk"), "choices": [choice]})


def _call_chunks(answer: Answer) -> list[Event]:
    """Every call's name first, then the arguments a piece of each in turn: parallel calls interleave."""
    found = []
    for index, call in enumerate(answer.calls):
        opening = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        found.append(_chunk(Role.CONTENT, answer, 0, {"tool_calls": [opening]}))
    longest = max((len(call.arguments) for call in answer.calls), default=0)
    for turn in range(longest):
        for index, call in enumerate(answer.calls):
            if turn < len(call.arguments):
                piece = {"index": index, "function": {"arguments": call.arguments[turn]}}
                found.append(_chunk(Role.CONTENT, answer, 0, {"tool_calls": [piece]}))
    return found
