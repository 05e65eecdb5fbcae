"""What the transport costs beside aiohttp's own session: CPU of the client process for one exchange, as a ratio.

    PYTHONPATH=. .venv/bin/python -m tests.bench.transport

The upstream is a process of its own, so that only the client's CPU is counted. The rows of one run are comparable;
those of two runs, or two machines, only as ratios.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import httpx
import uvloop

from relay.transport import UpstreamTransport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Request-Id: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"data: " + b"x" * 200 + b"\n\n"
CHUNK = b"%x\r\n%b\r\n" % (len(EVENT), EVENT)
END = b"0\r\n\r\n"
BODY = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"' + b"h" * 500 + b'"}]}'
HEADERS = [("Host", "127.0.0.1"), ("Authorization", "Bearer k"), ("Content-Length", str(len(BODY)))]
SHAPES = {"1 chunk": (1, 6000, 20), "100 chunks, 20 ms apart": (100, 400, 200)}  # chunks, exchanges, at once
ROUNDS = 5

Exchange = Callable[[], Awaitable[None]]


class Upstream(asyncio.Protocol):
    """Answers each request with as many chunks as its path says."""

    def connection_made(self, transport: Any) -> None:
        self.transport, self.seen = transport, b""

    def data_received(self, data: bytes) -> None:
        self.seen += data
        if self.seen.endswith(b"}"):
            count, self.seen = int(self.seen.split(b" ", 2)[1][1:]), b""
            if count == 1:
                self.transport.write(HEAD + CHUNK + END)
            else:
                self.streaming = asyncio.ensure_future(self.stream(count))

    async def stream(self, count: int) -> None:
        self.transport.write(HEAD)
        for _ in range(count):
            await asyncio.sleep(0.02)
            self.transport.write(CHUNK)
        self.transport.write(END)


def serve(port: Connection) -> None:
    async def forever() -> None:
        server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(forever())


def of_session(url: str, traces: list[aiohttp.TraceConfig]) -> tuple[Exchange, Callable[[], Awaitable[None]]]:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(sock_connect=10),
        auto_decompress=False,
        trace_configs=traces,
    )

    async def exchange() -> None:
        async with session.request("POST", url, data=BODY, headers=HEADERS, allow_redirects=False) as response:
            while await response.content.readany():
                pass

    return exchange, session.close


def timings() -> list[aiohttp.TraceConfig]:
    """What `ConnectionFacts` tells, had through aiohttp's own hooks."""
    config: Any = aiohttp.TraceConfig()

    async def note(session: Any, context: Any, params: Any) -> None:
        context.at = time.monotonic()

    for signal in ("connection_create_start", "connection_create_end", "connection_reuseconn", "request_headers_sent"):
        getattr(config, f"on_{signal}").append(note)
    return [config]


def of_transport(url: str) -> tuple[Exchange, Callable[[], Awaitable[None]]]:
    transport, address = UpstreamTransport(), httpx.URL(url)
    extensions = {"timeout": {"connect": 10.0}}

    async def exchange() -> None:
        request = httpx.Request("POST", address, content=BODY, headers=HEADERS, extensions=extensions)
        body: Any = (await transport.handle_async_request(request)).stream
        while await body.read():
            pass
        await body.aclose()

    return exchange, transport.aclose


CLIENTS: dict[str, Callable[[str], tuple[Exchange, Callable[[], Awaitable[None]]]]] = {
    "aiohttp": lambda url: of_session(url, []),
    "aiohttp, traced": lambda url: of_session(url, timings()),
    "ours": of_transport,
}


async def cost(client: str, url: str, exchanges: int, at_once: int) -> float:
    """Microseconds of CPU for one exchange."""
    exchange, close = CLIENTS[client](url)

    async def worker(count: int) -> None:
        for _ in range(count):
            await exchange()

    await asyncio.gather(*(worker(2) for _ in range(at_once)))
    before = time.process_time()
    await asyncio.gather(*(worker(exchanges // at_once) for _ in range(at_once)))
    used = time.process_time() - before
    await close()
    return used / exchanges * 1e6


def main() -> None:
    warnings.simplefilter("ignore")
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    for shape, (chunks, exchanges, at_once) in SHAPES.items():
        costs: dict[str, list[float]] = {client: [] for client in CLIENTS}
        for _ in range(ROUNDS):
            for client, found in costs.items():
                found.append(uvloop.run(cost(client, f"http://127.0.0.1:{port}/{chunks}", exchanges, at_once)))
        one = statistics.median(costs["aiohttp"])
        for client, found in costs.items():
            middle = statistics.median(found)
            print(f"{shape:26}{client:18}{middle:9.0f} µs {middle / one:6.2f}")
    server.kill()


if __name__ == "__main__":
    main()
