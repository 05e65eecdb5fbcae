"""Responses over WebSocket: each message of the client is a request of its own, and ends like one.

A turn goes through the handler of HTTP requests, dressed as one: so it is authenticated, routed, relayed, translated and
recorded by the same code, and has exactly one ending. Here the answer's events become messages, and the close of the
connection becomes what a client's leaving is there. Turns of one connection follow each other; the server pings.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from django.conf import settings
from django.http.response import HttpResponseBase

from relay import routing
from relay.api.asking import ask
from relay.api.authentication import ClientKeyAuth, secret_of
from relay.client_side import ClientClose
from relay.ending import Cause
from relay.exchange import Exchange
from relay.refusal import Refusal
from relay.server.handler import RelayHandler
from relay.server.protocol import EXTENSION
from relay.server.request import ClientRequest
from relay.server.websocket import UNANSWERED
from relay.wire.registry import DIALECTS
from relay.wire.sse import SSEScanner

METHOD = "WEBSOCKET"
DIALECT = DIALECTS["responses"]
OF_THE_UPGRADE = (b"sec-websocket-", b"upgrade", b"connection", b"content-length")
LEFT = {1000: Cause.FIN, 1001: Cause.FIN, 1005: Cause.FIN}  # by choice, with a close frame; all else is a reset
SERVICE_RESTART, UPGRADE_REFUSED = 1012, 426


class SocketConnection:
    """Stands where a TCP connection of ours stands for HTTP requests (relay/server/protocol.py)."""

    def __init__(self, consumer: ResponsesSocket) -> None:
        self.consumer = consumer
        self.watcher: Any = None
        self.close: ClientClose | None = None
        self.blocked_since: float | None = None
        self.upstream_sockets: dict[Any, Any] = {}  # connections to upstreams that hold this client's state

    def left(self, code: int | None, reason: str = "") -> None:
        """The client's connection ended with this close code; none: without a close frame."""
        how = f"ws-{code or 1006}" + (f" {reason}"[:100] if reason else "")
        self._closed(ClientClose(how=how, cause=LEFT.get(code or 1006, Cause.CLIENT_RESET)))

    def given_up(self, seconds: float) -> None:
        """We ended the client's connection: a ping had not been answered for so long."""
        why = f"the client answered no ping for {seconds:.0f} s"
        self._closed(ClientClose(how="no-pong", cause=Cause.TCP_TIMEOUT, detail=why))

    def _closed(self, close: ClientClose) -> None:
        if self.close is None:
            self.close = close
            if self.watcher is not None:
                self.watcher(close)

    def blocked_for(self, now: float) -> float:
        return 0.0 if self.blocked_since is None else max(now - self.blocked_since, 0.0)

    def unread_for(self, now: float) -> float:
        return self.blocked_for(now)

    def unheard_for(self) -> float | None:
        return None

    def snapshot(self) -> ClientClose:
        return ClientClose(how="", cause=Cause.UNKNOWN)

    def writable(self) -> bool:
        return False

    def cork(self) -> None: ...

    def uncork(self) -> None: ...

    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.consumer.give_up()


class TurnHandler(RelayHandler):
    """The handler of HTTP requests, whose one view reads a `response.create` message."""

    async def _view(self, exchange: Exchange, scope: dict[str, Any], body: bytes) -> HttpResponseBase:
        request = ClientRequest(scope, body)
        if not settings.RESPONSES_WEBSOCKET:
            raise Refusal(Cause.BAD_REQUEST, "Responses are not offered over a WebSocket here; use HTTP", UPGRADE_REFUSED)
        exchange.upstream_sockets = scope["extensions"][EXTENSION].upstream_sockets
        request.exchange = exchange  # type: ignore[attr-defined]
        request.auth = await ClientKeyAuth()(request)  # type: ignore[attr-defined]
        request._body = orjson.dumps(created(body))
        request.method = "POST"
        return await ask(request, DIALECT)


def created(text: bytes) -> dict[str, Any]:
    """The body of the HTTP request that a message stands for.

    Raises:
        Refusal: it is no `response.create`, or asks for what one connection to us cannot give.
    """
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Refusal(Cause.BAD_REQUEST, f"the message is not JSON: {error}") from None
    if not isinstance(message, dict) or message.get("type") != "response.create":
        raise Refusal(Cause.BAD_REQUEST, "the message's type is not response.create")
    if message.get("background"):
        raise Refusal(Cause.BAD_REQUEST, "background cannot be asked for over a WebSocket")
    if message.get("stream_id") is not None:
        raise Refusal(Cause.BAD_REQUEST, "stream_id: responses of one connection follow each other here; use several")
    if message.get("generate") is False:
        raise Refusal(Cause.BAD_REQUEST, "generate is false; there is nothing to warm up here")
    return {name: value for name, value in message.items() if name not in ("type", "background", "generate")} | {"stream": True}


class TurnOutput:
    """ASGI's `send` of one turn: events become messages, and an error answer an `error` message."""

    def __init__(self, socket: ResponsesSocket) -> None:
        self._socket = socket
        self._scanner = SSEScanner()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.content = b""

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], message["headers"]
        elif self.status != 200:
            self.content += message.get("body", b"")
            if not message.get("more_body"):
                await self._socket.say(orjson.dumps({"type": "error", "status": self.status, **self._error()}).decode())
        else:
            for frame in self._scanner.feed(message.get("body", b"")):
                if not frame.comment_only and frame.data != b"[DONE]":
                    await self._socket.say(frame.data.decode("utf-8", "replace"))

    def _error(self) -> dict[str, Any]:
        try:
            body = orjson.loads(self.content)
        except orjson.JSONDecodeError:
            body = None
        error = body.get("error") if isinstance(body, dict) else None
        return {"error": error if isinstance(error, dict) else {"message": self.content[:2000].decode("utf-8", "replace")}}


class ResponsesSocket(AsyncConsumer):
    """One connection of a client."""

    handler = TurnHandler(None)

    async def websocket_connect(self, message: dict[str, Any]) -> None:
        self.connection = SocketConnection(self)
        self.turns: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.worker: asyncio.Task[None] | None = None
        self.over = False
        secret = secret_of(ClientRequest(self._http_scope(), b""))
        if not settings.RESPONSES_WEBSOCKET or not secret or routing.current().key_for(secret) is None:
            refused = TurnOutput(self)
            self.over = True  # nothing can be said before the upgrade
            await self.handler.relay(self._http_scope(), _one_body(b""), refused)  # recorded, and answered as HTTP is
            await self._deny(refused)
            return
        await self.send({"type": "websocket.accept"})
        self.worker = asyncio.create_task(self._work())

    async def _deny(self, refused: TurnOutput) -> None:
        if "websocket.http.response" in (self.scope.get("extensions") or {}):
            headers = refused.headers
            if refused.status == UPGRADE_REFUSED:
                headers = [*headers, (b"upgrade", b"HTTP/1.1")]  # RFC 9110, section 15.5.22: to what, then
            await self.send({"type": "websocket.http.response.start", "status": refused.status, "headers": headers})
            await self.send({"type": "websocket.http.response.body", "body": refused.content})
        else:
            await self.send({"type": "websocket.close"})

    async def websocket_receive(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        self.turns.put_nowait(text.encode() if text is not None else message.get("bytes") or b"")

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        self.over = True
        if UNANSWERED in message:
            self.connection.given_up(message[UNANSWERED])
        else:
            self.connection.left(message.get("code"), message.get("reason") or "")
        self.turns.put_nowait(None)
        if self.worker is not None:
            await self.worker
        for socket in self.connection.upstream_sockets.values():
            socket.transport.abort()
        raise StopConsumer

    async def _work(self) -> None:
        """The turns, one after the other."""
        while (text := await self.turns.get()) is not None and not self.over:
            turn = asyncio.create_task(self.handler.relay(self._http_scope(), _one_body(text), TurnOutput(self)))
            await asyncio.wait([turn])

    async def say(self, text: str) -> None:
        """One message; to a client that has gone, nothing."""
        if self.over:
            return
        loop = asyncio.get_running_loop()
        self.connection.blocked_since = loop.time()
        try:
            await self.send({"type": "websocket.send", "text": text})
        except OSError:  # the server's word for a peer that is gone; its close code follows by itself
            self.over = True
            self.connection.left(None)
        finally:
            self.connection.blocked_since = None

    def give_up(self) -> None:
        """Ends the connection because the relay must: it is being stopped, or the client does not read."""
        if not self.over:
            self.over = True
            task = asyncio.ensure_future(self.send({"type": "websocket.close", "code": SERVICE_RESTART}))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _http_scope(self) -> dict[str, Any]:
        """The upgrade as the HTTP request that a turn is."""
        scope = self.scope
        headers = [pair for pair in scope["headers"] if not pair[0].startswith(OF_THE_UPGRADE)]
        return {
            "type": "http",
            "http_version": "1.1",
            "method": METHOD,
            "scheme": "http",
            "path": scope["path"],
            "query_string": b"",
            "root_path": "",
            "headers": [*headers, (b"content-type", b"application/json")],
            "client": scope.get("client"),
            "server": scope.get("server"),
            "extensions": {EXTENSION: self.connection},
        }


def _one_body(text: bytes) -> Any:
    """ASGI's `receive` of a request whose body is there."""
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": text, "more_body": False}

    return receive
