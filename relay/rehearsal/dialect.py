"""What a protocol must be able to say for the scenarios to play in it, each protocol in a file of its own."""

from __future__ import annotations

from typing import Protocol

from .answers import Answer, Failure
from .events import Event
from .http1 import Request


class Dialect(Protocol):
    """One protocol, spoken healthily. It invents nothing: ids, texts and figures come from the answer."""

    name: str  # as upstreams are configured: openai-chat, openai-responses, anthropic, gemini, ollama
    path: str  # the last parts of the request's path
    id_prefix: str
    request_id_header: str
    ping: bytes  # a keep-alive that the protocol's clients accept
    marker: Event  # what such a server sends last; alone it ends an answer that never was

    def serves(self, request: Request) -> bool:
        """Whether this request is in this protocol."""

    def streams(self, request: Request, body: dict[str, object]) -> bool:
        """Whether it asks for a stream."""

    def model(self, request: Request, body: dict[str, object]) -> str:
        """The model that it asks for."""

    def events(self, answer: Answer) -> list[Event]:
        """The whole streamed answer, in order."""

    def whole(self, answer: Answer) -> dict[str, object]:
        """The answer as one JSON object."""

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        """An error inside a stream of which `sequence` events have been sent."""

    def failure_body(self, failure: Failure) -> dict[str, object]:
        """The JSON that comes with an error status."""


class Usual:
    """How most protocols are asked: by the path's end, with `model` and `stream` in the body."""

    path: str

    def serves(self, request: Request) -> bool:
        return request.path.endswith(self.path)

    def streams(self, request: Request, body: dict[str, object]) -> bool:
        return body.get("stream") is True

    def model(self, request: Request, body: dict[str, object]) -> str:
        return str(body.get("model", ""))
