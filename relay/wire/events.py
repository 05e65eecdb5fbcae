"""The vocabulary between readers and the relay: what an event was, and what an answer has told so far."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from relay.wire.sse import BOM, is_json


class Kind(StrEnum):
    """What one upstream event means for the relay."""

    OPENING = "opening"  # says that an answer began, nothing of it yet
    CONTENT = "content"
    REASONING = "reasoning"
    USAGE = "usage"
    FINISH = "finish"  # finish evidence: the answer is whole, though more (usage) may follow
    TERMINAL = "terminal"  # a marker: nothing of the answer follows
    ERROR = "error"
    PING = "ping"
    OTHER = "other"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class Mark:
    """An event's kind, and its name as evidence shows it."""

    kind: Kind
    name: str


@dataclass(slots=True)
class Usage:
    """Tokens, as the upstream counted them; None where it did not say.

    `input` is all that was read, whatever the protocol calls so: what came from a cache and what went into one, too.
    """

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None
    total: int | None = None
    written: int | None = None  # to a cache


@dataclass(frozen=True, slots=True)
class UpstreamFailure:
    """What an in-band error said; `status` is the HTTP status it stands for, when known."""

    message: str
    code: str | None = None
    type: str | None = None
    status: int | None = None


@dataclass(frozen=True, slots=True)
class ClientError:
    """An error of ours, before it is put into a protocol's words."""

    status: int
    code: str
    message: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What routing and the record need of a request's body."""

    model: str | None
    stream: bool
    variant_hash: str


class BadField(Exception):
    """A field of the request has the wrong type; the text names it and what was expected."""


class MalformedBody(Exception):
    """An answer, or an event of one, that cannot be read."""


def sendable(value: Any) -> bytes:
    """The JSON of something that was read of a request.

    Raises:
        BadField: it is nested deeper than can be written: orjson reads 1,024 levels and writes 254.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        raise BadField("the request is nested too deeply to be put into other words") from None


def tellable(value: Any) -> bytes:
    """The JSON of something that was read of an answer.

    Raises:
        MalformedBody: as `sendable`.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        raise MalformedBody("the answer is nested too deeply to be put into other words") from None


def _shown(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return "what it said is nested too deeply to be shown"


class Answer:
    """What a reader has learnt of one answer."""

    __slots__ = (
        "event_count",
        "events_after_terminal",
        "failure",
        "finish",
        "finish_reason",
        "had_reasoning",
        "notes",
        "response_id",
        "sequence_number",
        "terminal",
        "usage",
    )

    def __init__(self) -> None:
        self.response_id: str | None = None
        self.usage: Usage | None = None
        self.finish: str | None = None
        self.finish_reason: str | None = None
        self.terminal = False
        self.failure: UpstreamFailure | None = None
        self.had_reasoning = False
        self.event_count = 0
        self.events_after_terminal = 0
        self.sequence_number = -1
        self.notes: set[str] = set()

    def counts_event(self) -> None:
        """One more event was parsed; one behind the end is noted too."""
        self.event_count += 1
        if self.terminal or self.failure:
            self.events_after_terminal += 1
            self.notes.add("events_after_terminal")

    def ends(self, reason: Any, completed: frozenset[str]) -> None:
        """A finish reason came: a known good one completes the answer; any other one, kept verbatim, shortened it."""
        text = reason if isinstance(reason, str) else str(reason)
        self.finish_reason = text[:200]
        self.finish = "completed" if text in completed else "incomplete"


class Arguments:
    """The arguments of an answer's tool calls, in the pieces in which they come: is each a whole JSON at the end?"""

    __slots__ = ("_pieces",)

    def __init__(self) -> None:
        self._pieces: dict[Any, list[str]] = {}

    def add(self, call: Any, piece: Any) -> None:
        """One more piece of this call's arguments; a call may also have none."""
        if isinstance(piece, str):
            self._pieces.setdefault(call, []).append(piece)

    def check(self, answer: Answer) -> None:
        """Notes on the answer that a call's arguments are cut short."""
        for pieces in self._pieces.values():
            text = "".join(pieces)
            if text.strip() and not is_json(text):
                answer.notes.add("tool-arguments-incomplete")


STATUS_OF_CODE = {
    "overloaded_error": 529,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "authentication_error": 401,
    "invalid_api_key": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "model_not_found": 404,
    "request_too_large": 413,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "content_policy_violation": 400,
    "content_filter": 400,
    "invalid_prompt": 400,
    "billing_error": 402,
    "timeout_error": 504,
    "server_is_overloaded": 529,
    "server_error": 500,
    "api_error": 500,
}


# The members in which a whole answer of any protocol says something of itself.
ANSWERING = frozenset({"choices", "output", "content", "candidates", "promptFeedback", "usageMetadata", "response", "done"})


def failure_of(error: Any) -> UpstreamFailure:
    """The failure in an error object of any dialect (or a bare text)."""
    if not isinstance(error, dict):
        return UpstreamFailure(str(error)[:4000])
    message, kind, name = error.get("message"), error.get("type"), error.get("status")
    code = error.get("code")
    numbers = (code, name, error.get("statusCode"), error.get("status_code"))
    status = next((item for item in numbers if isinstance(item, int) and 400 <= item < 600), None)
    if isinstance(name, str) and not isinstance(code, str):
        code = name  # Gemini: the number is the status, and the name says more
    words = [word for word in (code, kind) if isinstance(word, str)]
    if status is None:
        status = next((STATUS_OF_CODE[word] for word in words if word in STATUS_OF_CODE), None)
    return UpstreamFailure(
        (message if isinstance(message, str) else _shown(error))[:4000],
        str(code)[:200] if isinstance(code, str | int) else None,
        kind[:200] if isinstance(kind, str) else None,
        status,
    )


def decoded(data: bytes, answer: Answer | None = None) -> dict[str, Any] | None:
    """The JSON object of an event, or None when it is none.

    One with stray bytes that are no UTF-8 is read all the same, as clients may; `answer` notes them.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        if data.startswith(BOM):  # RFC 8259 lets readers ignore it, and the SDKs do
            if answer is not None:
                answer.notes.add("byte-order-mark")
            return decoded(data.removeprefix(BOM), answer)
        text = data.decode("utf-8", "replace").encode()
        value = _lenient(text) if text != data or b"\\ud" in data or b"\\uD" in data else None
        if text != data and value is not None and answer is not None:
            answer.notes.add("bad-encoding")
    return value if isinstance(value, dict) else None


def _lenient(data: bytes) -> Any:
    """JSON whose texts hold half a surrogate pair, as clients accept it and orjson does not; that half becomes `\\ufffd`."""

    def no_constant(name: str) -> None:
        raise ValueError(name)

    try:
        value = json.loads(data, parse_constant=no_constant)
        return orjson.loads(json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        return None


def whole(body: bytes, answer: Answer | None = None) -> dict[str, Any]:
    """The JSON object of a whole answer.

    Raises:
        MalformedBody: it is none.
    """
    value = decoded(body, answer)
    if value is None:
        raise MalformedBody("the answer is not a JSON object")
    return value


def bare_error(body: dict[str, Any]) -> Any:
    """An error that is no `error` member; None when it is none.

    `"object": "error"` (vLLM), a bare message with a code (gateways before the upstream), a `detail` (FastAPI servers).
    """
    if body.get("object") == "error":
        return body
    if isinstance(body.get("message"), str) and not body.keys().isdisjoint(("code", "status", "statusCode", "status_code")):
        return body
    return {"message": body["detail"]} if isinstance(body.get("detail"), str) else None


def whole_error(body: dict[str, Any]) -> Any:
    """What a whole answer says of a failure, be it in an empty `error`; None when it is an answer, of whatever protocol."""
    if body.get("error"):
        return body["error"]
    if not body.keys().isdisjoint(ANSWERING):
        return None
    return body if body.get("error") in ("", {}, []) else bare_error(body)


def whole_answer(body: bytes, answer: Answer) -> dict[str, Any] | None:
    """The JSON object of a whole answer, which is one event and the end; None when it is an error, which `answer` then holds.

    Raises:
        MalformedBody: it is no JSON object.
    """
    value = whole(body, answer)
    said = whole_error(value)
    if said is not None:
        answer.failure = failure_of(said)
        return None
    answer.event_count = 1
    answer.terminal = True
    return value


def count(source: Any, *names: str) -> int | None:
    """A token count under a path of names; None when it is missing or no number."""
    for name in names:
        source = source.get(name) if isinstance(source, dict) else None
    return source if isinstance(source, int) and not isinstance(source, bool) and 0 <= source < 1 << 62 else None


def request_facts(body: dict[str, Any], instructions: Any) -> RequestFacts:
    """Model, stream and variant hash of a request's body.

    Raises:
        BadField: `model` is no text, or `stream` no boolean.
    """
    model, stream = body.get("model"), body.get("stream")
    if model is not None and not isinstance(model, str):
        raise BadField(f"model is {type(model).__name__}; expected a string")
    if stream is not None and not isinstance(stream, bool):
        raise BadField(f"stream is {type(stream).__name__}; expected true or false")
    said = instructions if isinstance(instructions, str) else _shown(instructions) if instructions else ""
    digest = hashlib.sha256(f"{said}\0{_shown(body.get('tools') or [])}".encode("utf-8", "replace"))
    return RequestFacts(model, bool(stream), digest.hexdigest()[:12])


def sse(data: dict[str, Any], event: str = "") -> bytes:
    """One event's bytes. Raises MalformedBody."""
    head = f"event: {event}\n".encode() if event else b""
    return head + b"data: " + tellable(data) + b"\n\n"
