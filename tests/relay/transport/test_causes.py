"""Each way in which an upstream can fail has exactly one cause, and what arrived before it reaches the reader first."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from relay.ending import Cause
from relay.transport import TransportFailure, UpstreamTransport, causes
from tests.relay.transport.scripted import CHUNKED, Line, chunk, polite, upstream

HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = b"x" * 2_000


def call(transport: UpstreamTransport, url: str, body: bytes = b"{}", **extensions: object) -> Awaitable[httpx.Response]:
    extensions.setdefault("timeout", {"connect": 5.0})
    return transport.handle_async_request(httpx.Request("POST", url, content=body, extensions=extensions))


async def failure_of(answer: Awaitable[httpx.Response]) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        await answer
    assert caught.value.connection is not None
    return caught.value


async def read_out(response: httpx.Response) -> tuple[bytes, TransportFailure | None]:
    received = b""
    try:
        while data := await response.stream.read():  # type: ignore[union-attr]
            received += data
    except TransportFailure as failure:
        return received, failure
    return received, None


# -- while connecting


async def test_a_closed_port_is_connect_refused(transport):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        failure = await failure_of(call(transport, f"http://127.0.0.1:{taken.getsockname()[1]}/v1?key=secret"))
    assert failure.cause is Cause.CONNECT_REFUSED
    assert "ECONNREFUSED" in failure.detail and "secret" not in failure.detail
    assert failure.connection.connect_start is not None and failure.connection.connected is None


async def test_a_name_without_address_is_dns(transport):
    assert (await failure_of(call(transport, "http://nowhere.invalid/"))).cause is Cause.DNS


async def test_a_syn_that_nobody_answers_is_connect_timeout(transport):
    with socket.socket() as deaf, contextlib.ExitStack() as stack:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        await asyncio.sleep(0.02)
        begun = asyncio.get_running_loop().time()
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        failure = await failure_of(call(transport, url, timeout={"connect": 0.2}))
        assert failure.cause is Cause.CONNECT_TIMEOUT
        assert 0.19 < asyncio.get_running_loop().time() - begun < 1.5


async def test_a_handshake_that_nobody_answers_is_connect_timeout(transport):
    async with upstream(Line.gone) as peer:
        url = peer.url.replace("http:", "https:")
        assert (await failure_of(call(transport, url, timeout={"connect": 0.2}))).cause is Cause.CONNECT_TIMEOUT
        await peer.all_closed()


async def test_an_address_without_route_is_unreachable(transport):
    assert (await failure_of(call(transport, "http://255.255.255.255/"))).cause is Cause.UNREACHABLE


async def test_a_certificate_that_nobody_vouches_for_is_tls(transport, tls):
    async with upstream(polite, tls) as peer:
        failure = await failure_of(call(transport, peer.url))
    assert failure.cause is Cause.TLS
    assert "self-signed" in failure.detail


@pytest.mark.parametrize("end", [Line.close, Line.reset], ids=["closed", "reset"])
async def test_a_handshake_that_is_broken_off_is_tls(transport, end):
    async def hang_up(line: Line) -> None:
        await line.reader.read(1)
        end(line)

    async with upstream(hang_up) as peer:
        assert (await failure_of(call(transport, peer.url.replace("http:", "https:")))).cause is Cause.TLS


async def test_plain_http_where_tls_was_expected_is_tls(transport):
    async def speak(line: Line) -> None:
        await line.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with upstream(speak) as peer:
        assert (await failure_of(call(transport, peer.url.replace("http:", "https:")))).cause is Cause.TLS


async def test_a_ca_bundle_that_cannot_be_read_is_tls(transport, tmp_path):
    failure = await failure_of_any(call(transport, "https://127.0.0.1/", ca_bundle=str(tmp_path / "none.pem")))
    assert failure.cause is Cause.TLS and "CA bundle" in failure.detail


async def failure_of_any(answer: Awaitable[httpx.Response]) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        await answer
    return caught.value


async def test_no_file_descriptor_left_is_relay_exhausted(transport):
    async with upstream(polite) as peer:
        with no_more_descriptors():
            failure = await failure_of(call(transport, peer.url))
        assert failure.cause is Cause.RELAY_EXHAUSTED
        assert (await call(transport, peer.url)).status_code == 200


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (TimeoutError(), Cause.CONNECT_TIMEOUT),
        (OSError(errno.ETIMEDOUT, ""), Cause.CONNECT_TIMEOUT),
        (OSError(errno.EHOSTUNREACH, ""), Cause.UNREACHABLE),
        (OSError(errno.ENETUNREACH, ""), Cause.UNREACHABLE),
        (OSError(errno.EACCES, ""), Cause.UNREACHABLE),
        (OSError(errno.ENFILE, ""), Cause.RELAY_EXHAUSTED),
        (OSError(errno.EADDRNOTAVAIL, ""), Cause.RELAY_EXHAUSTED),
        (MemoryError(), Cause.RELAY_EXHAUSTED),
        (RuntimeError("can't start new thread"), Cause.RELAY_EXHAUSTED),
        (ssl.SSLError(1, "bad record"), Cause.TLS),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), Cause.DNS),
    ],
    ids=repr,
)
def test_what_cannot_be_provoked_everywhere_is_in_the_table(error, cause):
    assert causes.of_connecting(error, "host:443", secure=False, proxied=False).cause is cause


def test_what_is_not_the_networks_is_left_alone():
    assert causes.of_connecting(KeyError("ours"), "host:443", secure=True, proxied=True) is None
    assert causes.of_connecting(aiohttp.ClientError(), "host:443", secure=True, proxied=True) is None


# -- through a proxy


async def refuse_tunnels(line: Line) -> None:
    await line.reader.readuntil(b"\r\n\r\n")
    await line.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")


async def drop_tunnels(line: Line) -> None:
    await line.reader.readuntil(b"\r\n\r\n")
    line.close()


async def babble(line: Line) -> None:
    await line.reader.readuntil(b"\r\n\r\n")
    await line.write(b"SSH-2.0-something\r\n\r\n")


@pytest.mark.parametrize("script", [refuse_tunnels, drop_tunnels, babble])
async def test_a_proxy_that_makes_no_tunnel_is_proxy(transport, script):
    async with upstream(script) as proxy:
        assert (await failure_of(call(transport, "https://127.0.0.1:9/", proxy=proxy.url))).cause is Cause.PROXY
        await proxy.all_closed()


async def test_a_proxy_that_cannot_be_reached_is_proxy(transport):
    for proxy in ("http://127.0.0.1:1", "http://nowhere.invalid:3128"):
        assert (await failure_of(call(transport, "http://127.0.0.1:9/", proxy=proxy))).cause is Cause.PROXY


# -- while the request is sent, and before the answer


async def test_a_reset_while_a_long_request_is_being_sent_is_request_write_failed(transport):
    async def stop_reading(line: Line) -> None:
        line.writer.transport.pause_reading()
        await asyncio.sleep(0.05)
        line.reset()

    async with upstream(stop_reading) as peer:
        failure = await failure_of(call(transport, peer.url, b"x" * 20_000_000))
    assert failure.cause is Cause.REQUEST_WRITE_FAILED
    assert failure.connection.connected is not None and failure.connection.request_sent is None


async def close_after_request(line: Line) -> None:
    await line.request()
    line.close()


async def reset_after_request(line: Line) -> None:
    await line.request()
    line.reset()


async def close_in_headers(line: Line) -> None:
    await line.request()
    await line.write(HEAD + b"Content-Ty")
    line.close()


async def close_after_a_100(line: Line) -> None:
    await line.request()
    await line.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    line.close()


def answering(data: bytes) -> Callable[[Line], Awaitable[None]]:
    async def script(line: Line) -> None:
        await line.request()
        await line.write(data)

    return script


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        pytest.param(close_after_request, Cause.EOF, id="closed"),
        pytest.param(close_in_headers, Cause.EOF, id="closed in the headers"),
        pytest.param(close_after_a_100, Cause.EOF, id="closed after a 100"),
        pytest.param(reset_after_request, Cause.RESET, id="reset"),
        pytest.param(answering(b"SSH-2.0-OpenSSH\r\n"), Cause.UPSTREAM_PROTOCOL, id="not HTTP"),
        pytest.param(answering(b"HTTP/1.1 abc OK\r\n\r\n"), Cause.UPSTREAM_PROTOCOL, id="bad status line"),
        pytest.param(answering(HEAD + b"no colon\r\n\r\n"), Cause.UPSTREAM_PROTOCOL, id="bad header"),
        pytest.param(answering(HEAD + b"A: \0\r\n\r\n"), Cause.UPSTREAM_PROTOCOL, id="NUL in a header"),
        pytest.param(answering(HEAD + b"Content-Length: ten\r\n\r\n"), Cause.UPSTREAM_PROTOCOL, id="bad length"),
        pytest.param(answering(HEAD + b"A: " + LONG * 50), Cause.UPSTREAM_PROTOCOL, id="a header without end"),
        pytest.param(answering(HEAD + b"A: b\r\n" * 9_000), Cause.UPSTREAM_PROTOCOL, id="headers without end"),
        pytest.param(answering(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), Cause.UPSTREAM_PROTOCOL, id="bare 101"),
        pytest.param(
            answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
            Cause.UPSTREAM_PROTOCOL,
            id="101",
        ),
    ],
)
async def test_no_answer_has_one_cause(transport, script, cause):
    async with upstream(script) as peer:
        failure = await failure_of(call(transport, peer.url))
        assert failure.cause is cause
        assert failure.connection.request_sent is not None
        await peer.all_closed()
    assert not transport._connector._acquired


async def test_a_detail_does_not_repeat_what_the_upstream_sent(transport):
    async with upstream(answering(HEAD + b"se cret: 1\r\n\r\n")) as peer:
        assert "cret" not in (await failure_of(call(transport, peer.url))).detail


# -- in the body


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


@pytest.mark.parametrize("late", [False, True], ids=["reader waits", "reader late"])
@pytest.mark.parametrize(("script", "received", "cause"), BODIES)
async def test_what_arrived_is_read_before_the_one_cause_of_the_end(transport, script, received, cause, late):
    async with upstream(script) as peer:
        response = await call(transport, peer.url)
        if late:
            await asyncio.sleep(0.1)
        data, failure = await read_out(response)
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
