"""The bench's upstream: a process that answers chat completions as cheaply as Python can, so that it never is the bottleneck.

The request's model names the load: `one` is a single chunk with the whole answer, `hundred` is a hundred chunks 20 ms
apart, `silent` is one chunk and then nothing until the connection closes.
"""

from __future__ import annotations

import asyncio
import socket
from multiprocessing.connection import Connection
from typing import Any

import uvloop

GAP = 0.02
CHUNKS = 100
HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 00:00:00 GMT\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"X-Request-Id: req_upstream\r\nOpenai-Processing-Ms: 12\r\nTransfer-Encoding: chunked\r\n\r\n"
)
END = b"0\r\n\r\n"


def _event(delta: str, finish: str = "null") -> bytes:
    return (
        b'data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1764000000,"model":"bench",'
        b'"system_fingerprint":"fp_bench","choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":%s}]}\n\n'
    ) % (delta.encode(), finish.encode())


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


DELTA = _chunk(_event('{"content":" word"}'))
LAST = _chunk(_event("{}", '"stop"') + b"data: [DONE]\n\n") + END
ONE = HEAD + _chunk(_event('{"role":"assistant","content":"Hello."}', '"stop"') + b"data: [DONE]\n\n") + END


class Upstream(asyncio.Protocol):
    """One connection: finds the end of each request by its content-length and plays what its model says."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.seen = b""
        self.sent = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.seen = self.seen + data if self.seen else data
        head, found, body = self.seen.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) < length:
            return
        self.seen = b""
        if b'"model":"one"' in body:
            self.transport.write(ONE)
        elif b'"model":"silent"' in body:
            self.transport.write(HEAD + DELTA)
        else:
            self.sent = 0
            self.transport.write(HEAD)
            self.loop.call_later(GAP, self.next)

    def next(self) -> None:
        if self.transport.is_closing():
            return
        self.sent += 1
        if self.sent < CHUNKS:
            self.transport.write(DELTA)
            self.loop.call_later(GAP, self.next)
        else:
            self.transport.write(LAST)


def serve(told: Connection) -> None:
    """The life of the upstream's process; tells its port through `told`."""

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
        server = await loop.create_server(lambda: Upstream(loop), sock=sock, backlog=4096)
        told.send(sock.getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())
