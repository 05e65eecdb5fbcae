"""One connection to an upstream: aiohttp's `ResponseHandler`, made to tell the truth about how it ended.

aiohttp 3.14.5 drops text that had arrived when a body turns out truncated, lets a bad chunk size hang the reader and
takes the reset of a close-delimited body for its end. Here every way in which an exchange can break ends in `_fail`,
which gives both readers (of the head and of the body) the same `TransportFailure`; and the body's buffer stays
readable after it (`relay.transport.body` reads the buffer before it looks at the exception).

The request is written without a task: what the socket does not take at once goes out from `resume_writing`.
Each use of an aiohttp internal here is pinned in tests/relay/transport/test_internals.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from aiohttp.client_proto import ResponseHandler

from relay.ending import Cause
from relay.transport import causes
from relay.transport.facts import ConnectionFacts, TransportFailure

if TYPE_CHECKING:
    from aiohttp.streams import StreamReader

READ_BUFFER = 2**17  # reading pauses at twice this, and resumes below it
WRITE_SLICE = 2**18  # a longer body goes to the socket (and through TLS) in slices, so that it never stalls the loop
MAX_LINE = 16 * 1024  # of a status line, and of one header
MAX_HEADERS = 200

NOTHING = memoryview(b"")


class UpstreamProtocol(ResponseHandler):
    """A connection, and the exchange that it is serving: `begin`, `send`, `read` the head, and then the body."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.exchanges = 0
        self.facts: ConnectionFacts | None = None
        self._idle = False  # lies in the pool
        self._answered = False  # the head of an answer has arrived
        self._held = False  # reading was paused in this exchange, so the parser may hold bytes of its own
        self._seen = b""  # the last bytes of a head that has not ended
        self._unsent = NOTHING
        self.arrived: Callable[[], None] | None = None  # called when something of the body, its end or its failure is there

    # -- the exchange

    def begin(self, facts: ConnectionFacts, *, bodiless: bool) -> None:
        """Take the connection for one exchange; `bodiless` when the answer has no body whatever it says (HEAD)."""
        facts.reused = self.exchanges > 0
        self.exchanges += 1
        self.facts = facts
        self._idle = self._answered = self._held = False
        self._seen = b""
        self.set_response_params(
            skip_payload=bodiless,
            read_until_eof=True,
            auto_decompress=False,
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )

    def send(self, head: bytes, body: bytes) -> None:
        """Write the request. It may still be going out when this returns; a failure shows in `read`."""
        transport = self.transport
        if transport is None:  # lost since it was taken; `connection_lost` has left the reason
            return
        if len(body) <= WRITE_SLICE:
            transport.write(head + body)  # one segment: with TCP_NODELAY two writes would be two packets
        else:
            view = memoryview(body)
            self._unsent = view[WRITE_SLICE:]
            transport.write(head + view[:WRITE_SLICE])
        self._push()

    def _push(self) -> None:
        while self._unsent and not self._paused and self.transport is not None:
            piece, self._unsent = self._unsent[:WRITE_SLICE], self._unsent[WRITE_SLICE:]
            self.transport.write(piece)
        if not self._unsent and not self._paused and self.facts is not None and self.facts.request_sent is None:
            self.facts.request_sent = self._loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._push()

    def rest(self) -> None:
        """The exchange is over and was read whole; the connection may go to the pool, unless `should_close`."""
        self._idle = True

    @property
    def should_close(self) -> bool:
        return bool(self._unsent or self._paused or super().should_close)

    # -- what arrives

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None or self._idle:
            if not self._idle:
                super().data_received(data)  # before the first request: aiohttp keeps it for the parser to come
            elif data and self.transport is not None:
                self.transport.abort()  # an answer to nothing must not become the answer to the next request
            return
        while not self._answered and (end := self._head_end(data)):
            # The parser drops a head when what follows it in the same segment is wrong: it gets the head by itself.
            self._parse(data[:end])
            data = data[end:]
            if not data or self._parser is None:
                return
        self._parse(data)
        if self.arrived is not None:
            self.arrived()

    def _head_end(self, data: bytes) -> int:
        """Where the next bytes after a head begin in `data`, which may be its end; 0 when no head ends in it."""
        seen = self._seen + data
        ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := seen.find(mark)) >= 0]
        end = min(ends) - len(self._seen) if ends else 0
        self._seen = b"" if end else seen[-3:]
        return end

    def _parse(self, data: bytes) -> None:
        parser = self._parser
        assert parser is not None
        try:
            messages, upgraded, _ = parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - the parser raises its errors bare, and all mean the same
            self._fail(*causes.of_parsing(error))
            return
        if not messages:
            return
        if self._idle:  # given back while this was parsed, with more behind the answer's end
            self.abort()
            return
        for message, payload in messages:
            if message.should_close:
                self._should_close = True
            self._payload = payload
            self._answered = message.code >= 200
            self.feed_data((message, payload), 0)
        if upgraded:
            self._fail(Cause.UPSTREAM_PROTOCOL, "the upstream switched protocols unasked")

    def pause_reading(self) -> None:
        self._held = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        # aiohttp calls this for every read, and each call feeds the parser nothing at some cost. Only an exchange
        # whose reading was paused can have anything to resume, be it only a pause that the parser took late.
        if self._held:
            super().resume_reading(resume_parser)

    # -- how it ends

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._idle and self._open():
            self._lose(exc)
        self._parser = None  # the end has been told; aiohttp would tell it again, in its own words
        super().connection_lost(exc)
        if self.arrived is not None:
            self.arrived()

    def _open(self) -> bool:
        payload = self._payload
        return not self._answered or (payload is not None and not payload.is_eof())

    def _lose(self, exc: BaseException | None) -> None:
        parser, payload = self._parser, self._payload
        if parser is None or (self._held and payload is not None and not self._flush(payload)):
            return
        received = payload.total_bytes if payload is not None else 0
        if exc is None and self._answered:
            try:
                parser.feed_eof()  # the proper end of a body that its close delimits
            except Exception as error:  # noqa: BLE001 - as above: it says what the framing still expected
                self._fail(*causes.of_truncation(error, received))
            return
        unsent = bool(self._unsent) or self._paused
        self._fail(*causes.of_loss(exc, unsent=unsent, answered=self._answered, received=received))

    def _flush(self, payload: StreamReader) -> bool:
        """Let the parser hand over what it held back while reading was paused. False when that ended the exchange."""
        before = -1
        while payload.total_bytes != before and self._parser is not None:
            before = payload.total_bytes
            self.data_received(b"")
        return self._open() and self._parser is not None

    def _fail(self, cause: Cause, detail: str) -> None:
        payload = self._payload
        unfinished = payload is not None and not payload.is_eof()
        failure = TransportFailure(
            cause, detail, connection=self.facts, received=payload.total_bytes if payload is not None else 0
        )
        if payload is not None and unfinished:
            payload.set_exception(failure)
        self.set_exception(failure)  # wakes the reader of the head, and marks the connection as not to be reused
        self._parser = None
        if self.transport is not None:
            self.transport.abort()
