"""Ollama, spoken healthily: a JSON line for each piece, and a last one that is `done`."""

from __future__ import annotations

import time

import orjson

from .answers import Answer, Failure
from .dialect import Usual
from .events import PLAIN_STYLE, Event, Role, Style
from .http1 import Request

REASONS = {"stop": "stop", "tools": "stop", "length": "length", "filter": "stop", "refusal": "stop"}


class Line(Event):
    """An event that is a line."""

    def encode(self, style: Style = PLAIN_STYLE) -> bytes:
        escaped = self.data.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")  # as Go does
        return escaped + b"\n"


class OllamaChat(Usual):
    """`/api/chat`; see `Dialect`."""

    name = "ollama"
    path = "/api/chat"
    id_prefix = ""
    request_id_header = "x-request-id"
    ping = b""
    stream_type = "application/x-ndjson"
    marker: Event = Line(Role.MARKER, b'{"done":true,"done_reason":"stop"}')

    def streams(self, request: Request, body: dict[str, object]) -> bool:
        return body.get("stream") is not False

    def events(self, answer: Answer) -> list[Event]:
        found = [self._line(answer, thinking=piece) for piece in answer.reasoning]
        found += [self._line(answer, piece) for piece in (*answer.text, answer.refusal) if piece]
        found += [self._line(answer, calls=[call]) for call in self._calls(answer)]
        last = self._body(answer) | {"done": True, "done_reason": _reason(answer)} | _figures(answer)
        return [*found, Line(Role.MARKER, orjson.dumps(last))]

    def whole(self, answer: Answer) -> dict[str, object]:
        text = "".join((*answer.text, answer.refusal))
        said = self._body(answer, text, "".join(answer.reasoning), list(self._calls(answer)))
        return said | {"done": True, "done_reason": _reason(answer)} | _figures(answer)

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        return Line(Role.ERROR, orjson.dumps(self.failure_body(failure)))

    def failure_body(self, failure: Failure) -> dict[str, object]:
        return {"error": failure.message}

    def _calls(self, answer: Answer) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for call in answer.calls:
            try:
                arguments = orjson.loads("".join(call.arguments))
            except orjson.JSONDecodeError:  # arguments that a scenario left incomplete
                arguments = {}
            found.append({"function": {"name": call.name, "arguments": arguments}})
        return found

    def _line(self, answer: Answer, text: str = "", thinking: str = "", calls: list[dict[str, object]] | None = None) -> Event:
        return Line(Role.CONTENT, orjson.dumps(self._body(answer, text, thinking, calls) | {"done": False}))

    def _body(
        self, answer: Answer, text: str = "", thinking: str = "", calls: list[dict[str, object]] | None = None
    ) -> dict[str, object]:
        message: dict[str, object] = {"role": "assistant", "content": text}
        message |= {"thinking": thinking} if thinking else {}
        message |= {"tool_calls": calls} if calls else {}
        return {"model": answer.model, "created_at": _moment(answer), "message": message}


class OllamaGenerate(OllamaChat):
    """`/api/generate`: the text lies in `response`."""

    path = "/api/generate"

    def _body(
        self, answer: Answer, text: str = "", thinking: str = "", calls: list[dict[str, object]] | None = None
    ) -> dict[str, object]:
        found: dict[str, object] = {"model": answer.model, "created_at": _moment(answer), "response": text}
        return found | ({"thinking": thinking} if thinking else {})


def _reason(answer: Answer) -> str:
    return REASONS.get(answer.finish, answer.finish)


def _moment(answer: Answer) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(answer.created))


def _figures(answer: Answer) -> dict[str, object]:
    used = answer.usage
    return {
        "total_duration": 5_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": used.input,
        "prompt_eval_duration": 1_000_000,
        "eval_count": used.output,
        "eval_duration": 3_000_000,
    }
