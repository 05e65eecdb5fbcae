"""However a body ends, what arrived of it reaches the reader first, and then the one cause of its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from relay.ending import Cause
from relay.transport import ConnectionFacts, TransportFailure
from relay.transport.protocol import READ_BUFFER, UpstreamProtocol
from tests.relay.transport.scripted import CHUNKED, Line, call, chunk, upstream

HEAD = b"HTTP/1.1 200 OK\r\n"


async def read_out(response: httpx.Response) -> tuple[bytes, TransportFailure | None]:
    received = b""
    try:
        while data := await response.stream.read():  # type: ignore[union-attr]
            received += data
    except TransportFailure as failure:
        return received, failure
    return received, None


class Taking:
    """A sink that is always ready, until it has had enough."""

    def __init__(self, enough: int = 1 << 30) -> None:
        self.taken = b""
        self.enough = enough

    def ready(self) -> bool:
        return True

    def take(self, data: bytes) -> bool:
        self.taken += data
        return len(self.taken) < self.enough


async def flow_out(response: httpx.Response) -> tuple[bytes, TransportFailure | None]:
    """As `read_out`, but by the sink: `read` is left with the end alone."""
    sink = Taking()
    await response.stream.flow(sink)  # type: ignore[union-attr]
    rest, failure = await read_out(response)
    assert not rest
    return sink.taken, failure


def body_that(data: bytes, end: Callable[[Line], None] | None = Line.close) -> Callable[[Line], Awaitable[None]]:
    async def script(line: Line) -> None:
        await line.request()
        await line.write(data)
        if end is not None:
            await asyncio.sleep(0.02)  # a reset overtakes what has not been read
            end(line)

    return script


CLOSED = HEAD + b"Connection: close\r\n\r\n"
SHORT = HEAD + b"Content-Length: 100\r\n\r\n"
BODIES = [
    pytest.param(body_that(CLOSED + b"abc"), b"abc", None, id="close-delimited, closed"),
    pytest.param(body_that(CLOSED + b"abc", Line.reset), b"abc", Cause.RESET, id="close-delimited, reset"),
    pytest.param(body_that(CHUNKED + chunk(b"abc")), b"abc", Cause.TRUNCATED_BODY, id="chunked, closed"),
    pytest.param(body_that(CHUNKED + b"9\r\nabc"), b"abc", Cause.TRUNCATED_BODY, id="chunked, closed in a chunk"),
    pytest.param(body_that(CHUNKED + chunk(b"abc"), Line.reset), b"abc", Cause.RESET, id="chunked, reset"),
    pytest.param(body_that(SHORT + b"abc"), b"abc", Cause.TRUNCATED_BODY, id="length, closed"),
    pytest.param(body_that(SHORT + b"abc", Line.reset), b"abc", Cause.RESET, id="length, reset"),
    pytest.param(body_that(CHUNKED + chunk(b"abc") + b"zz\r\n", None), b"abc", Cause.UPSTREAM_PROTOCOL, id="bad chunk size"),
    pytest.param(body_that(CHUNKED, Line.close), b"", Cause.TRUNCATED_BODY, id="chunked, nothing"),
    pytest.param(body_that(CHUNKED + chunk(b"abc") + b"0\r\n\r\n"), b"abc", None, id="chunked, whole"),
]


@pytest.mark.parametrize("taking", [read_out, flow_out])
@pytest.mark.parametrize("late", [False, True], ids=["reader waits", "reader late"])
@pytest.mark.parametrize(("script", "received", "cause"), BODIES)
async def test_what_arrived_is_read_before_the_one_cause_of_the_end(transport, script, received, cause, late, taking):
    async with upstream(script) as peer:
        response = await call(transport, peer.url)
        if late:
            await asyncio.sleep(0.1)
        data, failure = await taking(response)
        assert data == received
        assert (failure and failure.cause) is cause
        if failure is not None:
            assert failure.received == len(received)
            with pytest.raises(TransportFailure):  # and it stays so
                await response.stream.read()
            with pytest.raises(TransportFailure):
                response.stream.read_nowait()
        await peer.all_closed()
    assert not transport._connector._acquired


async def test_a_sink_that_has_had_enough_leaves_the_rest_to_be_read(transport):
    async def script(line: Line) -> None:
        await line.request()
        for piece in (CHUNKED + chunk(b"abc"), chunk(b"def"), chunk(b"ghi") + b"0\r\n\r\n"):
            await line.write(piece)
            await asyncio.sleep(0.02)

    async with upstream(script) as peer:
        response = await call(transport, peer.url)
        sink = Taking(enough=4)
        await response.stream.flow(sink)
        assert sink.taken == b"abcdef"
        assert await read_out(response) == (b"ghi", None)


async def test_cancelling_a_flow_loses_nothing(transport):
    async def script(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED + chunk(b"abc"))
        await asyncio.sleep(0.1)
        await line.write(chunk(b"def") + b"0\r\n\r\n")

    async with upstream(script) as peer:
        response = await call(transport, peer.url)
        sink = Taking()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(response.stream.flow(sink), 0.05)
        await asyncio.sleep(0.1)
        assert sink.taken == b"abc"
        assert await read_out(response) == (b"def", None)


async def test_what_a_sink_raises_reaches_who_waits_and_not_the_socket(transport):
    class Broken(Taking):
        def take(self, data: bytes) -> bool:
            raise ZeroDivisionError

    async with upstream(body_that(CHUNKED + chunk(b"abc") + b"0\r\n\r\n")) as peer:
        response = await call(transport, peer.url)
        with pytest.raises(ZeroDivisionError):
            await response.stream.flow(Broken())
        assert await read_out(response) == (b"", None)


async def test_a_bad_chunk_size_while_the_reader_waits_reaches_it(transport):
    async def script(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED + chunk(b"abc"))
        await asyncio.sleep(0.05)
        await line.write(b"zz\r\n")

    async with upstream(script) as peer:
        data, failure = await asyncio.wait_for(read_out(await call(transport, peer.url)), 2)
    assert data == b"abc" and failure.cause is Cause.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("cut", range(1, 5))
async def test_a_head_cut_anywhere_survives_what_is_wrong_behind_it(transport, cut):
    async def script(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED[:-cut])
        await asyncio.sleep(0.02)
        await line.write(CHUNKED[-cut:] + chunk(b"abc") + b"zz\r\n")

    async with upstream(script) as peer:
        data, failure = await read_out(await call(transport, peer.url))
    assert data == b"abc" and failure.cause is Cause.UPSTREAM_PROTOCOL


@pytest.mark.parametrize("end", [Line.close, Line.reset], ids=["closed", "reset"])
async def test_tls_bodies_end_with_the_same_causes(transport, tls, certificate: Path, end):
    async with upstream(body_that(CHUNKED + chunk(b"abc"), end), tls) as peer:
        data, failure = await read_out(await call(transport, peer.url, ca_bundle=str(certificate)))
    assert data == b"abc"
    assert failure.cause is (Cause.TRUNCATED_BODY if end is Line.close else Cause.RESET)


@pytest.mark.parametrize("size", [10, 5_000], ids=["tiny chunks", "chunks"])
async def test_a_slow_reader_still_gets_all_that_arrived_before_the_cut(transport, size):
    sent = 0

    async def script(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.write(CHUNKED)
        for _ in range(3_000_000 // (size + 8)):
            await line.write(chunk(b"y" * size))
            sent += size
        line.close()

    async with upstream(script) as peer:
        response = await call(transport, peer.url)
        await asyncio.sleep(0.2)  # buffers fill, and reading pauses
        held = response.stream._content._size
        assert held < 1_000_000
        data, failure = await read_out(response)
    assert len(data) == sent and failure.cause is Cause.TRUNCATED_BODY


async def test_a_pause_that_the_parser_takes_late_does_not_hold_back_what_comes_after_it(transport):
    pausing = READ_BUFFER // 16 + 1  # reading pauses at more unread chunks than this less one

    async def script(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED + chunk(b"a") * pausing)
        await asyncio.sleep(0.1)
        await line.write(chunk(b"b") + chunk(b"c"))

    async with upstream(script) as peer:
        body = (await call(transport, peer.url)).stream
        await asyncio.sleep(0.05)
        received = b""
        while not received.endswith(b"c"):
            received += await asyncio.wait_for(body.read(), 1)
        assert received == b"a" * pausing + b"bc"
        await body.aclose()


@pytest.mark.parametrize(
    ("lost_by", "rest", "cause"),
    [
        (ConnectionResetError(104, "reset"), b"", Cause.RESET),
        (None, b"", Cause.TRUNCATED_BODY),
        (None, b"zz\r\n", Cause.UPSTREAM_PROTOCOL),
        (ConnectionResetError(104, "reset"), b"0\r\n\r\n", None),
    ],
    ids=["reset", "closed", "bad chunk size", "whole"],
)
async def test_a_connection_lost_while_reading_was_paused_still_gives_what_had_arrived(lost_by, rest, cause):
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection, protocol = await loop.create_connection(lambda: UpstreamProtocol(loop), sock=ours)
    protocol.begin(ConnectionFacts(), bodiless=False)
    protocol.data_received(CHUNKED + chunk(b"d" * READ_BUFFER) * 4 + rest)
    _, content = await protocol.read()
    assert content.total_bytes < READ_BUFFER * 4
    protocol.connection_lost(lost_by)
    assert content._read_nowait(-1) == b"d" * READ_BUFFER * 4
    assert getattr(content.exception(), "cause", None) is cause and content.is_eof() is (cause is None)
    connection.abort()
    theirs.close()
