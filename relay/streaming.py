"""A stream on its way to the client: held until its first content, then passed on event by event, to an honest end.

Invariant: what came whole is the client's, whatever came after it; and a stream never just stops, but ends as its protocol
ends, or with an error event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
from django.http import StreamingHttpResponse
from django.http.response import HttpResponseBase

from relay.adapters.base import passed_headers
from relay.ending import Cause
from relay.reading import AttemptFailed, Reading
from relay.refusal import client_error
from relay.transport import TransportFailure
from relay.wire.events import Kind, MalformedBody, Mark
from relay.wire.passage import SPOKEN
from relay.wire.registry import SSE_TYPE
from relay.wire.sse import Frame, OversizedEvent

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
HELD_SECONDS, HELD_BYTES = 5.0, 64 * 1024  # how long and how much of a stream's opening is held back
WHOLE_LIMIT = 64 * 1024 * 1024
DISCARD_GRACE = 0.5
CONTENT = frozenset({Kind.CONTENT, Kind.REASONING, Kind.FINISH, Kind.TERMINAL, Kind.MALFORMED, Kind.OTHER})
ENDS_A_PART = (".done", "_stop")


def event_stream(blocks: AsyncIterator[bytes], content_type: str = SSE_TYPE) -> StreamingHttpResponse:
    """A 200 whose body is `blocks`, with what every stream needs so that nobody between us and the client holds it back."""
    return StreamingHttpResponse(blocks, headers={"content-type": content_type, **STREAM_HEADERS})


async def one(frame: bytes) -> AsyncIterator[bytes]:
    """The body of a stream that is all there already."""
    yield frame


class Stream:
    """The stream that an attempt's answer is, or is to become."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.exchange = reading.exchange
        self.passage = reading.passage
        self._unusable: tuple[Cause, str] | None = None  # why nothing can be read behind this place
        self._over = False  # the body ended, properly
        self._last: bytes | None = None  # what the fast way took and left for the handler to send, with the end

    async def open(self, response: httpx.Response) -> HttpResponseBase:
        """Reads until the first content; then the client gets its 200."""
        held: list[bytes] = []
        deadline = self.exchange.loop.time() + HELD_SECONDS
        size = 0
        begun = False  # something that is not blank came
        while True:
            try:
                if held:
                    async with asyncio.timeout_at(deadline):
                        chunk = await self.reading.read()
                else:
                    chunk = await self.reading.read()
            except TimeoutError:
                break
            if not begun and chunk.strip():
                begun = True
                if not self.passage.is_stream(chunk):
                    return await self._not_a_stream(chunk)
            block, content = self._take(chunk) if chunk else self._end()
            if self.passage.answer.failure is not None and not content:
                raise self.reading.in_band(self.passage.answer)
            if block:
                held.append(block)
                size += len(block)
            if self._unusable and not content:
                raise AttemptFailed(*self._unusable)
            if not chunk and not self.reading.ended:
                raise AttemptFailed(Cause.EOF, "the body ended before the first content")
            if content or self.reading.ended or size > HELD_BYTES:
                break
        self.exchange.committed = True
        reading = self.reading
        content_type = reading.dialect.stream_type if reading.question.main else SSE_TYPE
        stream = event_stream(self._events(b"".join(held)), content_type)
        for name, value in passed_headers(response.headers):
            if name != "content-type":
                stream[name] = value
        return stream

    async def _not_a_stream(self, first: bytes) -> HttpResponseBase:
        """The body is believed, not the header: JSON for a stream becomes a stream; anything else is refused."""
        parts = [first]
        while chunk := await self.reading.read():
            parts.append(chunk)
            if self.exchange.upstream_bytes > WHOLE_LIMIT:
                break
        try:
            self.reading.read_whole(b"".join(parts))
            told = self.passage.whole_to_stream(b"".join(parts))
        except MalformedBody as error:
            raise AttemptFailed(Cause.MALFORMED_EVENT, str(error), again=False) from None
        except AttemptFailed as failure:
            if failure.cause is Cause.MALFORMED_EVENT:
                raise AttemptFailed(Cause.NOT_A_STREAM, "the answer is neither an event stream nor JSON") from None
            raise
        self.exchange.committed = True
        self.exchange.block_terminal = True
        return event_stream(one(told), self.reading.dialect.stream_type)

    async def _events(self, held: bytes) -> AsyncIterator[bytes]:
        """The rest of the stream, and its end."""
        exchange = self.exchange
        try:
            if held:
                yield held
            while not self.reading.ended:
                await self.reading.flow(self)
                block = await self._next()
                if block:
                    yield block
                elif self.reading.ended:
                    self._nothing_more([])
                if self._unusable:
                    yield self._broken(*self._unusable)
                if self._over and not self.reading.ended:
                    yield self._broken(Cause.EOF, "the body ended")
            self.reading.note_in_band()
        except TransportFailure as error:
            yield self._broken(error.cause, error.detail)
        except asyncio.CancelledError:
            stop = exchange.take_interrupt()
            if stop is None:
                raise
            for block in self._after_stop(stop.cause, stop.detail, stop.at + exchange.received):
                yield block
        finally:
            if self.passage.answer.terminal:
                self.reading.body.discard(DISCARD_GRACE)
            else:
                await self.reading.close()

    def ready(self) -> bool:
        """Whether the client can be sent something at once, without waiting (see relay.transport.body.Sink)."""
        client = self.exchange.client
        return client is not None and client.takes()

    def take(self, data: bytes) -> bool:
        """Passes on what just came; whatever ends the stream is left for `_next`."""
        exchange = self.exchange
        now = exchange.upstream_sent(len(data))
        mark = self.passage.repeated(data) if not self.passage.scanner.pending else None
        if mark is not None:
            self._repeated(mark, len(data), now)
            block = data
        else:
            block, _ = self._take(data)
            if self.reading.ended or self._unusable:
                self._last = block
                return False
        exchange.begin_read(now)
        if block and exchange.client is not None:
            exchange.client.pass_on(block, now)
        return True

    async def _next(self) -> bytes:
        """What comes next, as the client is to have it; empty when it gets nothing for it."""
        if self._last is not None:
            block, self._last = self._last, None
            return block
        chunk = await self.reading.read()
        return (self._take(chunk) if chunk else self._end())[0]

    def _take(self, chunk: bytes) -> tuple[bytes, bool]:
        """The bytes of the events that `chunk` completes, up to the end of the answer, and whether they hold content."""
        exchange = self.exchange
        now = exchange.last_upstream_byte or exchange.loop.time()
        oversized: OversizedEvent | None = None
        try:
            frames = self.passage.scanner.feed(chunk)
        except OversizedEvent as error:
            frames, oversized = error.frames, error
        raws: list[bytes] = []
        content = False
        for frame in frames:
            if self.reading.ended:
                # Behind the end: counted by the reader, and not relayed unless it says more of a failure.
                if self.passage.reader.read(frame).kind is Kind.ERROR and self.passage.answer.failure is not None:
                    raws.append(b"" if self.passage.translates else frame.raw)
                continue
            if self._unusable:
                break
            raw, kind = self._learn(frame, now)
            raws.append(raw)
            content = kind in CONTENT or content
        if oversized is not None and not self.reading.ended and self._unusable is None:
            self._unusable = Cause.OVERSIZED_EVENT, str(oversized)
        return (raws[0] if len(raws) == 1 else b"".join(raws)), content

    def _learn(self, frame: Frame, now: float) -> tuple[bytes, Kind]:
        """What one event means for the exchange (a ping means nothing), and what the client gets for it."""
        exchange, passage = self.exchange, self.passage
        repeated = passage.repeated(frame.raw)
        if repeated is not None:
            self._repeated(repeated, len(frame.raw), now)
            return frame.raw, repeated.kind
        mark = passage.reader.read(frame)
        try:
            raw = passage.take(frame, mark)
        except MalformedBody as error:
            raw, self._unusable = b"", (Cause.MALFORMED_EVENT, str(error))
        if mark.kind is Kind.PING:
            return raw, mark.kind
        exchange.event(mark.name, len(frame.raw), now)
        if raw:
            exchange.block_event = passage.name_sent(raw, mark)
        if mark.kind is Kind.MALFORMED and passage.translates:
            self._unusable = _unreadable(frame.data)
        if mark.kind in CONTENT:
            exchange.last_content = now
            self.reading.said = self.reading.said or (mark.kind in SPOKEN and not mark.name.endswith(ENDS_A_PART))
        if mark.kind is Kind.ERROR:
            self.reading.ended = True
        elif passage.answer.terminal:
            if passage.answer.event_count == 1 and passage.answer.finish is None:
                self._unusable = Cause.EOF, "the end marker came without an answer before it"
                return b"", Kind.OPENING
            self.reading.terminal(now)
        elif mark.kind is Kind.FINISH:
            self.reading.learn_finish()
        return raw, mark.kind

    def _repeated(self, mark: Mark, size: int, now: float) -> None:
        """One more event of content, of which nothing has to be learnt but that it came."""
        exchange = self.exchange
        exchange.event(mark.name, size, now)
        exchange.block_event = mark.name
        exchange.last_content = now

    def _end(self) -> tuple[bytes, bool]:
        """A clean end of the body: a last event without its blank line still counts; finish evidence is enough."""
        exchange = self.exchange
        self._over = True
        block = b""
        frame = self.passage.scanner.close()
        if frame is not None and not self.reading.ended:
            if not frame.complete:
                exchange.notes.add("unterminated-last-event")
            block, _ = self._learn(frame, exchange.loop.time())
        if not self.reading.ended and self.passage.ends_cleanly() and not self.passage.scanner.pending:
            block += self._finish_without_marker()
        return block, bool(block)

    def _finish_without_marker(self) -> bytes:
        """The client's own end, where its protocol has one."""
        exchange = self.exchange
        if self.passage.expects_marker:
            exchange.notes.add("no-done-marker")
        self.reading.terminal(exchange.loop.time())
        end = self.passage.end()
        if end:
            exchange.block_event = self.reading.dialect.end_name or exchange.block_event
        return end

    def _nothing_more(self, blocks: list[bytes]) -> None:
        """An end that adds no bytes: what was sent before was all of the answer, when the client was still there."""
        exchange = self.exchange
        if not blocks and exchange.block_terminal and exchange.client_close is None:
            exchange.sent_terminal = True

    def _after_stop(self, cause: Cause, detail: str, at: float) -> list[bytes]:
        """We stopped it. What had already come is the client's, and may even hold the end."""
        blocks = [self._last] if self._last else []
        rest = self.reading.read_nowait()
        if rest:
            block, _ = self._take(rest)
            if block:
                blocks.append(block)
        if not self.reading.ended and self.exchange.finish is not None:
            blocks += [end] if (end := self._finish_without_marker()) else []
            self._nothing_more(blocks)
        elif not self.reading.ended:
            blocks.append(self._broken(cause, detail, at))
        self.reading.note_in_band()
        return blocks

    def _broken(self, cause: Cause, detail: str, at: float | None = None) -> bytes:
        """Notes why, and gives the error event that tells the client."""
        self.exchange.note(cause, detail, at)
        self.exchange.block_event = "error"
        self.reading.ended = True
        error = client_error(self.exchange, cause, f"the stream ended early: {detail}")
        return self.passage.error_frame(error)


def _unreadable(data: bytes) -> tuple[Cause, str]:
    """Why an event cannot be translated."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return Cause.BAD_ENCODING, f"an event is not UTF-8: {error.reason}"
    return Cause.MALFORMED_EVENT, "an event is not a JSON object"
