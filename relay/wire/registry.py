"""Every client protocol, as one value: what the relay needs to read it, and to speak it to the client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Protocol

from relay.wire import anthropic, gemini, ollama, openai_chat, openai_responses
from relay.wire.events import Answer, ClientError, Mark, RequestFacts
from relay.wire.json_stream import ArrayScanner, LineScanner
from relay.wire.sse import BOM, Frame, SSEScanner

SSE_TYPE = "text/event-stream; charset=utf-8"
FIELDS = (b":", *(name + end for name in (b"data", b"event", b"id", b"retry", b"error") for end in (b":", b"\n", b"\r")))


class Reader(Protocol):
    """Taps a stream: what each event means, and what the answer has told so far. Never raises.

    `body` is the JSON of the event read last, for whoever translates it; None when there was none.
    """

    answer: Answer
    body: dict[str, Any] | None

    def read(self, frame: Frame) -> Mark: ...


class Scanner(Protocol):
    """Cuts a body into frames; the raws of the frames, joined, are the body."""

    @property
    def pending(self) -> int: ...
    def feed(self, data: bytes) -> list[Frame]: ...
    def close(self) -> Frame | None: ...


def _events(first: bytes) -> bool:
    """Whether a body that begins so is an event stream, judged by its first line's field, or as much of it as came."""
    begun = first.removeprefix(BOM).lstrip()
    return begun.startswith(FIELDS) or any(field.startswith(begun) for field in FIELDS) or BOM.startswith(first)


def _model_in_body(path: str, model: str) -> tuple[str, dict[str, Any]]:
    return path, {"model": model}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol. `protocol` is the upstream's name of it, `tag` the client's."""

    tag: str
    protocol: str
    reader: Callable[[], Reader]
    read_whole: Callable[[bytes, Answer], None]
    whole_to_stream: Callable[[bytes], bytes]
    error_body: Callable[[ClientError], Any]
    error_frame: Callable[[ClientError, Answer], bytes]
    request_facts: Callable[[dict[str, Any]], RequestFacts]
    heartbeat: bytes
    end: bytes
    end_name: str
    scanner: Callable[[], Scanner] = SSEScanner
    stream_type: str = SSE_TYPE
    spoken: Callable[[dict[str, Any]], tuple[str, str] | None] | None = None  # the text of an event that says nothing else
    marked: bool = True  # whether the protocol has a marker that ends a stream, so that its lack is worth a note
    after_error: bytes = b""  # what closes a stream behind an error of the upstream's
    is_stream: Callable[[bytes], bool] = _events
    renamed: Callable[[str, str], tuple[str, dict[str, Any]]] = _model_in_body  # path and changed fields for another model


def _dialect(module: ModuleType, **differs: Any) -> Dialect:
    return Dialect(
        tag=module.TAG,
        protocol=module.PROTOCOL,
        reader=module.Reader,
        read_whole=module.read_whole,
        whole_to_stream=module.whole_to_stream,
        error_body=module.error_body,
        error_frame=module.error_frame,
        request_facts=module.facts,
        heartbeat=module.HEARTBEAT,
        end=module.END,
        end_name=module.END_NAME,
        spoken=getattr(module, "spoken", None),
        **differs,
    )


DIALECTS: dict[str, Dialect] = {
    **{module.TAG: _dialect(module) for module in (openai_chat, openai_responses, anthropic)},
    gemini.TAG: _dialect(gemini, marked=False, renamed=gemini.renamed),
    ollama.TAG: _dialect(ollama, scanner=LineScanner, stream_type=ollama.LINES_TYPE, is_stream=ollama.is_lines),
}
# Gemini without `alt=sse`: the same responses as the elements of one JSON array.
GEMINI_ARRAY = replace(
    DIALECTS[gemini.TAG],
    scanner=ArrayScanner,
    stream_type="application/json; charset=utf-8",
    is_stream=gemini.is_array,
    whole_to_stream=gemini.whole_to_array,
    error_frame=gemini.array_error_frame,
    end=b"]",
    after_error=b"]",
)
