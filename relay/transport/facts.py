"""What the transport tells of a connection: how it came to be, and the one failure that it may raise.

Whatever goes wrong between the relay and an upstream leaves this package as a `TransportFailure` with exactly one
`Cause`; a detail is a sentence for people and never holds a secret, a query string or a header.
"""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from relay.ending import Cause


@dataclass(slots=True)
class ConnectionFacts:
    """How one request met its connection. Times are the event loop's clock; `None` means that it did not happen.

    `request_sent` is set when the last byte has left our own buffers, which for a long body is after the request call
    began to wait for the answer; a reused connection has neither `connect_start` nor `connected`.
    """

    reused: bool = False
    connect_start: float | None = None
    connected: float | None = None
    request_sent: float | None = None


class TransportFailure(httpx.TransportError):
    """The upstream could not be reached, or its answer did not arrive as HTTP promises.

    `received` counts the body bytes that had arrived; all of them were handed to the reader before this was raised.
    """

    def __init__(self, cause: Cause, detail: str, *, connection: ConnectionFacts | None = None, received: int = 0) -> None:
        super().__init__(f"{cause}: {detail}")
        self.cause = cause
        self.detail = detail
        self.connection = connection
        self.received = received
