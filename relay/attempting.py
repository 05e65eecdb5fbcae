"""One candidate's attempt at one exchange: asked, and answered with a stream, a whole body, or nothing that can be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from relay import routing
from relay.adapters import ADAPTERS
from relay.adapters.base import asked_wait, by_http, cause_of_status, error_code, passed_headers, upstream_request_id
from relay.ending import CAUSES, DEAD_ON_ARRIVAL, TIMEOUTS, Cause, Outcome, Phase
from relay.exchange import Exchange
from relay.exchange_state import Attempt
from relay.reading import AttemptFailed, Reading
from relay.streaming import WHOLE_LIMIT, Stream
from relay.transport import TransportFailure, UpstreamTransport, open_turn, value_of
from relay.wire.events import ClientError
from relay.wire.question import Question
from relay.wire.sse import is_json

TRANSLATED_HEADERS = ((b"content-type", b"application/json"), (b"user-agent", b"epitaph"))
ERROR_BODY_LIMIT, ERROR_BODY_SECONDS = 256 * 1024, 5.0
NOT_TRIED_AGAIN = frozenset({400, 404, 413, 422})
_transports: dict[asyncio.AbstractEventLoop, UpstreamTransport] = {}


def transport() -> UpstreamTransport:
    """The one transport of this event loop."""
    loop = asyncio.get_running_loop()
    found = _transports.get(loop)
    if found is None:
        found = _transports[loop] = UpstreamTransport()
    return found


class Run:
    """One candidate's turn. `attempt` may be called twice: a reused connection that had died is tried once more on a new one."""

    def __init__(self, exchange: Exchange, request: HttpRequest, question: Question, candidate: routing.Candidate) -> None:
        self.exchange = exchange
        self.request = request
        self.question = question.asking(candidate.upstream.ask_for_usage)
        self.candidate = candidate
        self.upstream = candidate.upstream
        self.credential = candidate.credential
        self.record: Attempt
        self.reading: Reading

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
        passage = self.question.passage(self.upstream.protocol, exchange.upstream_model)
        reading = self.reading = Reading(exchange, self.record, self.question, passage, self.candidate)
        exchange.answer, exchange.evidence_ends = passage.answer, passage.evidence_ends
        try:
            response = await self._ask(fresh)
            reading.begin(response)
            if response.status_code >= 300:
                await self._refused(response)
            if self.question.main and reading.coding:
                raise AttemptFailed(Cause.BAD_COMPRESSION, f"the answer's content-encoding {reading.coding!r} is not known")
            return await self._answer(response)
        except TransportFailure as error:
            self._connection(error.connection)
            await reading.close()
            # A whole answer that came to a premature end would do so again: whatever capped it is deterministic.
            premature = CAUSES[error.cause].outcome is Outcome.UPSTREAM_PREMATURE
            again = bool(exchange.stream) or not (premature or self.record.status)
            raise AttemptFailed(error.cause, error.detail, again) from None
        except asyncio.CancelledError:
            stop = exchange.take_interrupt()
            await reading.close()
            if stop is None:
                raise
            failure = AttemptFailed(stop.cause, stop.detail, again=stop.cause in TIMEOUTS - {Cause.TOTAL_TIMEOUT})
            failure.at = stop.at + exchange.received
            raise failure from None
        except Exception:
            await reading.close()
            raise

    async def _answer(self, response: httpx.Response) -> HttpResponseBase:
        """A stream or a whole body: as was asked for, or, on a path that no reader knows, as it came."""
        media = value_of(response.headers, b"content-type").partition(";")[0].strip().lower()
        known = self.question.main or media in ("application/json", "")
        if self.exchange.stream if known else media == "text/event-stream":
            return await Stream(self.reading).open(response)
        return await (self._whole(response) if known else self._open_raw(response))

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
        self.record.upstream_request_id = upstream_request_id(response.headers)
        return response

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        """The answer's head. Where an upstream's address is a WebSocket's, streams go through that, all else by HTTP."""
        scheme = request.url.scheme
        if scheme not in ("ws", "wss"):
            return await transport().handle_async_request(request)
        if self.question.main and self.exchange.stream:
            request.extensions["on_close"] = self.exchange.upstream_closed
            request.extensions["on_silence"] = self.exchange.upstream_unanswered
            request.extensions["pings"] = settings.WEBSOCKET_PING_SECONDS, settings.WEBSOCKET_PONG_SECONDS
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
                while chunk := await self.reading.read():
                    size += len(chunk)
                    body += chunk[: max(ERROR_BODY_LIMIT - len(body), 0)]
                    if size > ERROR_BODY_LIMIT * 16:
                        break
        except (TimeoutError, TransportFailure):
            pass
        except asyncio.CancelledError:
            # The status is known, and says more than that its body did not come within an upstream's short timeout.
            if self.exchange.interrupt is None or self.exchange.interrupt.cause not in TIMEOUTS:
                raise
            if self.exchange.take_interrupt() is None:
                raise
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
        failure.headers = passed_headers(response.headers)
        failure.wait = asked_wait(response.headers, status, time.time())
        if cause not in (Cause.AUTH_REJECTED, Cause.REDIRECTED):
            failure.status = status if status < 600 else None  # what is no status of HTTP's is told as the cause's own
            if code is not None or message:
                told = ClientError(failure.status or 502, code or cause.value.replace("-", "_"), message or detail)
                failure.body = self.reading.passage.error_body(body, told)
        raise failure

    async def _whole(self, response: httpx.Response) -> HttpResponse:
        exchange = self.exchange
        parts: list[bytes] = []
        while True:
            chunk = await self.reading.read()
            if not chunk:
                break
            parts.append(chunk)
            if exchange.upstream_bytes > WHOLE_LIMIT:
                raise AttemptFailed(Cause.OVERSIZED_EVENT, f"the answer is larger than {WHOLE_LIMIT} bytes", again=False)
        whole = b"".join(parts)
        if self.question.main and not whole:
            raise AttemptFailed(Cause.EOF, "the body was empty", again=False)
        if not self.question.main and _ends_by_its_close(response) and _is_cut(whole):
            raise _cut_by_its_close(whole)
        try:
            body = self.reading.read_whole(whole)
        except AttemptFailed as failure:
            if failure.cause is not Cause.MALFORMED_EVENT:
                raise
            body = self.reading.read_whole(self._gathered(whole, _ends_by_its_close(response), failure))
        await self.reading.close()
        answer = HttpResponse(body, status=response.status_code)
        for name, value in passed_headers(response.headers):
            answer[name] = value
        if "content-type" not in response.headers or self.reading.passage.translates:
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
            raise _cut_by_its_close(body)
        raise failure

    async def _open_raw(self, response: httpx.Response) -> HttpResponseBase:
        """A body that is neither events nor JSON (a file, audio): passed on as it comes, after its first bytes."""
        first = await self.reading.read()
        self.exchange.committed = True
        answer = StreamingHttpResponse(self._raw(first), status=response.status_code)
        for name, value in passed_headers(response.headers):
            answer[name] = value
        if self.reading.decoder is None and "content-length" in response.headers:
            answer["content-length"] = response.headers["content-length"]
        return answer

    async def _raw(self, chunk: bytes) -> AsyncIterator[bytes]:
        """Such a body cannot say that it is broken: if it breaks, the client's connection is cut."""
        exchange = self.exchange
        try:
            while chunk:
                exchange.event("bytes", len(chunk), exchange.loop.time())
                yield chunk
                chunk = await self.reading.read()
            self.reading.passage.answer.terminal = True
            self.reading.terminal(exchange.loop.time())
            exchange.sent_terminal = exchange.client_close is None
        except TransportFailure as error:
            self._cut(error.cause, error.detail)
        except asyncio.CancelledError:
            stop = exchange.take_interrupt()
            if stop is None:
                raise
            self._cut(stop.cause, stop.detail, stop.at + exchange.received)
        finally:
            await self.reading.close()

    def _cut(self, cause: Cause, detail: str, at: float | None = None) -> None:
        self.exchange.note(cause, detail, at)
        if self.exchange.client is not None:
            self.exchange.client.abort()


def _is_cut(body: bytes) -> bool:
    """Whether a body that begins as JSON is neither that nor, by its last line, JSON lines."""
    text = body.strip()
    if text[:1] not in (b"{", b"["):
        return False
    return not any(is_json(part) for part in (text, text.rpartition(b"\n")[2]))


def _cut_by_its_close(body: bytes) -> AttemptFailed:
    detail = f"the connection was closed after {len(body)} bytes, inside the JSON"
    return AttemptFailed(Cause.TRUNCATED_BODY, detail, again=False)


def _ends_by_its_close(response: httpx.Response) -> bool:
    return "content-length" not in response.headers and "transfer-encoding" not in response.headers
