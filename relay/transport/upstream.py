"""The way out: httpx's request and response types over aiohttp's connections and parser.

One transport per process and event loop. It sends what it is given: no header, cookie, redirect, retry or
decompression of its own. The connect timeout is its only clock; the supervisor's watchdog keeps all others. Whatever
fails is a `TransportFailure`, and whatever is cancelled, wherever that is, closes its socket at once.

Connector and protocol are used directly: aiohttp's session, request and response objects cost more than the exchange
itself, and between them they lose where it failed. tests/bench/transport.py measures it: 0.85 of a bare session's CPU for
one chunk, httpx's types included, and 0.88 for a hundred; the session's own `TraceConfig` would have cost 1.2.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import aiohttp
import httpx
from aiohttp.connector import Connection
from yarl import URL

from relay.ending import Cause
from relay.transport import causes
from relay.transport.body import UpstreamBody
from relay.transport.connector import Target, UpstreamConnector, trusting
from relay.transport.facts import ConnectionFacts, TransportFailure
from relay.transport.headers import headers_of
from relay.transport.protocol import UpstreamProtocol

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
KEPT_TARGETS = 1024  # more origins than this, and the table starts anew


class UpstreamTransport(httpx.AsyncBaseTransport):
    """Sends one request at a time as a call, any number at once.

    Reads of `request.extensions`: `timeout` (its `connect`, in seconds), `proxy` (an address or none), `ca_bundle`
    (a path or none), `fresh` (a new connection, for the retry after a reused one was dead). `response.stream` is an
    `UpstreamBody`, and `response.extensions["connection"]` the `ConnectionFacts`.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connector: UpstreamConnector | None = None
        self._targets: dict[tuple[str, bytes, str | None, str | None], Target] = {}
        self._trusts: dict[str, ssl.SSLContext] = {}
        self._timeouts: dict[float | None, aiohttp.ClientTimeout] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        extensions = request.extensions
        url = request.url
        key = (url.scheme, url.netloc, extensions.get("proxy"), extensions.get("ca_bundle"))
        target = self._targets.get(key) or await self._target(*key)
        try:
            body = request.content
        except httpx.RequestNotRead:
            body = await request.aread()
        head = _head(request, target, len(body))
        facts = extensions["connection"] = ConnectionFacts()  # so that a caller who cancels knows how far it came
        if extensions.get("fresh"):
            target = target.fresh()
        connection = await self._connect(target, extensions.get("timeout"), facts)
        protocol: UpstreamProtocol = connection.protocol  # type: ignore[assignment]
        try:
            protocol.begin(facts, bodiless=request.method == "HEAD")
            protocol.send(head, body)
            message, payload = await protocol.read()
            while message.code < 200 and message.code != 101:
                message, payload = await protocol.read()
            if message.code == 101:
                detail = "the upstream switched protocols unasked"
                raise TransportFailure(Cause.UPSTREAM_PROTOCOL, detail, connection=facts)
        except BaseException as error:
            protocol.abort()
            connection.close()
            if isinstance(error, aiohttp.ServerDisconnectedError | OSError):  # lost before it was taken
                below = error if isinstance(error, OSError) else None
                cause, detail = causes.of_loss(below, unsent=False, answered=False, received=0)
                raise TransportFailure(cause, detail, connection=facts) from error
            raise
        assert self._loop is not None
        return httpx.Response(
            message.code,
            headers=headers_of(message.raw_headers),
            stream=UpstreamBody(self._loop, connection, protocol, payload),
            extensions={"connection": facts, "reason_phrase": message.reason.encode("utf-8", "surrogateescape")},
        )

    async def aclose(self) -> None:
        """Close every connection, in use or not."""
        connector = self._connector
        if connector is not None:
            await connector.close()

    async def _connect(self, target: Target, timeout: Any, facts: ConnectionFacts) -> Connection:
        connector = self._connector
        assert connector is not None and self._loop is not None
        seconds = timeout.get("connect") if timeout else None
        limits = self._timeouts.get(seconds)
        if limits is None:
            # aiohttp rounds timeouts beyond the threshold up to whole seconds; ours are exact.
            limits = aiohttp.ClientTimeout(connect=seconds, ceil_threshold=float("inf"))
            if len(self._timeouts) < KEPT_TARGETS:
                self._timeouts[seconds] = limits
        started = self._loop.time()
        try:
            connection = await connector.connect(target, [], limits)  # type: ignore[arg-type]
        except Exception as error:
            facts.connect_start = started
            failure = causes.of_connecting(error, target.place, secure=target.secure, proxied=target.proxy is not None)
            if failure is None:
                raise
            failure.connection = facts
            raise failure from error
        if not connection.protocol.exchanges:  # type: ignore[union-attr]
            facts.connect_start, facts.connected = started, self._loop.time()
        return connection

    async def _target(self, scheme: str, netloc: bytes, proxy: str | None, ca_bundle: str | None) -> Target:
        if self._connector is None:
            self._loop = asyncio.get_running_loop()
            self._connector = UpstreamConnector(self._loop)
        trust: ssl.SSLContext | bool = True
        if ca_bundle is not None:
            trust = self._trusts.get(ca_bundle) or await self._trust(ca_bundle)
        try:
            origin = URL(f"{scheme}://{netloc.decode('ascii')}/")
            target = Target(origin, URL(proxy) if proxy else None, trust)
        except (ValueError, AssertionError) as error:
            raise TransportFailure(Cause.DNS, "the upstream's address, or its proxy's, is not a URL") from error
        if len(self._targets) >= KEPT_TARGETS:
            self._targets.clear()
        self._targets[scheme, netloc, proxy, ca_bundle] = target
        return target

    async def _trust(self, ca_bundle: str) -> ssl.SSLContext:
        try:
            context = await asyncio.to_thread(trusting, ca_bundle)
        except OSError as error:
            raise TransportFailure(Cause.TLS, f"the CA bundle cannot be used: {causes.told(error)}") from error
        return self._trusts.setdefault(ca_bundle, context)


def _head(request: httpx.Request, target: Target, length: int) -> bytes:
    """Request line and headers. The body is sent whole, so its length takes the place of any other framing."""
    lines = [b"%b %b%b HTTP/1.1" % (request.method.encode("ascii"), target.path_prefix, request.url.raw_path)]
    fields = request.headers._list  # (as it came, in lower case, value)
    lines += [b"%b: %b" % (name, value) for name, lower, value in fields if lower != b"transfer-encoding"]
    given = {lower for _, lower, _ in fields}
    if b"content-length" not in given and (length or request.method in WITH_BODY):
        lines.append(b"Content-Length: %d" % length)
    if b"host" not in given:
        lines.insert(1, b"Host: " + target.headers["Host"].encode("ascii"))
    if target.proxy_authorization:
        lines.append(b"Proxy-Authorization: " + target.proxy_authorization)
    count = len(lines)
    head = b"\r\n".join(lines)
    if head.count(b"\n") != count - 1 or head.count(b"\r") != count - 1 or b"\0" in head:
        raise TransportFailure(Cause.BUG, "a request header holds a line break or NUL, and was not sent")
    return head + b"\r\n\r\n"
