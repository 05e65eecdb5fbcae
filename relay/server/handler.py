"""The lean ASGI handler of client paths, and the one place where an exchange ends.

It reads the body under our limit, calls the Ninja view, sends what the view returns and counts what was sent, and its
`finally` calls `exchange.finish_once()`, whatever happened: completion, cancellation because the client left, shutdown,
our own bug. Paths that are no client's go to Django.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase, HttpResponseNotAllowed, StreamingHttpResponse
from django.urls import Resolver404, resolve

from errorlog.capture import inside_exchange
from relay import drill, metrics, routing
from relay.capturing import Captured
from relay.client_side import ClientClose
from relay.ending import Cause, Outcome, Phase
from relay.exchange import CLIENT_REQUEST_ID, Exchange
from relay.refusal import Refusal, client_error, dialect_of_path, refuse
from relay.server.protocol import EXTENSION, PROBED_WITHIN, ClientConnection
from relay.server.request import ClientRequest
from relay.streaming import STREAM_HEADERS
from relay.watchdog import Watchdog
from relay.wire import ollama
from relay.wire.compression import KNOWN, BadCompression, Decoder, TooLarge
from relay.wire.events import Answer

metrics.lookers.append(lambda: metrics.gauge("draining", RelayHandler.draining))
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
CLIENT_PREFIXES, OLLAMA_PATHS = ("/v1/", "/v1beta/"), ollama.PATHS
EARLY_HEADERS = [(name.encode(), value.encode()) for name, value in STREAM_HEADERS.items()]


def cors(scope: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """The CORS headers for the origin that asks; none unless `CORS_ORIGINS` names it (or `*`)."""
    asked = dict(scope["headers"])
    origin = asked.get(b"origin", b"")
    if not origin or not {"*", origin.decode("latin-1")} & set(settings.CORS_ORIGINS):
        return []
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
        (b"access-control-allow-headers", asked.get(b"access-control-request-headers", b"*")),
        (b"access-control-expose-headers", b", ".join(id_headers(scope))),
        (b"access-control-max-age", b"600"),
        (b"vary", b"origin"),
    ]


def id_headers(scope: dict[str, Any]) -> tuple[bytes, ...]:
    """The headers that carry the request id: Anthropic's SDKs read another than everybody else's."""
    messages = scope["path"].startswith("/v1/messages") or b"anthropic-version" in dict(scope["headers"])
    return (b"x-request-id", b"request-id") if messages else (b"x-request-id",)


class ClientGone(Exception):
    """The client left while its request was being read, and nothing else says how."""


class Delivery:
    """The client's side of one exchange: sends, counts, and answers the watchdog."""

    def __init__(self, scope: dict[str, Any], send: Send) -> None:
        self.send = send
        self.connection: ClientConnection | None = (scope.get("extensions") or {}).get(EXTENSION)
        self.exchange: Exchange | None = None
        self.cors = cors(scope) if settings.CORS_ORIGINS else []
        self.id_headers = id_headers(scope)
        self.busy = False
        self.ended = False  # the end of the body was sent
        self.pending: set[asyncio.Task[None]] = set()

    @property
    def gone(self) -> bool:
        return self.exchange is not None and self.exchange.client_close is not None

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        exchange = self.exchange
        assert exchange is not None
        if exchange.headers_sent:
            return
        exchange.headers_sent = True
        self.busy = True
        named = [(name, exchange.request_id.encode()) for name in self.id_headers]
        await self.send({"type": "http.response.start", "status": status, "headers": headers + named + self.cors})
        self.busy = False
        if not self.gone:
            exchange.client_status = status

    async def body(self, data: bytes, more: bool) -> None:
        exchange, connection = self.exchange, self.connection
        assert exchange is not None
        exchange.writing_since, exchange.writing_size = exchange.loop.time(), len(data)
        self.ended = not more
        if more and data and connection is not None and connection.writable():
            connection.write_chunk(data)
        else:
            self.busy = True
            await self.send({"type": "http.response.body", "body": data, "more_body": more})
            if connection is not None:
                connection.uncork()
            self.busy = False
        if data and exchange.client_close is None:
            exchange.sent(data, exchange.loop.time())
        exchange.writing_since = None

    def takes(self) -> bool:
        """Whether `pass_on` may be called: the client has its head, is there, and takes what is written."""
        return not self.busy and self.connection is not None and self.connection.writable()

    def pass_on(self, block: bytes, now: float) -> None:
        """Writes a block of the body at once; only after `takes` said that this can be done."""
        exchange, connection = self.exchange, self.connection
        assert exchange is not None and connection is not None
        connection.write_chunk(block)
        exchange.sent(block, now)

    async def begin(self, status: int, headers: list[tuple[bytes, bytes]], first: bytes, more: bool) -> None:
        """The head and the first block, in one segment where the connection is ours."""
        if self.connection is not None:
            self.connection.cork()
        try:
            await self.start(status, headers)
            await self.body(first, more)
        finally:
            if self.connection is not None:
                self.connection.uncork()

    def heartbeat(self, frame: bytes) -> None:
        """Sends a heartbeat, and the early 200 before it, unless something is being sent already."""
        if not self.busy and not self.gone and not self.blocked_for(0.0):
            task = asyncio.ensure_future(self._heartbeat(frame))
            self.pending.add(task)
            task.add_done_callback(self.pending.discard)

    async def _heartbeat(self, frame: bytes) -> None:
        exchange = self.exchange
        if exchange is None or exchange.verdict is not None or self.busy:
            return
        if not exchange.headers_sent:
            exchange.committed = True
            kind = (b"content-type", exchange.stream_type.encode())
            await self.start(200, [kind, *EARLY_HEADERS])
        if frame:
            self.busy = True
            await self.send({"type": "http.response.body", "body": frame, "more_body": True})
            self.busy = False
            now = exchange.loop.time()
            exchange.heartbeats += 1
            exchange.first_heartbeat = exchange.first_heartbeat or now
            exchange.last_heartbeat = now

    def abort(self) -> None:
        """Cuts the connection: the one honest end of a body that cannot say that it is broken."""
        if self.connection is not None:
            self.connection.watcher = None
            self.connection.abort()

    def blocked_for(self, now: float) -> float:
        if self.connection is None or self.connection.blocked_since is None:
            return 0.0
        return max(now - self.connection.blocked_since, 1e-9)

    def unread_for(self, now: float) -> float:
        """Seconds for which the client has taken nothing of what we want to write."""
        return self.connection.unread_for(now) if self.connection is not None else 0.0

    def vanished(self, blocked: float) -> bool:
        """Whether the client, which has not read for `blocked` seconds, has not even acknowledged a probe in that time."""
        if self.connection is None:
            return False
        unheard = self.connection.unheard_for()
        # where the machine was too busy to probe at all, silence says nothing
        return unheard is not None and unheard > blocked * PROBED_WITHIN and self.connection.unanswered() >= 2

    def loop_lag(self, now: float) -> float:
        """Seconds for which our event loop has just stood still."""
        return RelayHandler.watchdog.late(now) if RelayHandler.watchdog is not None else 0.0

    def snapshot(self) -> ClientClose | None:
        return self.connection.snapshot() if self.connection is not None else None


class RelayHandler:
    """ASGI: client paths to the gateway, everything else to `django`."""

    draining = False
    watchdog: Watchdog | None = None  # one for all handlers of this process's loop

    def __init__(self, django: Any) -> None:
        self.django = django
        self.views: dict[str, Callable[..., Awaitable[HttpResponseBase]]] = {}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"].startswith(CLIENT_PREFIXES) or scope["path"] in OLLAMA_PATHS):
            if scope["method"] == "OPTIONS":
                headers = cors(scope)
                await send({"type": "http.response.start", "status": 204, "headers": headers})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            await self.relay(scope, receive, send)
        else:
            await self.django(scope, receive, send)

    async def relay(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request of a client, from receipt to ending."""
        if RelayHandler.watchdog is None or RelayHandler.watchdog.loop is not asyncio.get_running_loop():
            RelayHandler.watchdog = Watchdog()
            RelayHandler.watchdog.start()
        delivery = Delivery(scope, send)
        exchange = delivery.exchange = Exchange(scope["method"], scope["path"], delivery)
        token = inside_exchange.set(True)
        watcher: asyncio.Task[None] | None = None
        try:
            self._introduce(exchange, scope)
            exchange.begin()
            try:
                if delivery.connection is not None:
                    delivery.connection.watcher = exchange.client_left
                    delivery.connection.objector = partial(exchange.stop, Cause.BAD_REQUEST)
                    if delivery.connection.close is not None:
                        exchange.client_left(delivery.connection.close)
                body = await self._read(exchange, scope, receive)
                if routing.current().capture:
                    exchange.captured = Captured(body)
                if delivery.connection is not None:
                    delivery.connection.resume_reading()
                else:
                    watcher = asyncio.ensure_future(_watch(receive, exchange))
                exchange.enter(Phase.ROUTING)
                if self.draining:
                    raise Refusal(Cause.DRAINING, "the gateway is shutting down; ask again")
                response = await self._view(exchange, scope, body)
            except Refusal as refusal:
                response = refuse(exchange, refusal, dialect_of_path(scope["path"]))
            await self._deliver(exchange, delivery, response)
        except asyncio.CancelledError:
            self._cancelled(exchange, delivery)
        except ClientGone:
            exchange.note(Cause.REQUEST_INCOMPLETE)
        except Exception as error:  # noqa: BLE001 - our bug is an ending like any other
            await self._failed(exchange, delivery, error)
        finally:
            if watcher is not None:
                watcher.cancel()
            if delivery.connection is not None:
                delivery.connection.watcher = delivery.connection.objector = None
            exchange.finish_once()
            inside_exchange.reset(token)

    def _introduce(self, exchange: Exchange, scope: dict[str, Any]) -> None:
        headers = dict(scope["headers"])
        if named := headers.get(b"x-request-id"):
            text = named.decode("latin-1")
            exchange.client_request_id = text if CLIENT_REQUEST_ID.match(text) else None
        exchange.user_agent = headers.get(b"user-agent", b"")[:500].decode("latin-1")
        if plan := headers.get(drill.HEADER_BYTES):
            exchange.plan = drill.read(plan)
            exchange.drill = exchange.plan is not None
        if scope.get("client"):
            exchange.peer = scope["client"][0]
        if exchange.peer in settings.TRUSTED_PROXIES:
            # the close that we see is the proxy's, and the last address that it added is the client's
            exchange.peer_kind = "proxy"
            forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
            exchange.peer = forwarded.rpartition(",")[2].strip()[:64] or exchange.peer

    async def _read(self, exchange: Exchange, scope: dict[str, Any], receive: Receive) -> bytes:
        limit = settings.MAX_BODY_BYTES
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > limit:
                raise Refusal(Cause.BODY_TOO_LARGE, f"the body has {int(value)} bytes; the limit is {limit}")
        parts: list[bytes] = []
        while True:
            try:
                message = await receive()
            except asyncio.CancelledError:
                stop = exchange.take_interrupt()
                if stop is None:
                    raise
                raise Refusal(stop.cause, stop.detail) from None
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            exchange.request_bytes += len(part)
            exchange.last_request_byte = exchange.loop.time()
            if exchange.request_bytes > limit:
                raise Refusal(Cause.BODY_TOO_LARGE, f"the body is larger than the limit of {limit} bytes")
            parts.append(part)
            if not message.get("more_body"):
                return _decoded(scope, parts[0] if len(parts) == 1 else b"".join(parts), limit)

    async def _view(self, exchange: Exchange, scope: dict[str, Any], body: bytes) -> HttpResponseBase:
        request = ClientRequest(scope, body)
        request.exchange = exchange  # type: ignore[attr-defined]
        view = self.views.get(scope["path"])
        if view is not None:
            response = await view(request)
        else:
            try:
                match = resolve(scope["path"])
            except Resolver404:
                raise Refusal(Cause.NO_ROUTE, f"there is nothing at {scope['path']}") from None
            if not match.kwargs and not match.args:
                self.views[scope["path"]] = match.func
            response = await match.func(request, *match.args, **match.kwargs)
        if isinstance(response, HttpResponseNotAllowed):
            return _not_allowed(exchange, response["Allow"])
        return response

    async def _deliver(self, exchange: Exchange, delivery: Delivery, response: HttpResponseBase) -> None:
        headers = [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.items()]
        if self.draining or exchange.phase is Phase.RECEIVING:
            # The next request of this client belongs elsewhere, or could not be told from the rest of this one.
            headers.append((b"connection", b"close"))
        if isinstance(response, StreamingHttpResponse):
            async with aclosing(response._iterator) as blocks:  # type: ignore[attr-defined]
                # Every stream has its first block ready. The one that ends the answer takes the end of the body with it.
                first = await anext(blocks, b"")
                await delivery.begin(response.status_code, headers, first, not exchange.block_terminal)
                async for block in blocks:
                    await delivery.body(block, not exchange.block_terminal)
            if not delivery.gone and not delivery.ended:
                await delivery.body(b"", False)
            return
        assert isinstance(response, HttpResponse)
        content = response.content
        headers.append((b"content-length", b"%d" % len(content)))
        await delivery.begin(response.status_code, headers, content, False)
        if not delivery.gone and not exchange.occurrences:
            exchange.finish = exchange.finish or Outcome.COMPLETED
            exchange.sent_terminal = True

    def _cancelled(self, exchange: Exchange, delivery: Delivery) -> None:
        """The client left, or we stopped it where nobody could be told: while writing to a client that does not read."""
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if exchange.client_close is None:
            if exchange.interrupt is None and not exchange.occurrences:
                exchange.note(Cause.DRAIN_DEADLINE if self.draining else Cause.UNKNOWN)
            delivery.abort()

    async def _failed(self, exchange: Exchange, delivery: Delivery, error: Exception) -> None:
        exchange.stack = "".join(traceback.format_exception(error))
        exhausted = isinstance(error, MemoryError) or getattr(error, "errno", None) in (23, 24)
        cause = Cause.RELAY_EXHAUSTED if exhausted else Cause.BUG
        exchange.note(cause, f"{type(error).__name__}: {error}")
        refusal = Refusal(cause, "the gateway failed; its operators were told")
        dialect = dialect_of_path(exchange.path)
        if not exchange.headers_sent:
            await self._deliver(exchange, delivery, refuse(exchange, refusal, dialect, noted=True))
            return
        try:
            if not exchange.stream or exchange.opaque or delivery.gone:
                raise error
            told = client_error(exchange, cause, refusal.message)
            await delivery.body(dialect.error_frame(told, exchange.answer or Answer()), True)
            await delivery.body(b"", False)
        except Exception:  # noqa: BLE001 - a body that cannot say that it is broken is cut
            delivery.abort()


def _not_allowed(exchange: Exchange, allowed: str) -> HttpResponse:
    message = f"{exchange.path} takes {allowed}, and not {exchange.method}"
    answer = refuse(exchange, Refusal(Cause.BAD_REQUEST, message, 405), dialect_of_path(exchange.path))
    answer["Allow"] = allowed
    return answer


def _decoded(scope: dict[str, Any], body: bytes, limit: int) -> bytes:
    """The request's body without its content coding."""
    coding = next(
        (value.decode("latin-1").strip().lower() for name, value in scope["headers"] if name == b"content-encoding"), ""
    )
    if not body or coding in ("", "identity"):
        return body
    if coding not in KNOWN:
        raise Refusal(Cause.BAD_REQUEST, f"content-encoding {coding!r} is not known; send gzip, deflate, br, zstd or none", 415)
    decoder = Decoder(coding, limit)
    try:
        decoded = decoder.feed(body)
    except TooLarge:
        raise Refusal(Cause.BODY_TOO_LARGE, f"the body inflates to more than the limit of {limit} bytes") from None
    except BadCompression as error:
        raise Refusal(Cause.BAD_REQUEST, str(error)) from None
    if not decoder.finished:
        raise Refusal(Cause.BAD_REQUEST, f"the {coding} body is cut short")
    return decoded


async def _watch(receive: Receive, exchange: Exchange) -> None:
    """Without our protocol class (daphne) only the fact of leaving is known, not its kind."""
    while (await receive())["type"] != "http.disconnect":
        pass
    exchange.client_left(ClientClose(how="", cause=Cause.UNKNOWN))
