"""Each way in which an upstream can fail before it answers has exactly one cause."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import httpx
import pytest

from relay.ending import Cause
from relay.transport import TransportFailure, causes
from tests.relay.transport.scripted import Line, call, polite, upstream

HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = b"x" * 2_000


async def failure_of(answer: Awaitable[httpx.Response]) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        await answer
    assert caught.value.connection is not None
    return caught.value


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
        failure = await failure_of(call(transport, url, timeout={"connect": 0.05}))
        assert failure.cause is Cause.CONNECT_TIMEOUT
        assert 0.04 < asyncio.get_running_loop().time() - begun < 0.5  # and not rounded up to a second


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
