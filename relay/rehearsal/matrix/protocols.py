"""The columns of the fault matrix: each client protocol, as a client that trusts nobody reads it.

To add a protocol: write a `Column`, put it into `COLUMNS` and its tag into `FURTHER`, and give `relay.rehearsal` its dialect.
The core (matrix/__init__.py: one row of each kind) then runs for it; with its tag in `ALL` the whole matrix does, and a row
where it differs says so in `differs`. A pair in `VIA` runs the core in translation. Nothing here uses relay.wire: what the
relay says is judged by readers of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Told:
    """What an error of this protocol says; `code` is empty where the protocol has no place for one."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Column:
    """One client protocol. `told` reads an error event, and fails when the bytes are anything else; `said` an error body.

    `path` and `streaming_path` may hold `{model}`; `version` is what stands in them before what an upstream's address ends in.
    """

    tag: str
    upstream: str  # the protocol of the upstream that it is relayed to
    path: str
    end: bytes  # what begins the event that ends a whole answer
    marker: bytes  # the end that the relay adds when finish evidence came without it; empty where that cannot be
    heartbeat: bytes
    told: Callable[[bytes, bytes], Told]  # the bytes before the event, and the event
    said: Callable[[dict[str, Any]], Told]
    streaming_path: str = ""  # where a stream is asked for at another place
    version: str = "/v1"
    first: bytes = b"data:"  # what is in every event
    gap: bytes = b"\n\n"  # what ends an event
    media: str = "text/event-stream"
    id: str = "id"  # the field of a whole answer that names it; empty where there is none

    def place(self, model: str, streamed: bool) -> str:
        """The request's target."""
        path = (streamed and self.streaming_path) or self.path
        return path.replace("{model}", model)

    def frames(self, body: bytes) -> list[bytes]:
        """The whole events of a stream."""
        return frames(body, self.gap)

    def body(self, model: str, streamed: bool) -> dict[str, Any]:
        """The smallest request; all protocols' fields at once, since none minds the others'."""
        if self.tag == "gemini":
            return {"contents": [{"role": "user", "parts": [{"text": "Hi."}]}]}
        messages = [{"role": "user", "content": "Hi."}]
        fields = {"model": model, "stream": streamed, "messages": messages}
        return fields if self.tag == "ollama" else {**fields, "input": "Hi.", "max_tokens": 9}


def frames(body: bytes, gap: bytes = b"\n\n") -> list[bytes]:
    """The whole events of a stream with plain line feeds."""
    *whole, rest = body.split(gap)
    assert not rest, f"the stream ends inside an event: {rest[:200]!r}"
    return [frame + gap for frame in whole]


def data_of(frame: bytes) -> dict[str, Any]:
    """The JSON of one event."""
    lines = [line[6:] for line in frame.splitlines() if line.startswith(b"data: ")]
    found = orjson.loads(b"\n".join(lines))
    assert isinstance(found, dict)
    return found


def _only(tail: bytes, name: bytes) -> dict[str, Any]:
    found = frames(tail)
    assert len(found) == 1, f"not one event: {tail[:300]!r}"
    begins = b"event: " + name + b"\ndata: " if name else b"data: "
    assert found[0].startswith(begins), found[0][:200]
    return data_of(found[0])


def _chat_told(_: bytes, tail: bytes) -> Told:
    return _openai_said(_only(tail, b""))


def _openai_said(body: dict[str, Any]) -> Told:
    error = body["error"]
    assert isinstance(error["type"], str)
    return Told(str(error["code"]), error["message"])


def _responses_told(before: bytes, tail: bytes) -> Told:
    """Goes on with the response's id and its numbers, and says `error` at the top too, on which the SDK raises."""
    event = _only(tail, b"response.failed")
    earlier = [data_of(frame) for frame in before.split(b"\n\n") if b"data: {" in frame]
    last = max((item.get("sequence_number", -1) for item in earlier), default=-1)
    assert (event["type"], event["sequence_number"]) == ("response.failed", last + 1)
    known = [item["response"]["id"] for item in earlier if "response" in item]
    response = event["response"]
    assert response["status"] == "failed"
    assert response["id"] == known[-1] if known else response["id"].startswith("resp_relay_")
    assert response["error"] == event["error"]
    return Told(event["error"]["code"], event["error"]["message"])


def _messages_told(_: bytes, tail: bytes) -> Told:
    event = _only(tail, b"error")
    assert event["error"]["type"] == "api_error"
    return _messages_said(event)


def _messages_said(body: dict[str, Any]) -> Told:
    assert body["type"] == "error"
    error = body["error"]
    return Told(str(error.get("code", error["type"])), error["message"])


def _gemini_told(_: bytes, tail: bytes) -> Told:
    return _gemini_said(_only(tail, b""))


def _gemini_said(body: dict[str, Any]) -> Told:
    error = body["error"]
    assert isinstance(error["code"], int) and isinstance(error["status"], str)
    return Told(next((item["reason"] for item in error.get("details", ())), ""), error["message"])


def _ollama_told(_: bytes, tail: bytes) -> Told:
    (line,) = frames(tail, b"\n")
    return _ollama_said(orjson.loads(line))


def _ollama_said(body: dict[str, Any]) -> Told:
    assert body.keys() == {"error"}
    return Told("", body["error"])


COLUMNS: dict[str, Column] = {
    column.tag: column
    for column in (
        Column(
            "chat",
            "openai-chat",
            "/v1/chat/completions",
            end=b"data: [DONE]",
            marker=b"data: [DONE]\n\n",
            heartbeat=b": keep-alive\n\n",
            told=_chat_told,
            said=_openai_said,
        ),
        Column(
            "responses",
            "openai-responses",
            "/v1/responses",
            end=b"event: response.completed",
            marker=b"",
            heartbeat=b": keep-alive\n\n",
            told=_responses_told,
            said=_openai_said,
        ),
        Column(
            "messages",
            "anthropic",
            "/v1/messages",
            end=b"event: message_stop",
            marker=b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
            heartbeat=b'event: ping\ndata: {"type": "ping"}\n\n',
            told=_messages_told,
            said=_messages_said,
        ),
        Column(
            "gemini",
            "gemini",
            "/v1beta/models/{model}:generateContent",
            end=b'"finishReason"',
            marker=b"",
            heartbeat=b"",
            told=_gemini_told,
            said=_gemini_said,
            streaming_path="/v1beta/models/{model}:streamGenerateContent?alt=sse",
            version="/v1beta",
            id="responseId",
        ),
        Column(
            "ollama",
            "ollama",
            "/api/chat",
            end=b'"done":true',
            marker=b"",
            heartbeat=b"",
            told=_ollama_told,
            said=_ollama_said,
            version="",
            id="",
            first=b"{",
            gap=b"\n",
            media="application/x-ndjson",
        ),
    )
}
ALL = ("chat", "responses", "messages")  # run the whole matrix
FURTHER = ("gemini", "ollama")  # run the rows that matrix/__init__.py names for them
