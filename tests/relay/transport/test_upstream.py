"""What is sent is what was given; what is answered comes through untouched; the facts of the connection are true."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from relay.ending import Cause
from relay.transport import TransportFailure
from relay.transport.protocol import MAX_LINE, WRITE_SLICE
from tests.relay.transport.scripted import OK, Line, Upstream, polite, upstream


def get(url: str, method: str = "GET", **extensions: object) -> httpx.Request:
    return httpx.Request(method, url, extensions=extensions)


async def whole(response: httpx.Response) -> bytes:
    return b"".join([part async for part in response.stream])  # type: ignore[union-attr]


def answering(data: bytes):
    async def script(line: Line) -> None:
        while True:
            await line.request()
            await line.write(data)

    return script


# -- what is sent


async def test_nothing_is_added_to_the_request(transport):
    headers = [(b"Host", b"api.example"), (b"X-Twice", b"1"), (b"x-twice", b"2"), (b"Accept", b"\xe9")]
    async with upstream(polite) as peer:
        request = httpx.Request("POST", peer.url + "v1/x%2Fy?a=b&a=c", headers=headers, content=b'{"a": 1}')
        await whole(await transport.handle_async_request(request))
        assert peer.requests == [
            b"POST /v1/x%2Fy?a=b&a=c HTTP/1.1\r\nHost: api.example\r\nX-Twice: 1\r\nx-twice: 2\r\nAccept: \xe9\r\n"
            b'Content-Length: 8\r\n\r\n{"a": 1}'
        ]


async def test_a_body_that_comes_in_parts_is_sent_with_its_length(transport):
    async def parts():
        yield b"one"
        yield b"two"

    async with upstream(polite) as peer:
        await whole(await transport.handle_async_request(httpx.Request("POST", peer.url, content=parts())))
        assert b"Content-Length: 6" in peer.requests[0] and peer.requests[0].endswith(b"onetwo")
        assert b"chunked" not in peer.requests[0].lower()


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_a_long_body_arrives_whole_and_request_sent_is_when_it_left(transport, tls, certificate: Path, secure):
    body = bytes(range(256)) * (WRITE_SLICE // 256 * 80) + b"end"

    async def slow(line: Line) -> None:
        line.writer.transport.pause_reading()
        await asyncio.sleep(0.1)
        line.writer.transport.resume_reading()
        await polite(line)

    async with upstream(slow, tls if secure else None) as peer:
        extensions = {"ca_bundle": str(certificate) if secure else None}
        response = await transport.handle_async_request(httpx.Request("POST", peer.url, content=body, extensions=extensions))
        assert await whole(response) == b"ok"
        assert peer.requests[0].endswith(body[-1000:]) and len(peer.requests[0]) > len(body)
        facts = response.extensions["connection"]
        assert facts.request_sent - facts.connected > 0.02
        assert (await whole(await transport.handle_async_request(get(peer.url, **extensions)))) == b"ok"
        assert peer.opened == 1


@pytest.mark.parametrize("value", [b"a\r\nEvil: 1", b"a\nb", b"a\0b"])
async def test_a_header_that_would_break_the_request_is_never_sent(transport, value):
    async with upstream(polite) as peer:
        with pytest.raises(TransportFailure) as caught:
            await transport.handle_async_request(httpx.Request("GET", peer.url, headers=[(b"x", value)]))
        assert caught.value.cause is Cause.BUG and peer.opened == 0


# -- what is answered


async def test_headers_come_as_the_bytes_that_they_were(transport):
    head = b"HTTP/1.1 418 I am\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nX-Caf: \xe9\r\nLocation: /x\r\n"
    async with upstream(answering(head + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nraw")) as peer:
        response = await transport.handle_async_request(get(peer.url))
        assert response.status_code == 418 and response.extensions["reason_phrase"] == b"I am"
        assert response.headers.raw[:4] == [
            (b"Set-Cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"X-Caf", b"\xe9"),
            (b"Location", b"/x"),
        ]
        assert await whole(response) == b"raw"  # not inflated, though it says gzip
        await whole(await transport.handle_async_request(get(peer.url)))
        assert b"ookie" not in peer.requests[1]


@pytest.mark.parametrize(
    ("method", "answer", "body"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        ("GET", b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        ("GET", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
        ("GET", b"HTTP/1.1 200 OK\r\nA: " + b"a" * (MAX_LINE - 100) + b"\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nok\r\n0\r\nTrailer: 1\r\n\r\n", b"ok"),
    ],
    ids=["HEAD", "204", "304", "empty", "redirect", "1xx first", "a long header", "chunk extension and trailer"],
)
async def test_an_answer_read_whole_gives_its_connection_back(transport, method, answer, body):
    async with upstream(answering(answer)) as peer:
        for turn in range(2):
            response = await transport.handle_async_request(get(peer.url, method))
            assert await whole(response) == body
            assert response.stream.at_eof and response.stream.read_nowait() == b""
            assert response.extensions["connection"].reused is (turn == 1)
        assert peer.opened == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        OK + b"what is this",
    ],
    ids=["connection: close", "HTTP/1.0", "a second answer", "rubbish"],
)
async def test_a_connection_that_must_not_be_used_again_is_closed(transport, answer):
    async with upstream(answering(answer)) as peer:
        for _ in range(2):
            assert await whole(await transport.handle_async_request(get(peer.url))) == b"ok"
            await peer.all_closed()
        assert peer.opened == 2


async def test_an_answer_to_nothing_does_not_become_the_next_answer(transport):
    async def script(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await asyncio.sleep(0.02)
        await line.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 4\r\n\r\nevil")

    async with upstream(script) as peer:
        for _ in range(2):
            response = await transport.handle_async_request(get(peer.url))
            assert await whole(response) == b"ok"
            await asyncio.sleep(0.05)
            assert peer.open == 0
        assert not response.extensions["connection"].reused


async def test_an_answer_before_the_request_was_sent_is_an_answer_and_ends_the_connection(transport):
    async def refuse(line: Line) -> None:
        await line.reader.readuntil(b"\r\n\r\n")
        line.writer.transport.pause_reading()
        await line.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await asyncio.sleep(0.05)
        line.writer.transport.resume_reading()

    async with upstream(refuse) as peer:
        response = await transport.handle_async_request(httpx.Request("POST", peer.url, content=b"x" * 20_000_000))
        assert response.status_code == 413 and await whole(response) == b"no"
        await peer.all_closed()
    assert not transport._connector._conns and not transport._connector._acquired


async def test_reading_gives_what_is_there_merged(transport):
    async def script(line: Line) -> None:
        await line.request()
        await line.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n")
        await asyncio.sleep(0.05)
        await line.write(b"1\r\nc\r\n0\r\n\r\n")

    async with upstream(script) as peer:
        body = (await transport.handle_async_request(get(peer.url))).stream
        await asyncio.sleep(0.02)
        assert await body.read() == b"ab"
        assert body.read_nowait() == b"" and not body.at_eof
        assert await body.read() == b"c"
        assert body.at_eof and await body.read() == b""


# -- the connection


async def test_a_new_connection_has_its_times_and_a_reused_one_has_none(transport):
    async with upstream(polite) as peer:
        first = await transport.handle_async_request(get(peer.url))
        await whole(first)
        second = await transport.handle_async_request(get(peer.url))
        await whole(second)
    facts = first.extensions["connection"]
    assert facts.connect_start <= facts.connected <= facts.request_sent <= asyncio.get_running_loop().time()
    again = second.extensions["connection"]
    assert (again.reused, again.connect_start, again.connected) == (True, None, None)
    assert again.request_sent >= facts.request_sent


async def test_fresh_takes_none_from_the_pool_and_leaves_one_there(transport):
    async with upstream(polite) as peer:
        for fresh, reused, opened in [(False, False, 1), (True, False, 2), (False, True, 2), (True, False, 3)]:
            response = await transport.handle_async_request(get(peer.url, fresh=fresh))
            await whole(response)
            assert (response.extensions["connection"].reused, peer.opened) == (reused, opened)
        assert sum(map(len, transport._connector._conns.values())) == 3
        assert len(transport._connector._conns) == 1


@pytest.mark.parametrize("end", [Line.close, Line.reset], ids=["closed", "reset"])
async def test_a_reused_connection_that_dies_says_that_it_was_reused(transport, end):
    async def once(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await line.request()
        end(line)

    async with upstream(once) as peer:
        await whole(await transport.handle_async_request(get(peer.url)))
        with pytest.raises(TransportFailure) as caught:
            await transport.handle_async_request(get(peer.url, method="POST"))
        assert caught.value.cause is (Cause.EOF if end is Line.close else Cause.RESET)
        assert caught.value.connection.reused
        assert len(peer.requests) == 2  # and it was not sent again, not even for the methods that HTTP allows


async def test_a_connection_that_died_in_the_pool_is_not_used(transport):
    async def once(line: Line) -> None:
        await line.request()
        await line.write(OK)
        await asyncio.sleep(0.01)
        line.close()

    async with upstream(once) as peer:
        for _ in range(3):
            response = await transport.handle_async_request(get(peer.url))
            await whole(response)
            await asyncio.sleep(0.05)
            assert not response.extensions["connection"].reused


async def test_tls_with_a_ca_bundle_is_trusted_and_reused(transport, tls, certificate: Path):
    async with upstream(polite, tls) as peer:
        for _ in range(2):
            response = await transport.handle_async_request(get(peer.url, ca_bundle=str(certificate)))
            assert await whole(response) == b"ok"
        assert peer.opened == 1 and len(transport._trusts) == 1
        with pytest.raises(TransportFailure):  # the same place, trusted otherwise, is another pool
            await transport.handle_async_request(get(peer.url))


# -- proxies


async def relaying(line: Line) -> None:
    """A CONNECT proxy."""
    head = await line.reader.readuntil(b"\r\n\r\n")
    line.upstream.requests.append(head)
    host, _, port = head.split(b" ")[1].partition(b":")
    reader, writer = await asyncio.open_connection(host.decode(), int(port))
    await line.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
        finally:
            sink.close()

    await asyncio.gather(pump(line.reader, writer), pump(reader, line.writer), return_exceptions=True)


async def test_https_goes_through_a_tunnel_that_is_kept(transport, tls, certificate: Path):
    async with upstream(polite, tls) as peer, upstream(relaying) as proxy:
        address = proxy.url.replace("//", "//me:s%20cret@")
        for _ in range(2):
            response = await transport.handle_async_request(get(peer.url, proxy=address, ca_bundle=str(certificate)))
            assert await whole(response) == b"ok"
        assert proxy.opened == peer.opened == 1
        (connect,) = proxy.requests
        assert connect.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % peer.port)
        assert b"Proxy-Authorization: Basic bWU6cyBjcmV0" in connect
        assert b"User-Agent" not in connect and b"Accept" not in connect
        assert b"Proxy-Authorization" not in peer.requests[0] and peer.requests[0].startswith(b"GET / ")
    await assert_all_gone(transport, peer, proxy)


async def test_plain_http_is_sent_to_the_proxy_with_the_whole_address(transport):
    async with upstream(polite) as proxy:
        for _ in range(2):
            request = get("http://upstream.example:81/v1?q=1", proxy=proxy.url.replace("//", "//me:secret@"))
            assert await whole(await transport.handle_async_request(request)) == b"ok"
        assert proxy.opened == 1
        for sent in proxy.requests:
            assert sent.startswith(b"GET http://upstream.example:81/v1?q=1 HTTP/1.1\r\nHost: upstream.example:81\r\n")
            assert sent.count(b"Proxy-Authorization: Basic bWU6c2VjcmV0") == 1


async def assert_all_gone(transport, *peers: Upstream) -> None:
    await transport.aclose()
    for peer in peers:
        await peer.all_closed()
