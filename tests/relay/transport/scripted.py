"""A scripted upstream on a raw socket: it may reset, cut, lie and stay silent, which no HTTP server would.

Each connection runs the script, a coroutine that is given a `Line`. What reached it, and how each connection ended,
stays to be asked.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx

from relay.transport import UpstreamTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Line:
    """One connection, as the script sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: Upstream) -> None:
        self.reader, self.writer, self.upstream = reader, writer, upstream

    async def request(self) -> bytes:
        """The next request, head and body. Raises `EOFError` when the peer has gone."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        whole = head + await self.reader.readexactly(length)
        self.upstream.requests.append(whole)
        return whole

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Waits until the peer has closed or reset."""
        try:
            while await self.reader.read(65536):
                pass
        except OSError:
            pass


Script = Callable[[Line], Awaitable[None]]


class Upstream:
    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}/"
        self.requests: list[bytes] = []
        self.opened = 0
        self.open = 0

    async def all_closed(self) -> None:
        """Waits until no connection is open; the test's timeout is the limit."""
        while self.open:
            await asyncio.sleep(0.002)


@asynccontextmanager
async def upstream(script: Script, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
    tasks: set[asyncio.Task[None]] = set()
    found: list[Upstream] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        here = found[0]
        here.opened += 1
        here.open += 1
        line = Line(reader, writer, here)
        try:
            await script(line)
            await line.gone()
        except (EOFError, OSError, asyncio.CancelledError):
            pass
        finally:
            here.open -= 1
            writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    found.append(Upstream(server.sockets[0].getsockname()[1], "https" if tls else "http"))
    try:
        yield found[0]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def polite(line: Line) -> None:
    """Answers every request on the connection with two bytes."""
    while True:
        await line.request()
        await line.write(OK)


def call(transport: UpstreamTransport, url: str, body: bytes = b"{}", **extensions: object) -> Awaitable[httpx.Response]:
    """A request to `url`, as the supervisor sends it."""
    extensions.setdefault("timeout", {"connect": 5.0})
    return transport.handle_async_request(httpx.Request("POST", url, content=body, extensions=extensions))
