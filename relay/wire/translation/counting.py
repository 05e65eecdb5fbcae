"""Counting a prompt's tokens before it is sent: three protocols have a call for that, and each may stand for another's.

Chat completions and Ollama have none, so that nothing can be counted for them; an estimate would be a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from relay.wire.events import ClientError, MalformedBody, count, decoded, sendable
from relay.wire.passage import Opaque
from relay.wire.registry import Dialect
from relay.wire.translation.translated import MAPPINGS, prompt_for


@dataclass(frozen=True, slots=True)
class Call:
    """One protocol's call. `fields`: those of a generation's body that it takes too."""

    ending: str  # of the path
    place: Callable[[str], str]  # the path for a model
    fields: frozenset[str]
    figure: str  # the answer's field
    answer: Callable[[int], dict[str, Any]]
    wrapped: Callable[[dict[str, Any], str], dict[str, Any]] = lambda body, model: body
    unwrapped: Callable[[dict[str, Any]], dict[str, Any]] = lambda body: body


def _gemini_wrapped(body: dict[str, Any], model: str) -> dict[str, Any]:
    return {"generateContentRequest": {"model": f"models/{model}", **body}}


def _gemini_unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    inner = body.get("generateContentRequest")
    return inner if isinstance(inner, dict) else body


CALLS: dict[str, Call] = {
    "anthropic": Call(
        "/messages/count_tokens",
        lambda model: "/v1/messages/count_tokens",
        frozenset({"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"}),
        "input_tokens",
        lambda tokens: {"input_tokens": tokens},
    ),
    "openai-responses": Call(
        "/responses/input_tokens",
        lambda model: "/v1/responses/input_tokens",
        frozenset({"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "text", "reasoning"}),
        "input_tokens",
        lambda tokens: {"object": "response.input_tokens", "input_tokens": tokens},
    ),
    "gemini": Call(
        ":countTokens",
        lambda model: f"/v1beta/models/{model}:countTokens",
        frozenset({"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}),
        "totalTokens",
        lambda tokens: {"totalTokens": tokens},
        _gemini_wrapped,
        _gemini_unwrapped,
    ),
}
ASSUMED = "assumed:max_tokens"  # what is noted of a field that is not sent here


def counts(dialect: Dialect, method: str, path: str) -> bool:
    """Whether a client asks for a count there."""
    call = CALLS.get(dialect.protocol)
    return call is not None and method == "POST" and path.endswith(call.ending)


def counting(dialect: Dialect, body: dict[str, Any], protocol: str, model: str) -> tuple[str, bytes, frozenset[str]] | None:
    """Path, body and notes of the call that counts the same at an upstream of `protocol`; None where there is none.

    Raises:
        BadField: something in the request cannot be carried, or has the wrong type.
    """
    call = CALLS.get(protocol)
    if call is None:
        return None
    prompt = prompt_for(dialect, CALLS[dialect.protocol].unwrapped(body), protocol)
    written = MAPPINGS[protocol].write(prompt, model, False)
    sent = call.wrapped({name: value for name, value in written.items() if name in call.fields}, model)
    notes = frozenset(note for note in prompt.notes if not note.startswith(ASSUMED))
    return call.place(model), sendable(sent), notes


class Counted(Opaque):
    """The way back of a count that an upstream of another protocol made."""

    translates = True

    def __init__(self, dialect: Dialect, protocol: str, notes: frozenset[str]) -> None:
        super().__init__(dialect)
        self._figure = CALLS[protocol].figure
        self.answer.notes |= notes

    def read_whole(self, body: bytes) -> bytes:
        super().read_whole(body)
        if self.answer.failure is not None:
            return body
        tokens = count(decoded(body) or {}, self._figure)
        if tokens is None:
            raise MalformedBody(f"the count has no {self._figure}")
        return orjson.dumps(CALLS[self.dialect.protocol].answer(tokens))

    def error_body(self, body: bytes, error: ClientError) -> bytes:
        return orjson.dumps(self.dialect.error_body(error))
