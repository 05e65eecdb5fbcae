"""How an answer is cut into writes: each is a system call, so the head, the first block and the end do not get one each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from relay.exchange import Exchange
from relay.server.handler import Delivery
from relay.server.protocol import WatchedProtocol
from tests.relay.server.serving import serving

HEADERS = [(b"content-type", b"text/event-stream")]
REQUEST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 0\r\n\r\n"


class Counting:
    """A transport that keeps each write."""

    writes: list[bytes] = []

    def __init__(self, transport: Any) -> None:
        self.transport = transport

    def write(self, data: bytes) -> None:
        Counting.writes.append(bytes(data))
        self.transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


class CountedProtocol(WatchedProtocol):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(Counting(transport))


@contextlib.asynccontextmanager
async def served(answer: Callable[[Delivery], Any]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that answers each request by what `answer` does with its `Delivery`."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        delivery = Delivery(scope, send)
        delivery.exchange = Exchange("POST", "/", delivery)
        await answer(delivery)

    Counting.writes = []
    async with serving(application, CountedProtocol) as address:
        reader, writer = await asyncio.open_connection(*address)
        try:
            yield reader, writer
        finally:
            writer.close()


async def until(reader: asyncio.StreamReader, end: bytes) -> bytes:
    return await asyncio.wait_for(reader.readuntil(end), 5)


async def test_an_answer_of_one_block_is_one_write() -> None:
    async def answer(delivery: Delivery) -> None:
        await delivery.begin(200, HEADERS, b"data: all\n\n", False)

    async with served(answer) as (reader, writer):
        for _ in range(2):  # on a kept connection too
            writer.write(REQUEST)
            await until(reader, b"\r\n\r\n")
            assert await until(reader, b"0\r\n\r\n") == b"b\r\ndata: all\n\n\r\n0\r\n\r\n"
    assert len(Counting.writes) == 2


async def test_each_further_block_is_one_write_and_the_last_takes_the_end_with_it() -> None:
    counted: list[tuple[int, int]] = []

    async def answer(delivery: Delivery) -> None:
        await delivery.begin(200, HEADERS, b"one", True)
        await delivery.body(b"two", True)
        await delivery.body(b"three", False)
        assert delivery.exchange is not None
        counted.append((delivery.exchange.written_chunks, delivery.exchange.written_bytes))

    async with served(answer) as (reader, writer):
        writer.write(REQUEST)
        await until(reader, b"\r\n\r\n")
        assert await until(reader, b"0\r\n\r\n") == b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\n"
    assert [write.endswith(end) for write, end in zip(Counting.writes, (b"one\r\n", b"two\r\n", b"0\r\n\r\n"), strict=True)] == [
        True
    ] * 3
    assert counted == [(3, 11)]


async def test_an_answer_with_a_length_goes_out_whole_and_closes_when_it_was_asked_to() -> None:
    async def answer(delivery: Delivery) -> None:
        await delivery.begin(200, [(b"content-length", b"2")], b"{}", False)

    async with served(answer) as (reader, writer):
        writer.write(REQUEST.replace(b"Host", b"Connection: close\r\nHost"))
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\n{}")
    assert len(Counting.writes) == 1


async def test_nothing_of_an_answer_goes_out_whose_head_the_server_refuses() -> None:
    async def answer(delivery: Delivery) -> None:
        with contextlib.suppress(RuntimeError):
            await delivery.begin(200, [(b"x-bad", b"a\nb")], b"one", True)
        raise ValueError("as a bug would")

    async with served(answer) as (reader, writer):
        writer.write(REQUEST)
        assert b"200 OK" not in await asyncio.wait_for(reader.read(), 5)
