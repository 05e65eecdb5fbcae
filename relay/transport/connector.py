"""The pool of connections, and the places that they lead to.

aiohttp's connector keeps the pool, resolves names, races addresses, speaks TLS and CONNECT; what it asks of a request
is the little that `Target` holds, so the relay needs neither aiohttp's session nor its request objects. Connections of
one `Target.connection_key` are interchangeable; a key that is `Fresh` equals the ordinary one but takes none from
the pool, while the connection that it makes can be reused like any other.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import ssl
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import hdrs
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import Connection
from yarl import URL

from relay.transport.protocol import UpstreamProtocol

KEEPALIVE = 30.0  # seconds that an idle connection is kept
AUTOMATIC_HEADERS = (hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.USER_AGENT)


class Fresh(ConnectionKey):
    """A key that asks for a new connection."""


class Target:
    """Where requests of one origin go, through which proxy and trusting whom: what the connector asks of a request."""

    server_hostname: str | None = None  # only differs from the host for tunnels of aiohttp's own
    proxy_auth = None  # is in the proxy's address

    def __init__(self, origin: URL, proxy: URL | None, trust: ssl.SSLContext | bool) -> None:
        assert origin.raw_host is not None
        self.url = origin
        self.host = origin.raw_host
        self.port = origin.port
        self.ssl = trust
        self.proxy = proxy
        self.proxy_headers: dict[str, str] = {}
        self.headers: dict[str, str] = {hdrs.HOST: origin.host_port_subcomponent or self.host}
        self.place = f"{self.host}:{self.port}"
        self.secure = origin.scheme == "https"
        self.proxy_authorization = _basic(proxy) if proxy is not None and not self.secure else b""
        # A proxy is sent the whole address of a plain request, and none of one that goes through a tunnel.
        self.path_prefix = b"" if proxy is None or self.secure else str(origin.origin()).encode()
        self.connection_key = ConnectionKey(self.host, self.port, self.secure, trust, proxy, None, None, self.server_hostname)

    def is_ssl(self) -> bool:
        return self.secure

    @property
    def request_info(self) -> Any:  # asked for by aiohttp when it tunnels TLS through a TLS proxy
        return aiohttp.RequestInfo(self.url, "CONNECT", self.headers, self.url)  # type: ignore[arg-type]

    def fresh(self) -> Target:
        """The same place, by a new connection."""
        other = Target.__new__(Target)
        other.__dict__.update(self.__dict__, connection_key=Fresh(*self.connection_key))
        return other


class UpstreamConnector(aiohttp.TCPConnector):
    """aiohttp's connector with our protocol for its connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop, limit=0, keepalive_timeout=KEEPALIVE)
        self._factory = functools.partial(UpstreamProtocol, loop)  # type: ignore[assignment]

    async def _get(self, key: ConnectionKey, traces: list[Any]) -> Connection | None:
        if type(key) is Fresh:
            return None
        return await super()._get(key, traces)

    def _update_proxy_auth_header_and_build_proxy_req(self, req: ClientRequest) -> ClientRequest:
        built = super()._update_proxy_auth_header_and_build_proxy_req(req)
        for name in AUTOMATIC_HEADERS:
            built.headers.pop(name, None)
        return built


def _basic(proxy: URL) -> bytes:
    """What a proxy wants as `Proxy-Authorization` for the credentials in its address; empty when there are none."""
    if not proxy.user and not proxy.password:
        return b""
    return b"Basic " + base64.b64encode(f"{proxy.user or ''}:{proxy.password or ''}".encode())


def trusting(ca_bundle: str) -> ssl.SSLContext:
    """A TLS context that trusts the certificates of a file or folder alone. Reads from disk: call it in a thread."""
    folder = Path(ca_bundle).is_dir()
    context = ssl.create_default_context(cafile=None if folder else ca_bundle, capath=ca_bundle if folder else None)
    context.set_alpn_protocols(["http/1.1"])
    return context
