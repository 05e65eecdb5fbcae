"""What the transport leans on inside aiohttp, each fact by itself, so that an upgrade that breaks one is seen here.

The first part shows the holes that are mended: when one of these fails, aiohttp has closed it, and our mend can go.
"""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http import HttpResponseParser
from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError, TransferEncodingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from yarl import URL

from relay.transport.connector import Fresh, Target, UpstreamConnector
from relay.transport.protocol import UpstreamProtocol
from tests.relay.transport.scripted import CHUNKED, OK, Line, chunk, polite, upstream

HEAD = b"HTTP/1.1 200 OK\r\n"


def test_these_facts_are_of_the_pinned_version():
    assert aiohttp.__version__ == "3.14.5"


# -- the holes


async def plain_aiohttp(url: str, late: float = 0.0) -> tuple[bytes, Exception | None]:
    received = b""
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        await asyncio.sleep(late)
        try:
            while data := await asyncio.wait_for(response.content.readany(), 0.2):
                received += data
        except Exception as error:
            return received, error
    return received, None


async def test_hole_text_that_had_arrived_is_dropped_before_a_late_reader(transport):
    async def script(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED + chunk(b"abc"))
        line.close()

    async with upstream(script) as peer:
        received, error = await plain_aiohttp(peer.url, late=0.05)
    assert received == b"" and isinstance(error, aiohttp.ClientPayloadError)


async def test_hole_a_bad_chunk_size_never_reaches_the_reader():
    async def script(line: Line) -> None:
        await line.request()
        await line.write(CHUNKED + chunk(b"abc"))
        await asyncio.sleep(0.02)
        await line.write(b"zz\r\n")

    async with upstream(script) as peer:
        received, error = await plain_aiohttp(peer.url)
    assert received == b"abc" and isinstance(error, TimeoutError)


async def test_hole_a_reset_reads_as_the_end_of_a_body_that_its_close_delimits():
    async def script(line: Line) -> None:
        await line.request()
        await line.write(HEAD + b"Connection: close\r\n\r\nabc")
        await asyncio.sleep(0.02)
        line.reset()

    async with upstream(script) as peer:
        assert await plain_aiohttp(peer.url) == (b"abc", None)


async def test_hole_a_head_is_dropped_with_what_is_wrong_behind_it():
    parser = parser_for(ResponseHandler(asyncio.get_running_loop()))
    with pytest.raises(HttpProcessingError):
        parser.feed_data(CHUNKED + chunk(b"abc") + b"zz\r\n")


# -- the parser


def parser_for(protocol: ResponseHandler, limit: int = 64) -> HttpResponseParser:
    return HttpResponseParser(protocol, protocol._loop, limit, read_until_eof=True, auto_decompress=False)


class Watched(ResponseHandler):
    """Counts what the stream reader asks of its protocol."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.resumed = self.paused = 0

    def pause_reading(self) -> None:
        self.paused += 1
        self._parser.pause_reading()  # type: ignore[union-attr]

    def resume_reading(self, resume_parser: bool = True) -> None:
        self.resumed += 1


async def test_the_parser_makes_the_body_and_hands_over_each_part_as_it_comes():
    parser = parser_for(Watched())
    ((message, body),), upgraded, _ = parser.feed_data(CHUNKED)
    assert (message.code, message.should_close, upgraded, type(body)) == (200, False, False, StreamReader)
    assert message.raw_headers == ((b"Transfer-Encoding", b"chunked"),)
    parser.feed_data(chunk(b"abc"))
    assert list(body._buffer) == [b"abc"] and body.total_bytes == 3 and not body._eof
    parser.feed_data(b"0\r\n\r\n")
    assert body._eof and body.is_eof()


@pytest.mark.parametrize(
    ("head", "error"),
    [(CHUNKED, TransferEncodingError), (HEAD + b"Content-Length: 9\r\n\r\nabc", ContentLengthError), (HEAD + b"\r\n", None)],
)
async def test_the_parser_says_at_the_eof_what_the_framing_still_expected(head, error):
    parser = parser_for(Watched())
    ((_, body),), _, _ = parser.feed_data(head)
    if error is None:
        parser.feed_eof()
        assert body.is_eof()
    else:
        with pytest.raises(error):
            parser.feed_eof()
        assert not body.is_eof() and body._exception is None


async def test_the_parser_holds_back_what_follows_a_pause_until_it_is_fed_nothing():
    protocol = Watched()
    protocol._parser = parser = parser_for(protocol)
    ((_, body),), _, _ = parser.feed_data(CHUNKED)
    parser.feed_data(chunk(b"a" * 200) + chunk(b"b" * 200) + b"0\r\n\r\n")
    assert protocol.paused and body.total_bytes == 200
    while not body._eof:  # as `UpstreamProtocol._flush` does when the connection is lost meanwhile
        parser.feed_data(b"")
    assert body.total_bytes == 400


async def test_a_pause_for_many_small_chunks_reaches_the_parser_late():
    # Why an exchange that paused once resumes at every read: reading may have gone on before the parser stops.
    protocol = Watched()
    protocol._parser = parser = parser_for(protocol)
    ((_, body),), _, _ = parser.feed_data(CHUNKED)
    for _ in range(5):
        parser.feed_data(chunk(b"a"))
    assert protocol.paused
    body._read_nowait(-1)
    assert protocol.resumed
    parser.feed_data(chunk(b"b") + chunk(b"c"))
    assert body._size == 1
    parser.feed_data(b"")
    assert body._size == 2


# -- the stream reader


async def test_each_read_asks_the_protocol_to_resume():
    protocol = Watched()
    body = StreamReader(protocol, 64, loop=asyncio.get_running_loop())
    for turn in range(3):
        body.feed_data(b"x")
        assert body._read_nowait(-1) == b"x" and protocol.resumed == turn + 1


async def test_the_stream_reader_wakes_a_waiter_that_was_put_there_from_outside():
    loop = asyncio.get_running_loop()
    body = StreamReader(Watched(), 64, loop=loop)
    body._waiter = waiter = loop.create_future()
    body.feed_data(b"abc")
    assert waiter.done() and body._waiter is None
    body._waiter = waiter = loop.create_future()
    body.set_exception(KeyError("told"))
    with pytest.raises(KeyError):
        await waiter
    assert body._read_nowait(-1) == b"abc"  # the buffer outlives the exception
    ended = StreamReader(Watched(), 64, loop=loop)
    ended._waiter = waiter = loop.create_future()
    ended.on_eof(seen := asyncio.Event().set)
    ended.feed_eof()
    assert waiter.done() and seen.__self__.is_set()


def test_the_empty_body_is_at_its_end_and_counts_nothing():
    assert EMPTY_PAYLOAD.at_eof() and EMPTY_PAYLOAD.is_eof() and EMPTY_PAYLOAD.total_bytes == 0


# -- the protocol


async def test_the_protocol_has_what_ours_builds_upon():
    protocol = ResponseHandler(asyncio.get_running_loop())
    assert (protocol._parser, protocol._payload, protocol._tail, protocol._paused) == (None, None, b"", False)
    assert not protocol.should_close
    protocol.data_received(b"early")  # before the first request it is kept for the parser to come
    assert protocol._tail == b"early" and protocol.should_close
    failed = ResponseHandler(asyncio.get_running_loop())
    failed.set_exception(KeyError("told"))
    assert failed.should_close and failed.is_eof()
    with pytest.raises(KeyError):
        await failed.read()
    failed.connection_lost(None)  # with the exception there, and no parser, it adds nothing
    assert isinstance(failed.exception(), KeyError)


async def test_a_message_that_came_is_read_before_the_exception_that_followed():
    protocol = ResponseHandler(asyncio.get_running_loop())
    protocol.feed_data(("message", None), 0)  # type: ignore[arg-type]
    protocol.set_exception(KeyError("told"))
    assert await protocol.read() == ("message", None)


# -- the connector


async def connected(target: Target, connector: UpstreamConnector) -> aiohttp.connector.Connection:
    return await connector.connect(target, [], aiohttp.ClientTimeout(connect=5))  # type: ignore[arg-type]


async def test_the_connector_asks_no_more_of_a_request_than_a_target_has_and_makes_our_protocol():
    async with upstream(polite) as peer:
        connector = UpstreamConnector(asyncio.get_running_loop())
        connection = await connected(Target(URL(peer.url), None, True), connector)
        assert type(connection.protocol) is UpstreamProtocol
        assert connector._acquired == {connection.protocol}
        connection.release()
        assert not connector._acquired and sum(map(len, connector._conns.values())) == 1
        await connector.close()


async def test_a_fresh_key_is_the_same_pool_but_takes_nothing_from_it():
    target = Target(URL("https://api.example/"), None, True)
    key = target.fresh().connection_key
    assert type(key) is Fresh and key == target.connection_key and hash(key) == hash(target.connection_key)
    assert type(target.connection_key) is ConnectionKey


async def test_a_target_has_the_key_that_aiohttp_would_give_it():
    request = aiohttp.ClientRequest("GET", URL("https://api.example:444/x"), loop=asyncio.get_running_loop())
    assert request.connection_key == Target(URL("https://api.example:444/"), None, True).connection_key


async def test_without_a_limit_a_pooled_connection_is_taken_without_yielding_to_the_loop():
    async with upstream(polite) as peer:
        connector = UpstreamConnector(asyncio.get_running_loop())
        target = Target(URL(peer.url), None, True)
        (await connected(target, connector)).release()
        taking = connected(target, connector)
        with pytest.raises(StopIteration) as done:
            taking.send(None)
        done.value.value.close()
        await connector.close()


async def test_a_connection_lost_in_the_pool_is_not_handed_out():
    async def once(line: Line) -> None:
        await line.write(OK)
        line.close()

    async with upstream(once) as peer:
        connector = UpstreamConnector(asyncio.get_running_loop())
        target = Target(URL(peer.url), None, True)
        first = await connected(target, connector)
        protocol = first.protocol
        protocol.rest()
        first.release()
        await asyncio.sleep(0.05)
        second = await connected(target, connector)
        assert second.protocol is not protocol
        second.close()
        await connector.close()
