"""Whether a client went by choice or had stopped reading, told by real sockets: by what lay unsent, and for how long."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.client_side import WriteMarks
from relay.ending import Cause, Phase
from relay.exchange import LIVE, Exchange
from relay.server.handler import Delivery, RelayHandler
from relay.watchdog import TICK, Watchdog
from tests.relay.server.serving import serving

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
MORE_THAN_IT_TAKES = bytes(40_000)  # of a client whose buffer is the smallest; and far from blocking us


class Application:
    """Answers one request with what a test writes, under a watchdog, and classifies how it ended."""

    def __init__(self) -> None:
        self.began, self.ended = asyncio.Event(), asyncio.Event()
        self.delivery: Delivery
        self.exchange: Exchange

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.delivery = Delivery(scope, send)
        exchange = self.exchange = self.delivery.exchange = Exchange("POST", "/", self.delivery)
        assert self.delivery.connection is not None
        self.delivery.connection.watcher = exchange.client_left
        exchange.enter(Phase.STREAMING)
        LIVE.add(exchange)
        await self.delivery.start(200, [])
        self.began.set()
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            exchange.finish_once()
            self.ended.set()

    async def write(self, data: bytes = MORE_THAN_IT_TAKES) -> None:
        await self.delivery.body(data, more=True)

    async def cause(self) -> Cause | None:
        await asyncio.wait_for(self.ended.wait(), 5)
        assert self.exchange.verdict is not None
        return self.exchange.verdict.cause


@pytest.fixture
async def watchdog(monkeypatch: pytest.MonkeyPatch) -> Watchdog:
    watchdog = Watchdog()
    watchdog.start()
    monkeypatch.setattr(RelayHandler, "watchdog", watchdog)
    return watchdog


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Application, socket.socket]]:
    """The application, and the bare socket of a client that takes little, whose answer has begun."""
    app = Application()
    async with serving(app) as address:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.connect(address)
        client.sendall(REQUEST)
        try:
            await app.began.wait()
            yield app, client
        finally:
            client.close()


def read_all(client: socket.socket, size: int) -> None:
    """Takes so many bytes, and what frames them."""
    client.settimeout(5)
    while size > 0:
        size -= len(client.recv(65_536))


async def test_a_client_that_read_nothing_of_the_last_bytes_lost_them(watchdog: Watchdog) -> None:
    async with served() as (app, client):
        await app.write()
        await asyncio.sleep(1.6)
        client.close()
        assert await app.cause() is Cause.UNDELIVERED


async def test_writes_that_go_on_do_not_hide_that_the_client_has_stopped_reading(watchdog: Watchdog) -> None:
    async with served() as (app, client):
        await app.write()
        for _ in range(16):
            await app.write(b"x")
            await asyncio.sleep(0.1)
        client.close()
        assert await app.cause() is Cause.UNDELIVERED


async def test_a_stall_of_our_own_is_not_taken_for_a_client_that_does_not_read(watchdog: Watchdog) -> None:
    async with served() as (app, client):
        await app.write()
        await asyncio.sleep(0.3)
        threading.Timer(0.1, client.shutdown, [socket.SHUT_RDWR]).start()
        time.sleep(1.6)  # the loop stands still
        assert await app.cause() is Cause.FIN


async def test_a_client_that_stopped_now_and_then_and_caught_up_left_by_choice(watchdog: Watchdog) -> None:
    async with served() as (app, client):
        for _ in range(4):
            await app.write()
            await asyncio.sleep(0.4)  # its window is closed
            await asyncio.to_thread(read_all, client, len(MORE_THAN_IT_TAKES))
        await app.write()
        client.shutdown(socket.SHUT_RDWR)
        assert await app.cause() is Cause.FIN
    assert app.exchange.client_close is not None
    assert app.exchange.client_close.window_closed > 1


def walk(steps: list[tuple[float, int]]) -> Iterator[tuple[float, int, list[tuple[float, int]]]]:
    now, written, history = 0.0, 0, []
    for seconds, size in steps:
        now, written = now + seconds, written + size
        history.append((now, written))
        yield now, written, history


STEPS = st.lists(st.tuples(st.floats(0.25, 3), st.integers(0, 5000)), min_size=1, max_size=60)


@given(STEPS, st.integers(0, 20_000))
def test_what_lies_unsent_is_never_said_to_be_older_than_it_is(steps: list[tuple[float, int]], unsent: int) -> None:
    marks = WriteMarks()
    for now, written, history in walk(steps):
        marks.mark(now, written)
        taken = max(written - unsent, 0)
        age = next((now - at for at, upto in history if upto > taken), 0.0)  # as exactly as marks can tell
        told = marks.age(now, taken)
        assert told <= age
        if len({upto for _, upto in history}) <= 16:
            assert told == age
        assert age < 2 * TICK or told > 0
