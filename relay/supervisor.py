"""Runs one exchange: attempts until one gives content, then the stream, and an honest end.

Before commitment a failed attempt goes on to the next candidate; after it, never. Whatever ended the upstream's side is
noted here; what it means is decided in relay.ending alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import nullcontext
from typing import Any

import httpx
import orjson
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from relay import balancing, chains, routing
from relay.adapters import ADAPTERS
from relay.adapters.base import asked_wait, by_http, cause_of_status, error_code, passed_headers, upstream_request_id
from relay.ending import CAUSES, DEAD_ON_ARRIVAL, TIMEOUTS, Cause, Outcome, Phase
from relay.exchange import Attempt, Exchange
from relay.refusal import Refusal, client_error, error_response
from relay.snapshot import RouteSpec
from relay.transport import TransportFailure, UpstreamTransport, open_turn, value_of
from relay.wire.compression import KNOWN, BadCompression, Decoder, TooLarge
from relay.wire.events import Answer, BadField, ClientError, Kind, MalformedBody
from relay.wire.passage import Passage
from relay.wire.question import Question
from relay.wire.registry import SSE_TYPE, Dialect
from relay.wire.sse import Frame, OversizedEvent

STREAM_HEADERS = {"cache-control": "no-cache", "x-accel-buffering": "no"}
TRANSLATED_HEADERS = ((b"content-type", b"application/json"), (b"user-agent", b"epitaph"))
HELD_SECONDS, HELD_BYTES = 5.0, 64 * 1024  # how long and how much of a stream's opening is held back
DECODED_LIMIT = 1 << 40  # a stream has no length; events and whole bodies have limits of their own
WHOLE_LIMIT = 64 * 1024 * 1024
ERROR_BODY_LIMIT, ERROR_BODY_SECONDS = 256 * 1024, 5.0
LAST_ATTEMPT_AFTER = 60.0  # seconds after receipt
DISCARD_GRACE = 0.5
CONTENT = frozenset({Kind.CONTENT, Kind.REASONING, Kind.FINISH, Kind.TERMINAL, Kind.MALFORMED, Kind.OTHER})
SAYS, ENDS_A_PART = frozenset({Kind.CONTENT, Kind.REASONING}), (".done", "_stop")
NOT_TRIED_AGAIN = frozenset({400, 404, 413, 422})
_transports: dict[asyncio.AbstractEventLoop, UpstreamTransport] = {}


def transport() -> UpstreamTransport:
    """The one transport of this event loop."""
    loop = asyncio.get_running_loop()
    found = _transports.get(loop)
    if found is None:
        found = _transports[loop] = UpstreamTransport()
    return found


class AttemptFailed(Exception):
    """One attempt gave nothing that the client could have been sent."""

    def __init__(self, cause: Cause, detail: str, again: bool = True) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
        self.again = again
        self.status: int | None = None  # what the client is told, when not the cause's own
        self.body: bytes | None = None  # the upstream's own error, passed on as it came
        self.headers: list[tuple[str, str]] = []
        self.wait: float | None = None  # seconds for which the upstream asked to be left alone
        self.at: float | None = None


async def relay(exchange: Exchange, request: HttpRequest, question: Question, route: RouteSpec) -> HttpResponseBase:
    """The answer to one request: a stream, a whole body, or what the last attempt said.

    Raises:
        Refusal: an operator switched off everything on the route, or what is asked cannot be put to any upstream of it.
    """
    now = exchange.loop.time()
    exchange.routed = now
    exchange.opaque = not question.main
    affinity = ""
    if route.strategy == "sticky":
        affinity = f"{exchange.client_key}\0{balancing.conversation(question.body or {}, exchange.variant_hash)}"
    exchange.upstream_model = route.upstream_model or exchange.model
    question = question.shaped(route.changes(question.body or {}))
    candidates = _able(routing.candidates(route, question.dialect.protocol, now, affinity), question, exchange)
    failure: AttemptFailed | None = None
    tries = [item for item in candidates if not balancing.full(item)][: route.max_attempts]
    if not tries:
        raise Refusal(Cause.RELAY_BUSY, "as many requests as may use each of the route's credentials; try again shortly")
    for number, candidate in enumerate(tries):
        place = balancing.take(candidate)
        if place is None:  # it filled up while an earlier one was tried
            continue
        if exchange.place is not None:
            exchange.place.leave()
        exchange.place = place
        run = Run(exchange, request, question, candidate)
        for fresh in (False, True):
            try:
                return await run.attempt(fresh)
            except AttemptFailed as failed:
                failure = failed
                run.failed(failed)
                if not fresh and run.died_on_reused(failed):
                    run.record.next = "retried on a new connection: the reused one had died"
                    continue
                break
        assert failure is not None
        if failure.cause in TIMEOUTS or CAUSES[failure.cause].outcome is Outcome.UPSTREAM_ERROR:
            routing.cool_after(candidate, failure.cause, failure.detail, exchange.loop.time(), failure.wait)
        why = _no_more(exchange, failure, number + 1 < len(tries))
        run.record.next = why or "tried the next"
        if why:
            break
    assert failure is not None
    return _told(exchange, question.dialect, failure)


def _able(candidates: list[routing.Candidate], question: Question, exchange: Exchange) -> list[routing.Candidate]:
    """The candidates that this question can be put to.

    Raises:
        Refusal: there is none; what stands in the way is named when it is a field of the request.
    """
    able: list[routing.Candidate] = []
    refused: BadField | None = None
    made_it = chains.bound(candidates, question)
    if candidates and not made_it:
        raise Refusal(Cause.BAD_REQUEST, f"{chains.named_by(question)} was made by a credential that this route does not use")
    known: set[tuple[str, str]] = set()  # one account is asked once, though it be two upstreams of two protocols
    for candidate in made_it:
        account = (candidate.upstream.base_url, candidate.credential.secret)
        if account in known:
            continue
        try:
            if question.sending(candidate.upstream.protocol, exchange.upstream_model) is not None:
                able.append(candidate)
                known.add(account)
        except BadField as error:
            refused = refused or error
    if able:
        return able
    if refused is not None:
        raise Refusal(Cause.BAD_REQUEST, str(refused))
    what = f"serves {exchange.model!r}" if exchange.model else f"has {question.path}"
    raise Refusal(Cause.NO_UPSTREAM_AVAILABLE, f"no upstream that speaks {question.dialect.protocol} {what}")


def _no_more(exchange: Exchange, failure: AttemptFailed, more: bool) -> str:
    if not failure.again:
        return "not tried again: another would have failed alike"
    if exchange.committed:
        return "not tried again: the client had been answered"
    if exchange.loop.time() - exchange.received > LAST_ATTEMPT_AFTER:
        return "not tried again: too late"
    return "" if more else "not tried again: no candidate left"


def _told(exchange: Exchange, dialect: Dialect, failure: AttemptFailed) -> HttpResponseBase:
    """What the client gets when every attempt failed."""
    exchange.note(failure.cause, failure.detail, failure.at)
    error = client_error(exchange, failure.cause, failure.detail, failure.status)
    if exchange.headers_sent:
        return _event_stream(_one(dialect.error_frame(error, Answer())), dialect.stream_type)
    if failure.body is not None:
        response = HttpResponse(failure.body, status=error.status, content_type="application/json")
    else:
        response = error_response(failure.cause, error, dialect)
    for name, value in failure.headers:
        if name != "content-type":
            response[name] = value
    return response


def _ends_by_its_close(response: httpx.Response) -> bool:
    return "content-length" not in response.headers and "transfer-encoding" not in response.headers


def _event_stream(blocks: AsyncIterator[bytes], content_type: str = SSE_TYPE) -> StreamingHttpResponse:
    """A 200 whose body is `blocks`, with what every stream needs so that nobody between us and the client holds it back."""
    return StreamingHttpResponse(blocks, headers={"content-type": content_type, **STREAM_HEADERS})


async def _one(frame: bytes) -> AsyncIterator[bytes]:
    yield frame


class Run:
    """One candidate's attempt at one exchange."""

    def __init__(self, exchange: Exchange, request: HttpRequest, question: Question, candidate: routing.Candidate) -> None:
        self.exchange = exchange
        self.request = request
        self.question = question
        self.dialect = question.dialect
        self.upstream = candidate.upstream
        self.credential = candidate.credential
        self.record: Attempt
        self.passage: Passage
        self.body: Any = None
        self.decoder: Decoder | None = None
        self.spoilt: TransportFailure | None = None  # raised once what was good before it has been read
        self.ended = False  # the answer's end, or its failure, was seen in the stream
        self.said = False  # something of the answer itself came
        self.unusable: tuple[Cause, str] | None = None  # why nothing can be read behind this place

    def failed(self, failure: AttemptFailed) -> None:
        """Writes the failure into the attempt's record."""
        record = self.record
        record.ended = self.exchange.loop.time()
        record.cause, record.outcome, record.detail = failure.cause, CAUSES[failure.cause].outcome, failure.detail

    def died_on_reused(self, failure: AttemptFailed) -> bool:
        return (
            bool(self.record.reused)
            and failure.cause in DEAD_ON_ARRIVAL
            and self.record.status is None
            and not self.exchange.committed
        )

    async def attempt(self, fresh: bool) -> HttpResponseBase:
        """The response of this candidate.

        Raises:
            AttemptFailed: nothing of it can be sent to the client.
        """
        exchange = self.exchange
        self.record = exchange.begin_attempt(self.upstream, self.credential)
        self.passage = self.question.passage(self.upstream.protocol, exchange.upstream_model)
        exchange.answer = self.passage.answer
        try:
            response = await self._ask(fresh)
            self.body = response.stream
            coding = value_of(response.headers, b"content-encoding").strip().lower()
            self.decoder = Decoder(coding, DECODED_LIMIT) if coding in KNOWN else None
            if response.status_code >= 300:
                await self._refused(response)
            if self.question.main and self.decoder is None and coding not in ("", "identity"):
                raise AttemptFailed(Cause.BAD_COMPRESSION, f"the answer's content-encoding {coding[:40]!r} is not known")
            return await self._answer(response)
        except TransportFailure as error:
            self._connection(error.connection)
            if self.body is not None:
                await self.body.aclose()
            # A whole answer that came to a premature end would do so again: whatever capped it is deterministic.
            premature = CAUSES[error.cause].outcome is Outcome.UPSTREAM_PREMATURE
            again = bool(exchange.stream) or not (premature or self.record.status)
            raise AttemptFailed(error.cause, error.detail, again) from None
        except asyncio.CancelledError:
            stop = exchange.take_interrupt()
            if self.body is not None:
                await self.body.aclose()
            if stop is None:
                raise
            failure = AttemptFailed(stop.cause, stop.detail, again=stop.cause in TIMEOUTS - {Cause.TOTAL_TIMEOUT})
            failure.at = stop.at + exchange.received
            raise failure from None
        except Exception:
            if self.body is not None:
                await self.body.aclose()
            raise

    async def _answer(self, response: httpx.Response) -> HttpResponseBase:
        """A stream or a whole body: as was asked for, or, on a path that no reader knows, as it came."""
        media = value_of(response.headers, b"content-type").partition(";")[0].strip().lower()
        if self.question.main or media in ("application/json", ""):
            return await (self._open_stream(response) if self.exchange.stream else self._whole(response))
        return await (self._open_stream(response) if media == "text/event-stream" else self._open_raw(response))

    async def _ask(self, fresh: bool) -> httpx.Response:
        exchange = self.exchange
        sending = self.question.sending(self.upstream.protocol, exchange.upstream_model)
        assert sending is not None
        sent = ADAPTERS[self.upstream.protocol].request(
            self.upstream,
            self.credential,
            self.question.method,
            sending.path,
            sending.query,
            self.request.scope["headers"] if sending.own_headers else TRANSLATED_HEADERS,  # type: ignore[attr-defined]
            sending.payload,
            fresh,
        )
        exchange.begin_read()
        exchange.sending = sent.extensions  # where the transport tells how far it has come
        try:
            response = await self._sent(sent)
        finally:
            self._connection(sent.extensions.get("connection"))
        exchange.enter(Phase.WAITING)
        exchange.upstream_headers = exchange.loop.time()
        self.record.status = response.status_code
        self.record.upstream_request_id = upstream_request_id(response.headers.raw)
        return response

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        """The answer's head. Where an upstream's address is a WebSocket's, streams go through that, all else by HTTP."""
        scheme = request.url.scheme
        if scheme not in ("ws", "wss"):
            return await transport().handle_async_request(request)
        if self.question.main and self.exchange.stream:
            request.extensions["on_close"] = self.exchange.upstream_closed
            request.extensions["sockets"] = self.exchange.upstream_sockets
            return await open_turn(request)
        return await transport().handle_async_request(by_http(request))

    def _connection(self, facts: Any) -> None:
        if facts is not None:
            record = self.record
            record.reused = facts.reused
            record.connect_start, record.connected = facts.connect_start, facts.connected
            record.request_sent = facts.request_sent
            if facts.request_sent is not None:
                self.exchange.enter(Phase.WAITING)

    async def _refused(self, response: httpx.Response) -> None:
        """An error status: the upstream's own words, bounded in size and time."""
        status = response.status_code
        body, size = b"", 0
        try:
            async with asyncio.timeout(ERROR_BODY_SECONDS):
                while chunk := await self._read():
                    size += len(chunk)
                    body += chunk[: max(ERROR_BODY_LIMIT - len(body), 0)]
                    if size > ERROR_BODY_LIMIT * 16:
                        break
        except (TimeoutError, TransportFailure):
            pass
        secret = self.credential.secret.encode()
        if secret and secret in body:
            body = body.replace(secret, b"[redacted]")
        code, message = error_code(body)
        cause = cause_of_status(status, code)
        excerpt = body[:2000].decode("utf-8", "replace")
        self.exchange.upstream_excerpt = {"size": size, "excerpt": excerpt}
        self.record.error_code = code
        detail = f"HTTP {status}" + (f": {message[:500]}" if message else "")
        again = (status not in NOT_TRIED_AGAIN and status >= 400) or (status == 404 and self.question.anywhere)
        failure = AttemptFailed(cause, detail, again=again)
        failure.headers = passed_headers(response.headers.raw)
        failure.wait = asked_wait(response.headers, status, time.time())
        if cause not in (Cause.AUTH_REJECTED, Cause.REDIRECTED):
            failure.status = status
            if code is not None or message:
                told = ClientError(status, code or cause.value.replace("-", "_"), message or detail)
                failure.body = self.passage.error_body(body, told)
        raise failure

    async def _whole(self, response: httpx.Response) -> HttpResponse:
        exchange = self.exchange
        parts: list[bytes] = []
        while True:
            chunk = await self._read()
            if not chunk:
                break
            parts.append(chunk)
            if exchange.upstream_bytes > WHOLE_LIMIT:
                raise AttemptFailed(Cause.OVERSIZED_EVENT, f"the answer is larger than {WHOLE_LIMIT} bytes", again=False)
        whole = b"".join(parts)
        if self.question.main and not whole:
            raise AttemptFailed(Cause.EOF, "the body was empty", again=False)
        try:
            body = self._read_whole(whole)
        except AttemptFailed as failure:
            if failure.cause is not Cause.MALFORMED_EVENT:
                raise
            body = self._read_whole(self._gathered(whole, _ends_by_its_close(response), failure))
        await self.body.aclose()
        answer = HttpResponse(body, status=response.status_code)
        for name, value in passed_headers(response.headers.raw):
            answer[name] = value
        if "content-type" not in response.headers or self.passage.translates:
            answer["content-type"] = "application/json"
        return answer

    def _gathered(self, body: bytes, by_close: bool, failure: AttemptFailed) -> bytes:
        """The whole answer out of an event stream that came in its place; raises when it is none, or not whole."""
        found = self.question.gathered(self.upstream.protocol, body)
        if found is not None and found.body:
            self.exchange.notes.add("stream-for-json")
            return found.body
        if found is not None:
            raise AttemptFailed(Cause.EOF, "an event stream came, and ended before its end", again=False)
        if by_close and body.lstrip()[:1] == b"{":
            detail = f"the connection was closed after {len(body)} bytes, inside the JSON"
            raise AttemptFailed(Cause.TRUNCATED_BODY, detail, again=False)
        raise failure

    def _read_whole(self, body: bytes) -> bytes:
        """The whole answer, read, as the client is to have it."""
        exchange, answer = self.exchange, self.passage.answer
        try:
            told = self.passage.read_whole(body)
        except MalformedBody as error:
            raise AttemptFailed(Cause.MALFORMED_EVENT, str(error) or "the answer is not JSON", again=False) from None
        if answer.failure is not None:
            raise self._in_band(answer)
        exchange.first_event = exchange.loop.time()
        exchange.terminal_event = exchange.first_event
        self._learn_finish()
        self.said = answer.usage is None  # nothing else tells of a whole answer's content
        self._note_emptiness()
        exchange.enter(Phase.FINISHING)
        return told

    def _in_band(self, answer: Answer) -> AttemptFailed:
        said = answer.failure
        assert said is not None
        self.record.error_code = said.code or said.type
        message = self._scrubbed(said.message)
        failure = AttemptFailed(Cause.ERROR_EVENT, message)
        failure.status = said.status
        kind = None if self.passage.translates else said.type
        told = ClientError(said.status or 502, said.code or said.type or "error_event", message, kind)
        failure.body = orjson.dumps(self.dialect.error_body(told))
        return failure

    def _scrubbed(self, text: str) -> str:
        secret = self.credential.secret
        return text.replace(secret, "[redacted]") if secret else text

    def _learn_finish(self) -> None:
        answer = self.passage.answer
        if answer.finish is not None:
            self.exchange.finish = Outcome(answer.finish)
        elif answer.terminal:
            self.exchange.finish = Outcome.COMPLETED
        self.exchange.finish_reason = answer.finish_reason or ""
        if answer.response_id and self.upstream.protocol == "openai-responses":
            chains.remember(answer.response_id, self.upstream.id, self.credential.id)

    async def _open_stream(self, response: httpx.Response) -> HttpResponseBase:
        """Reads until the first content; then the client gets its 200."""
        held: list[bytes] = []
        deadline = self.exchange.loop.time() + HELD_SECONDS
        size = 0
        begun = False  # something that is not blank came
        while True:
            try:
                async with asyncio.timeout_at(deadline) if held else nullcontext():  # mostly the first read has content
                    chunk = await self._read()
            except TimeoutError:
                break
            if not begun and chunk.strip():
                begun = True
                if not self.passage.is_stream(chunk):
                    return await self._not_a_stream(chunk)
            block, content = self._take(chunk) if chunk else self._end()
            if self.passage.answer.failure is not None and not content:
                raise self._in_band(self.passage.answer)
            if block:
                held.append(block)
                size += len(block)
            if self.unusable and not content:
                raise AttemptFailed(*self.unusable)
            if not chunk and not self.ended:
                raise AttemptFailed(Cause.EOF, "the body ended before the first content")
            if content or self.ended or size > HELD_BYTES:
                break
        self.exchange.committed = True
        stream = _event_stream(self._stream(b"".join(held)), self.dialect.stream_type if self.question.main else SSE_TYPE)
        for name, value in passed_headers(response.headers.raw):
            if name != "content-type":
                stream[name] = value
        return stream

    async def _not_a_stream(self, first: bytes) -> HttpResponseBase:
        """The body is believed, not the header: JSON for a stream becomes a stream; anything else is refused."""
        parts = [first]
        while chunk := await self._read():
            parts.append(chunk)
            if self.exchange.upstream_bytes > WHOLE_LIMIT:
                break
        try:
            self._read_whole(b"".join(parts))
        except AttemptFailed as failure:
            if failure.cause is Cause.MALFORMED_EVENT:
                raise AttemptFailed(Cause.NOT_A_STREAM, "the answer is neither an event stream nor JSON") from None
            raise
        self.exchange.committed = True
        self.exchange.block_terminal = True
        return _event_stream(_one(self.passage.whole_to_stream(b"".join(parts))), self.dialect.stream_type)

    async def _open_raw(self, response: httpx.Response) -> HttpResponseBase:
        """A body that is neither events nor JSON (a file, audio): passed on as it comes, after its first bytes."""
        first = await self._read()
        self.exchange.committed = True
        answer = StreamingHttpResponse(self._raw(first), status=response.status_code)
        for name, value in passed_headers(response.headers.raw):
            answer[name] = value
        if self.decoder is None and "content-length" in response.headers:
            answer["content-length"] = response.headers["content-length"]
        return answer

    async def _raw(self, chunk: bytes) -> AsyncIterator[bytes]:
        """Such a body cannot say that it is broken: if it breaks, the client's connection is cut."""
        exchange = self.exchange
        try:
            while chunk:
                exchange.event("bytes", len(chunk), exchange.loop.time())
                yield chunk
                chunk = await self._read()
            self.passage.answer.terminal = True
            self._terminal(exchange.loop.time())
            exchange.sent_terminal = exchange.client_close is None
        except TransportFailure as error:
            self._cut(error.cause, error.detail)
        except asyncio.CancelledError:
            stop = exchange.take_interrupt()
            if stop is None:
                raise
            self._cut(stop.cause, stop.detail, stop.at + exchange.received)
        finally:
            await self.body.aclose()

    def _cut(self, cause: Cause, detail: str, at: float | None = None) -> None:
        self.exchange.note(cause, detail, at)
        if self.exchange.client is not None:
            self.exchange.client.abort()

    async def _read(self) -> bytes:
        """What the upstream sent next, decoded; empty at its proper end."""
        while True:
            if self.spoilt is not None:
                raise self.spoilt
            self.exchange.begin_read()
            chunk = await self.body.read()
            self.exchange.upstream_sent(len(chunk))
            if self.decoder is None:
                return chunk
            if not chunk:
                if not self.decoder.finished:
                    raise TransportFailure(Cause.TRUNCATED_BODY, f"the {self.decoder.coding} body was cut")
                return chunk
            try:
                decoded = self.decoder.feed(chunk)
            except (BadCompression, TooLarge) as error:
                self.spoilt = TransportFailure(Cause.BAD_COMPRESSION, str(error) or "the body inflates without end")
                decoded = error.decoded if isinstance(error, BadCompression) else b""
            if decoded:
                return decoded

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
            if self.ended:
                # Behind the end: counted by the reader, and not relayed unless it says more of a failure.
                if self.passage.reader.read(frame).kind is Kind.ERROR and self.passage.answer.failure is not None:
                    raws.append(b"" if self.passage.translates else frame.raw)
                continue
            if self.unusable:
                break
            raw, kind = self._learn(frame, now)
            raws.append(raw)
            content = kind in CONTENT or content
        if oversized is not None and not self.ended and self.unusable is None:
            self.unusable = Cause.OVERSIZED_EVENT, str(oversized)
        return (raws[0] if len(raws) == 1 else b"".join(raws)), content

    def _learn(self, frame: Frame, now: float) -> tuple[bytes, Kind]:
        """What one event means for the exchange (a ping means nothing), and what the client gets for it."""
        exchange, passage = self.exchange, self.passage
        mark = passage.reader.read(frame)
        try:
            raw = passage.take(frame, mark)
        except MalformedBody as error:
            raw, self.unusable = b"", (Cause.MALFORMED_EVENT, str(error))
        if mark.kind is Kind.PING:
            return raw, mark.kind
        exchange.event(mark.name, len(frame.raw), now)
        if raw:
            exchange.block_event = passage.name_sent(raw, mark)
        if mark.kind is Kind.MALFORMED and passage.translates:
            self.unusable = _unreadable(frame.data)
        if mark.kind in CONTENT:
            exchange.last_content = now
            self.said = self.said or (mark.kind in SAYS and not mark.name.endswith(ENDS_A_PART))
        if mark.kind is Kind.ERROR:
            self.ended = True
        elif passage.answer.terminal:
            if passage.answer.event_count == 1 and passage.answer.finish is None:
                raise AttemptFailed(Cause.EOF, "the end marker came without an answer before it")
            self._terminal(now)
        elif mark.kind is Kind.FINISH:
            self._learn_finish()
        return raw, mark.kind

    def _terminal(self, now: float) -> None:
        exchange = self.exchange
        self.ended = True
        exchange.terminal_event = now
        exchange.enter(Phase.FINISHING)
        self._learn_finish()
        exchange.block_terminal = self.passage.answer.failure is None
        self._note_emptiness()

    def _note_emptiness(self) -> None:
        """An answer that ended properly without a word of content, and whose usage, if there is one, says so too."""
        usage = self.passage.answer.usage
        if self.question.main and not self.said and not (usage and usage.output):
            self.exchange.notes.add("empty-answer")

    def _end(self) -> tuple[bytes, bool]:
        """A clean end of the body: a last event without its blank line still counts; finish evidence is enough."""
        exchange = self.exchange
        block = b""
        frame = self.passage.scanner.close()
        if frame is not None and not self.ended:
            if not frame.complete:
                exchange.notes.add("unterminated-last-event")
            block, _ = self._learn(frame, exchange.loop.time())
        if not self.ended and self.passage.ends_cleanly() and not self.passage.scanner.pending:
            block += self._finish_without_marker()
        return block, bool(block)

    def _finish_without_marker(self) -> bytes:
        """The client's own end, where its protocol has one."""
        exchange = self.exchange
        if self.passage.expects_marker:
            exchange.notes.add("no-done-marker")
        self._terminal(exchange.loop.time())
        end = self.passage.end()
        if end:
            exchange.block_event = self.dialect.end_name or exchange.block_event
        return end

    def _nothing_more(self, blocks: list[bytes]) -> None:
        """An end that adds no bytes: what was sent before was all of the answer, when the client was still there."""
        exchange = self.exchange
        if not blocks and exchange.block_terminal and exchange.client_close is None:
            exchange.sent_terminal = True

    async def _stream(self, held: bytes) -> AsyncIterator[bytes]:
        """The rest of the stream, and its end."""
        exchange = self.exchange
        try:
            if held:
                yield held
            while not self.ended:
                chunk = await self._read()
                block, _ = self._take(chunk) if chunk else self._end()
                if block:
                    yield block
                elif self.ended:
                    self._nothing_more([])
                if self.unusable:
                    yield self._broken(*self.unusable)
                if not chunk and not self.ended:
                    yield self._broken(Cause.EOF, "the body ended without it")
            self._note_in_band()
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
                self.body.discard(DISCARD_GRACE)
            else:
                await self.body.aclose()

    def _after_stop(self, cause: Cause, detail: str, at: float) -> list[bytes]:
        """We stopped it. What had already come is the client's, and may even hold the end."""
        blocks = []
        rest = self.body.read_nowait()
        if rest and self.decoder is None:
            self.exchange.upstream_sent(len(rest))
            block, _ = self._take(rest)
            if block:
                blocks.append(block)
        if not self.ended and self.exchange.finish is not None:
            blocks += [end] if (end := self._finish_without_marker()) else []
            self._nothing_more(blocks)
        elif not self.ended:
            blocks.append(self._broken(cause, detail, at))
        self._note_in_band()
        return blocks

    def _note_in_band(self) -> None:
        failure = self.passage.answer.failure
        if failure is not None:
            self.record.error_code = failure.code or failure.type
            self.exchange.note(Cause.ERROR_EVENT, self._scrubbed(failure.message))

    def _broken(self, cause: Cause, detail: str, at: float | None = None) -> bytes:
        """Notes why, and gives the error event that tells the client."""
        self.exchange.note(cause, detail, at)
        self.exchange.block_event = "error"
        self.ended = True
        error = client_error(self.exchange, cause, f"the stream ended early: {detail}")
        return self.passage.error_frame(error)


def _unreadable(data: bytes) -> tuple[Cause, str]:
    """Why an event cannot be translated."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return Cause.BAD_ENCODING, f"an event is not UTF-8: {error.reason}"
    return Cause.MALFORMED_EVENT, "an event is not a JSON object"
