"""What relay/server/protocol.py leans on in uvicorn, the event loops and the kernel: each fact for itself, so that an upgrade
that breaks one is seen here and not in a record that is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from relay.client_side import ClientClose
from relay.ending import Cause
from relay.rehearsal.matrix.client import deafen
from relay.server.protocol import EXTENSION, ClientConnection, WatchedProtocol
from tests.relay.server.serving import serving

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"


class Server:
    """An application that answers with what the test writes, and what its connection said of the client's end."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.ends: asyncio.Queue[ClientClose] = asyncio.Queue()
        self.connection: ClientConnection
        self.scope: dict[str, Any] = {}
        self.send: Any = None
        self.release = asyncio.Event()
        self.requests = 0

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.requests += 1
        self.scope, self.send = scope, send
        self.connection = scope["extensions"][EXTENSION]
        self.connection.watcher = self.ends.put_nowait
        while (await receive()).get("more_body"):
            pass
        self.connection.resume_reading()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.began.set()
        await self.release.wait()

    async def write(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> ClientClose:
        return await asyncio.wait_for(self.ends.get(), 5)


@contextlib.asynccontextmanager
async def served(request: bytes = HEAD % 0, buffer: int = 0) -> AsyncIterator[tuple[Server, socket.socket]]:
    """A client's bare socket whose request the application has begun to answer."""
    app = Server()
    async with serving(app) as address:
        client = socket.socket()
        if buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.connect(address)
        await asyncio.to_thread(client.sendall, request)
        await asyncio.wait_for(app.began.wait(), 5)
        try:
            yield app, client
        finally:
            client.close()
            app.release.set()


def reset(client: socket.socket) -> None:
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


async def filled(app: Server) -> None:
    """Writes until writing is blocked: `send` then waits, so it gets a task."""
    while app.connection.blocked_since is None:
        waiting = asyncio.ensure_future(app.write(b"x" * 262_144))
        await asyncio.sleep(0.01)
    waiting.cancel()


async def test_a_close_is_a_fin_at_once() -> None:
    async with served() as (app, client):
        await asyncio.to_thread(client.recv, 4096)  # the head: left unread it would make a reset of the close
        client.close()
        end = await app.end()
    assert (end.how, end.cause, end.blocked_for) == ("fin", Cause.FIN, 0.0)


async def test_a_half_close_is_a_fin_too() -> None:
    async with served() as (app, client):
        client.shutdown(socket.SHUT_WR)
        assert (await app.end()).cause is Cause.FIN


async def test_a_reset_is_a_reset() -> None:
    async with served() as (app, client):
        reset(client)
        assert (await app.end()).cause is Cause.CLIENT_RESET


async def test_a_close_with_bytes_unread_arrives_as_a_reset_that_says_nothing_of_failure() -> None:
    async with served() as (app, client):
        await app.write(b"unread")
        await asyncio.sleep(0.05)
        client.close()
        end = await app.end()
    assert end.cause is Cause.CLIENT_RESET
    assert (end.blocked_for, end.not_sent or 0) == (0.0, 0)


async def test_a_fin_is_seen_though_the_request_was_long() -> None:
    """uvicorn stops reading after 64 KiB that nobody took; without `resume_reading` the FIN would be invisible."""
    async with served(HEAD % 1_000_000 + bytes(1_000_000)) as (app, client):
        await asyncio.to_thread(client.recv, 4096)
        client.close()
        assert (await app.end()).cause is Cause.FIN


async def test_a_fin_is_seen_at_once_though_writing_is_blocked() -> None:
    async with served(buffer=8192) as (app, client):
        await filled(app)
        client.shutdown(socket.SHUT_WR)
        end = await app.end()
    assert end.cause is Cause.FIN
    assert end.blocked_for > 0
    assert end.write_buffer > 0
    assert end.not_sent and end.not_sent > 100_000


async def test_blocked_time_survives_a_reset_which_empties_the_buffers() -> None:
    async with served(buffer=8192) as (app, client):
        await filled(app)
        await asyncio.sleep(0.2)
        reset(client)
        end = await app.end()
    assert end.cause is Cause.CLIENT_RESET
    assert end.blocked_for >= 0.2


async def test_the_kernel_counts_how_long_a_closed_window_held_us_back() -> None:
    async with served(buffer=8192) as (app, _):
        await app.write(b"x" * 40_000)  # far from blocking us, and more than the client's buffer takes
        await asyncio.sleep(0.5)
        assert app.connection.blocked_since is None
        end = app.connection.snapshot()
    assert end.not_sent
    assert 0.2 < end.window_closed < 1.0


async def test_a_client_that_reads_nothing_still_acknowledges_and_one_that_vanished_does_not() -> None:
    loop = asyncio.get_running_loop()
    async with served(buffer=8192) as (app, client):
        await filled(app)
        await asyncio.sleep(1.5)
        stuck, asked = app.connection.unheard_for(), app.connection.unanswered()
        unread = app.connection.unread_for(loop.time())
        deafen(client)
        await asyncio.sleep(2.4)  # the next probe is sent about 3 s after the window closed
        vanished, asked_in_vain = app.connection.unheard_for(), app.connection.unanswered()
        assert unread <= app.connection.unread_for(loop.time())
    assert stuck is not None and stuck < 1.2
    assert vanished is not None and vanished >= 1.6
    assert asked <= asked_in_vain and asked_in_vain >= 1


@pytest.mark.parametrize(("deaf", "cause"), [(False, Cause.WRITE_TIMEOUT), (True, Cause.TCP_TIMEOUT)])
async def test_the_kernel_gives_up_a_client_that_never_reads_and_one_that_vanished_alike(deaf: bool, cause: Cause) -> None:
    async with served(buffer=8192) as (app, client):
        sock = app.connection.transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 3000)
        await filled(app)
        if deaf:
            deafen(client)
        close = await asyncio.wait_for(app.ends.get(), 20)
    assert (close.how, close.cause) == ("timeout", cause)


async def test_a_connection_that_is_closed_can_still_be_asked() -> None:
    async with served() as (app, client):
        client.close()
        await app.end()
    close = app.connection.snapshot()
    assert (app.connection.unheard_for(), close.send_queue, close.rtt_ms) == (None, None, None)


async def test_a_slow_reader_makes_progress_though_writing_stays_blocked() -> None:
    loop = asyncio.get_running_loop()
    async with served(buffer=65_536) as (app, client):
        await filled(app)
        client.settimeout(5)
        for _ in range(8):
            await asyncio.to_thread(client.recv, 65_536)
            await asyncio.sleep(0.1)
            unread = app.connection.unread_for(loop.time())
        blocked = app.connection.blocked_for(loop.time())
    assert blocked > 0.7
    assert unread < 0.5


async def test_an_answer_begun_before_a_body_that_is_no_http_ends_with_its_connection() -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"o", "more_body": True})
        begun.set()
        await release.wait()
        await send({"type": "http.response.body", "body": b"k"})

    async with serving(application) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        await begun.wait()
        writer.write(b"no size\r\n")
        await asyncio.sleep(0.1)
        release.set()
        raw = await asyncio.wait_for(reader.read(), 2)
        writer.close()
    assert raw.endswith(b"\r\n\r\nok")
    assert raw.count(b"HTTP/1.1 ") == 1


async def test_what_is_queued_behind_a_request_is_not_answered_when_the_client_has_gone() -> None:
    async with served(HEAD % 0 + HEAD % 0) as (app, client):
        client.close()
        await app.end()
        app.release.set()
        await asyncio.sleep(0.1)
        assert app.requests == 1


@pytest.mark.parametrize("name", ["cycle", "flow", "pipeline", "scope"])
async def test_uvicorn_has_what_is_used_of_it(name: str) -> None:
    config = uvicorn.Config(lambda: None, lifespan="off", log_config=None)
    config.load()
    protocol = WatchedProtocol(config=config, server_state=uvicorn.server.ServerState(), app_state={})
    assert name in vars(protocol) or name in WatchedProtocol.__annotations__
    assert uvicorn.__version__ == "0.54.0"
    assert hasattr(uvicorn.Server(config), "_captured_signals")
