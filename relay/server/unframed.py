"""Answers to a client of HTTP/1.0, which knows no chunks: a body without a length ends with its connection.

So the close is all that says "whole". Until the last byte is written, the socket is set to be reset when it is closed:
however the answer breaks off (cut on purpose, our own bug, a killed worker), the client sees an error and never half a
body that looks like a whole one. Leans on uvicorn's cycle (`chunked_encoding`, `expected_content_length`), as protocol.py.
"""

from __future__ import annotations

import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

RESET, IN_ORDER = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)  # struct linger: what a close does
BODILESS = (204, 304)


class UnframedAnswer:
    """The `send` of one request of HTTP/1.0. What has a length keeps it; anything else goes out as it is, and is closed."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self.cycle = cycle
        self.transport = cycle.transport  # which is a cork at times
        self.unframed = False
        cycle.keep_alive = False  # else uvicorn would keep a connection whose end is the body's
        cycle.waiting_for_100_continue = False  # which HTTP/1.0 does not know either (RFC 9110, 10.1.1)

    async def __call__(self, message: Any) -> None:
        cycle = self.cycle
        if message["type"] == "http.response.start":
            lengths = [value for name, value in message.get("headers", ()) if name.lower() == b"content-length"]
            bodiless = cycle.scope["method"] == "HEAD" or message["status"] in BODILESS
            self.unframed = not lengths and not bodiless
            if self.unframed:
                cycle.chunked_encoding = False  # known already, so uvicorn writes no transfer-encoding
                self._at_close(RESET)
        elif self.unframed:
            # uvicorn counts down to the length that was announced: each block announces itself.
            cycle.expected_content_length += len(message.get("body", b""))
            if not message.get("more_body", False):
                await cycle.flow.drain()
                if not cycle.disconnected:  # nor was the answer cut, here or while it waited
                    self._at_close(IN_ORDER)
        await cycle.send(message)

    def _at_close(self, how: bytes) -> None:
        try:
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)
        except (OSError, AttributeError):  # the client has gone, and nobody is left to be misled
            pass
