"""What a protocol must be able to say for the scenarios to play in it; `chat`, `responses` and `messages` say it."""

from __future__ import annotations

from typing import Protocol

from .answers import Answer, Failure
from .events import Event


class Dialect(Protocol):
    """One protocol, spoken healthily. It invents nothing: ids, texts and figures come from the answer."""

    name: str  # as upstreams are configured: openai-chat, openai-responses, anthropic
    path: str  # the last parts of the request's path
    id_prefix: str
    request_id_header: str
    ping: bytes  # a keep-alive that the protocol's clients accept
    marker: Event  # what such a server sends last; alone it ends an answer that never was

    def events(self, answer: Answer) -> list[Event]:
        """The whole streamed answer, in order."""

    def whole(self, answer: Answer) -> dict[str, object]:
        """The answer as one JSON object."""

    def failure_event(self, failure: Failure, sequence: int) -> Event:
        """An error inside a stream of which `sequence` events have been sent."""

    def failure_body(self, failure: Failure) -> dict[str, object]:
        """The JSON that comes with an error status."""
