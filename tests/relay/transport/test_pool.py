"""Whatever ends an exchange, and wherever, its socket is closed or back in the pool, and nothing else is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import warnings

import httpx
import pytest

from relay.ending import Cause
from relay.transport import TransportFailure, UpstreamTransport
from tests.relay.transport.scripted import CHUNKED, OK, Line, chunk, polite, upstream


def post(url: str, **extensions: object) -> httpx.Request:
    return httpx.Request("POST", url, content=b"{}", extensions=extensions)


async def silent(line: Line) -> None:
    await line.request()


async def one_chunk(line: Line) -> None:
    await line.request()
    await line.write(CHUNKED + chunk(b"abc"))


def taken(transport: UpstreamTransport) -> int:
    return len(transport._connector._acquired)


def pooled(transport: UpstreamTransport) -> int:
    return sum(proto.is_connected() for idle in transport._connector._conns.values() for proto, _ in idle)


async def stream(transport: UpstreamTransport, url: str, begun: asyncio.Event) -> None:
    response = await transport.handle_async_request(post(url))
    async with contextlib.aclosing(response):
        async for _ in response.stream:
            begun.set()


async def test_cancelled_mid_body_the_socket_closes_at_once(transport):
    async with upstream(one_chunk) as peer:
        begun = asyncio.Event()
        task = asyncio.create_task(stream(transport, peer.url, begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert taken(transport) == pooled(transport) == 0
        await asyncio.wait_for(peer.all_closed(), 0.5)


async def test_cancelled_before_the_headers_the_socket_closes_at_once(transport):
    async with upstream(silent) as peer:
        task = asyncio.create_task(transport.handle_async_request(post(peer.url)))
        while not peer.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert taken(transport) == pooled(transport) == 0
        await asyncio.wait_for(peer.all_closed(), 0.5)


@pytest.mark.parametrize("answered", [False, True], ids=["unanswered", "answered"])
async def test_left_with_a_long_request_unsent_the_socket_closes_at_once(transport, answered):
    async def deaf(line: Line) -> None:
        line.writer.transport.pause_reading()
        if answered:
            await line.write(CHUNKED)
        await asyncio.sleep(3600)

    async with upstream(deaf) as peer:
        request = httpx.Request("POST", peer.url, content=b"x" * 20_000_000)
        task = asyncio.create_task(transport.handle_async_request(request))
        await asyncio.sleep(0.05)
        descriptors = len(os.listdir("/proc/self/fd"))
        if answered:
            await (await task).aclose()
        else:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.sleep(0.02)
        assert len(os.listdir("/proc/self/fd")) == descriptors - 1  # though the peer never takes what is still unsent
        assert taken(transport) == 0


async def slowly(line: Line) -> None:
    while True:
        await line.request()
        await asyncio.sleep(0.001)
        await line.write(CHUNKED + chunk(b"abc"))
        await asyncio.sleep(0.001)
        await line.write(chunk(b"abc") + b"0\r\n\r\n")


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_thousand_cancellations_anywhere_leave_nothing(transport, tls, certificate, secure):
    async with upstream(slowly, tls if secure else None) as peer:
        extensions = {"ca_bundle": str(certificate)} if secure else {}

        async def exchange() -> None:
            response = await transport.handle_async_request(post(peer.url, **extensions))
            async with contextlib.aclosing(response):
                async for _ in response.stream:
                    pass

        count = 200 if secure else 1000
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for batch in range(count // 20):
                tasks = [asyncio.create_task(exchange()) for _ in range(20)]
                for number, task in enumerate(tasks):
                    asyncio.get_running_loop().call_later(number * 0.0004 + batch % 10 * 0.0001, task.cancel)
                await asyncio.wait(tasks)
            gc.collect()
        assert taken(transport) == 0
        connector = transport._connector
        assert not connector._waiters and not connector._acquired_per_host and not connector._resolve_host_tasks
        response = await transport.handle_async_request(post(peer.url, **extensions))
        assert b"".join([part async for part in response.stream]) == b"abcabc"
        await transport.aclose()
        await asyncio.wait_for(peer.all_closed(), 1)


async def test_a_cancelled_name_lookup_leaves_nothing(transport):
    task = asyncio.create_task(transport.handle_async_request(post("http://nowhere.invalid/")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert taken(transport) == 0


async def test_a_cancelled_read_loses_nothing(transport):
    async def script(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED)
        for number in range(30):
            await asyncio.sleep(0.002)
            await line.write(chunk(b"%02d" % number))
        await line.write(b"0\r\n\r\n")

    async with upstream(script) as peer:
        body = (await transport.handle_async_request(post(peer.url))).stream
        received, cancelled = b"", 0
        while not body.at_eof:
            try:
                received += await asyncio.wait_for(body.read(), 0.001)
            except TimeoutError:
                cancelled += 1
        assert received == b"".join(b"%02d" % number for number in range(30))
        assert cancelled


async def test_closing_an_unread_body_closes_its_connection(transport):
    async with upstream(one_chunk) as peer:
        response = await transport.handle_async_request(post(peer.url))
        await response.aclose()
        await asyncio.wait_for(peer.all_closed(), 0.5)
        with pytest.raises(httpx.StreamClosed):
            await response.stream.read()


async def test_closing_wakes_whoever_reads(transport):
    async with upstream(silent_after_head) as peer:
        body = (await transport.handle_async_request(post(peer.url))).stream
        reading = asyncio.create_task(body.read())
        await asyncio.sleep(0.01)
        await body.aclose()
        with pytest.raises(httpx.StreamClosed):
            await asyncio.wait_for(reading, 0.5)


async def silent_after_head(line: Line) -> None:
    await line.request()
    await line.write(CHUNKED)


async def test_an_interrupt_comes_after_what_is_there_and_wakes_whoever_waits(transport):
    async with upstream(one_chunk) as peer:
        body = (await transport.handle_async_request(post(peer.url))).stream
        await asyncio.sleep(0.02)
        body.interrupt(TransportFailure(Cause.DRAIN_DEADLINE, "stop"))
        assert await body.read() == b"abc"
        with pytest.raises(TransportFailure, match="stop"):
            await body.read()
        body = (await transport.handle_async_request(post(peer.url))).stream
        assert await body.read() == b"abc"
        asyncio.get_running_loop().call_later(0.01, body.interrupt, TransportFailure(Cause.DRAIN_DEADLINE, "now"))
        with pytest.raises(TransportFailure, match="now"):
            await asyncio.wait_for(body.read(), 0.5)
        await asyncio.wait_for(peer.all_closed(), 0.5)
        assert taken(transport) == 0


# -- discard


async def test_discarding_what_has_ended_gives_the_connection_back_without_a_task(transport):
    async with upstream(polite) as peer:
        response = await transport.handle_async_request(post(peer.url))
        await asyncio.sleep(0.02)
        tasks = asyncio.all_tasks()
        response.stream.discard(5)
        assert pooled(transport) == 1 and taken(transport) == 0
        assert asyncio.all_tasks() == tasks and response.stream._timer is None


def ending_after(seconds: float, rest: bytes, end=None):
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.write(CHUNKED + chunk(b"abc"))
            await asyncio.sleep(seconds)
            await line.write(rest)
            if end is not None:
                end(line)

    return script


async def test_discarding_waits_for_the_end_in_the_background(transport):
    async with upstream(ending_after(0.05, chunk(b"more") + b"0\r\n\r\n")) as peer:
        response = await transport.handle_async_request(post(peer.url))
        assert await response.stream.read() == b"abc"
        response.stream.discard(5)
        await response.aclose()  # as every `finally` does: it changes nothing
        assert taken(transport) == 1
        await asyncio.sleep(0.1)
        assert pooled(transport) == 1 and taken(transport) == 0
        assert response.stream._timer.cancelled()
        again = await transport.handle_async_request(post(peer.url))
        assert again.extensions["connection"].reused
        assert await again.stream.read() == b"abc"


@pytest.mark.parametrize(
    ("script", "grace"),
    [
        pytest.param(one_chunk, 0.05, id="no end within the grace"),
        pytest.param(one_chunk, 0, id="no grace"),
        pytest.param(ending_after(0.01, b"zz\r\n"), 0.1, id="an end that is wrong"),
        pytest.param(ending_after(0.01, b"", Line.reset), 0.1, id="a reset"),
        pytest.param(ending_after(0.01, b"0\r\n\r\n" + OK), 0.1, id="more behind the end"),
        pytest.param(ending_after(0.01, chunk(b"x" * 4_000_000) + b"0\r\n\r\n"), 0.1, id="more than is worth reading"),
    ],
)
async def test_discarding_closes_otherwise(transport, script, grace):
    async with upstream(script) as peer:
        response = await transport.handle_async_request(post(peer.url))
        assert await response.stream.read() == b"abc"
        response.stream.discard(grace)
        await asyncio.wait_for(peer.all_closed(), 1)
        await asyncio.sleep(grace)
        assert pooled(transport) == taken(transport) == 0


async def test_closing_the_transport_closes_every_connection(transport):
    async with upstream(one_chunk) as peer, upstream(polite) as idle:
        await (await transport.handle_async_request(post(idle.url))).stream.read()
        used = await transport.handle_async_request(post(peer.url))
        await transport.aclose()
        await asyncio.wait_for(peer.all_closed(), 0.5)
        await asyncio.wait_for(idle.all_closed(), 0.5)
        await used.aclose()


async def test_a_body_left_to_the_collector_closes_its_connection(transport, recwarn):
    async with upstream(one_chunk) as peer:
        reports: list[dict] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))
        await transport.handle_async_request(post(peer.url))
        gc.collect()
        await asyncio.wait_for(peer.all_closed(), 0.5)
        assert reports and taken(transport) == 0  # and it is reported, for it is a bug of ours
