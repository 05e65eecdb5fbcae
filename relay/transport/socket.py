"""Responses over WebSocket towards an upstream: one turn of a connection, in the shape of an HTTP answer.

The request's body becomes a `response.create` message, each message of the answer an event of an event stream, so that
nothing above this file knows the difference. What only a WebSocket knows is told through extensions: the close code
(`on_close`), and that a ping had no answer in time (`on_silence`); `pings` says how often they are sent and how long an
answer may take. A connection outlives its turn only where the caller keeps it (extension `sockets`): there the upstream holds
the state that `previous_response_id` names.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from relay.ending import Cause
from relay.transport.body import Sink
from relay.transport.connector import trusting
from relay.transport.facts import ConnectionFacts, TransportFailure

LARGEST_MESSAGE = 64 * 1024 * 1024
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
OF_HTTP = frozenset({"host", "connection", "content-length", "content-type", "accept-encoding", "accept", "transfer-encoding"})
NOT_SENT = ("stream", "background")  # of the HTTP request's body
NO_CLOSE_FRAME = 1006
SCHEMES = frozenset({"ws", "wss"})

Sockets = dict[tuple[str, str], ClientConnection]


class _Connect(connect):
    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc  # a redirect is never followed: the credential is for one address


async def open_turn(request: httpx.Request) -> httpx.Response:
    """Sends the request as one turn, on a connection that is kept or on a new one.

    Raises:
        TransportFailure: there is no connection, or a kept one was dead.
    """
    extensions = request.extensions
    facts = extensions["connection"] = ConnectionFacts()
    kept: Sockets | None = extensions.get("sockets")
    key = (str(request.url), request.headers.get("authorization", ""))
    loop = asyncio.get_running_loop()
    socket = kept.pop(key, None) if kept is not None and not extensions.get("fresh") else None
    if socket is not None:
        facts.reused = True
    else:
        facts.connect_start = loop.time()
        try:
            socket = await _connected(request)
        except InvalidStatus as refused:
            answer, body = refused.response, _Refusal(bytes(refused.response.body or b""))
            return httpx.Response(answer.status_code, headers=list(answer.headers.raw_items()), stream=body)
        facts.connected = loop.time()
    message = {name: value for name, value in orjson.loads(request.content).items() if name not in NOT_SENT}
    try:
        await socket.send(orjson.dumps({"type": "response.create", **message}).decode())
    except ConnectionClosed as error:
        raise TransportFailure(Cause.EOF, "the WebSocket was closed before the turn", connection=facts) from error
    facts.request_sent = loop.time()
    headers = [("content-type", "text/event-stream")]
    if socket.response is not None:
        headers += [pair for pair in socket.response.headers.raw_items() if pair[0].lower() in ("x-request-id", "cf-ray")]
    return httpx.Response(200, headers=headers, stream=SocketBody(socket, kept, key, extensions))


async def _connected(request: httpx.Request) -> ClientConnection:
    extensions, url = request.extensions, request.url
    place = f"{url.host}:{url.port or (443 if url.scheme == 'wss' else 80)}"
    every, within = extensions["pings"]
    options: dict[str, Any] = {}
    if url.scheme == "wss" and extensions.get("ca_bundle"):
        options["ssl"] = await asyncio.to_thread(trusting, extensions["ca_bundle"])
    try:
        return await _Connect(
            str(url),
            additional_headers=[(name, value) for name, value in request.headers.items() if name.lower() not in OF_HTTP],
            user_agent_header=None,
            compression=None,
            proxy=extensions.get("proxy"),
            open_timeout=(extensions.get("timeout") or {}).get("connect"),
            ping_interval=every,
            ping_timeout=within,
            max_size=LARGEST_MESSAGE,
            **options,
        )
    except InvalidStatus:
        raise
    except (OSError, TimeoutError, InvalidHandshake, InvalidURI, EOFError) as error:
        raise TransportFailure(_cause(error), f"no WebSocket to {place}: {type(error).__name__}") from error


def _cause(error: Exception) -> Cause:
    match error:
        case TimeoutError():
            return Cause.CONNECT_TIMEOUT
        case ssl.SSLError():
            return Cause.TLS
        case ConnectionRefusedError():
            return Cause.CONNECT_REFUSED
        case InvalidURI():
            return Cause.DNS
        case ConnectionResetError():
            return Cause.RESET
        case OSError(errno=number) if number is not None and number < 0:  # of getaddrinfo
            return Cause.DNS
        case OSError():
            return Cause.UNREACHABLE
    return Cause.UPSTREAM_PROTOCOL


class SocketBody(httpx.AsyncByteStream):
    """The messages of one turn as events; see `UpstreamBody`, whose shape it has."""

    def __init__(
        self,
        socket: ClientConnection,
        kept: Sockets | None,
        key: tuple[str, str],
        told: Mapping[str, Any],
    ) -> None:
        self._socket = socket
        self._kept = kept
        self._key = key
        self._on_close: Callable[[int, str], None] | None = told.get("on_close")
        self._on_silence: Callable[[float], None] | None = told.get("on_silence")
        self.at_eof = False

    async def read(self) -> bytes:
        """The next event; empty behind the terminal one.

        Raises:
            TransportFailure: the connection was closed before that.
        """
        if self.at_eof:
            return b""
        try:
            text = await self._socket.recv(decode=False)
        except ConnectionClosed as closed:
            raise self._closed(closed) from closed
        assert isinstance(text, bytes)
        try:
            event = orjson.loads(text)
        except orjson.JSONDecodeError:
            event = None
        kind = event.get("type") if isinstance(event, dict) else None
        self.at_eof = kind in TERMINAL
        if b"\n" in text or b"\r" in text:
            text = orjson.dumps(event) if event is not None else b" ".join(text.splitlines())
        head = f"event: {kind}\n".encode() if isinstance(kind, str) and kind.isprintable() else b""
        return head + b"data: " + text + b"\n\n"

    async def flow(self, sink: Sink) -> None:
        """Each message wakes its reader."""

    def _closed(self, closed: ConnectionClosed) -> TransportFailure:
        self.at_eof = True
        if closed.rcvd is None and closed.sent is not None and closed.sent.code == 1011:
            seconds = self._socket.ping_timeout or 0.0
            if self._on_silence is not None:
                self._on_silence(seconds)
            return TransportFailure(Cause.IDLE_TIMEOUT, f"the upstream answered no ping for {seconds:.0f} s")
        code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd is not None else (NO_CLOSE_FRAME, "")
        if self._on_close is not None:
            self._on_close(code, reason)
        said = f"the upstream closed the WebSocket with code {code}" if code != NO_CLOSE_FRAME else "the WebSocket broke off"
        return TransportFailure(Cause.WS_CLOSE, said + (f": {reason}" if reason else ""))

    def read_nowait(self) -> bytes:
        return b""

    def discard(self, grace: float) -> None:
        """The turn is over: the connection is kept for the next one, or closed."""
        if self.at_eof and self._kept is not None and self._key not in self._kept:
            self._kept[self._key] = self._socket
        else:
            self._socket.transport.close()

    async def aclose(self) -> None:
        """Closes the connection at once, unless it is kept."""
        if self._kept is None or self._kept.get(self._key) is not self._socket:
            self._socket.transport.abort()


class _Refusal(httpx.AsyncByteStream):
    """The body of an answer that refused the upgrade."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.at_eof = False

    async def read(self) -> bytes:
        content, self._content = self._content, b""
        return content

    def read_nowait(self) -> bytes:
        return b""

    def discard(self, grace: float) -> None: ...

    async def aclose(self) -> None: ...
