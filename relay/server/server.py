"""A worker's server: uvicorn with our protocol class, and a shutdown that tells every stream before it goes.

uvicorn alone waits for streams without limit, or cancels their tasks without awaiting them, so that no ending would be
recorded. Here: on SIGTERM new requests are refused and `/readyz` says 503; streams have `DRAIN_SECONDS`; then each is
stopped (it sends its error event), and what does not stop within a second is aborted and awaited.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from django.conf import settings

from errorlog.capture import install_in_loop
from relay.ending import Cause
from relay.exchange import LIVE
from relay.server.handler import RelayHandler
from relay.server.protocol import WatchedProtocol
from relay.server.websocket import WatchedSocket

STOP_SECONDS = 1.0
FRESH_SECONDS = 0.5  # for the first request of a connection that was accepted just before the end
log = logging.getLogger(__name__)


class GatewayServer(uvicorn.Server):
    """uvicorn's server with a drain of its own, whose tasks do not fail unseen."""

    def __init__(self, config: uvicorn.Config, loaded: Callable[[], None]) -> None:
        """`loaded` is called once all that serving needs is there."""
        super().__init__(config)
        self._loaded = loaded

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        install_in_loop(asyncio.get_running_loop())
        await super().startup(sockets)
        self._loaded()

    def _unheard(self) -> bool:
        """Whether a connection was accepted whose first request has not come: it is on its way, and shall have its 503."""
        return any(isinstance(item, WatchedProtocol) and item.cycle is None for item in self.server_state.connections)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        RelayHandler.draining = True
        loop = asyncio.get_running_loop()
        deadline = loop.time() + settings.DRAIN_SECONDS
        if LIVE:
            log.info("draining: %d requests in flight have %d s", len(LIVE), settings.DRAIN_SECONDS)
        while LIVE and loop.time() < deadline:
            await asyncio.sleep(0.05)
        for exchange in list(LIVE):
            exchange.stop(Cause.DRAIN_DEADLINE, f"still open after {settings.DRAIN_SECONDS} s of draining")
        deadline = loop.time() + STOP_SECONDS
        while LIVE and loop.time() < deadline:
            await asyncio.sleep(0.02)
        for server in self.servers:
            server.close()
        deadline = loop.time() + FRESH_SECONDS
        while loop.time() < deadline and (LIVE or self._unheard()):
            await asyncio.sleep(0.02)
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for exchange in list(LIVE):
            if exchange.client is not None:
                exchange.client.abort()
            if exchange.task is not None:
                exchange.task.cancel()
        tasks = list(self.server_state.tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        for connection in list(self.server_state.connections):
            transport: Any = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        await self.lifespan.shutdown()
        self._captured_signals.clear()  # else uvicorn raises the signal again, and the exit code is -15


def serve(listener: socket.socket, loaded: Callable[[], None] = lambda: None) -> None:
    """Serves on `listener` until SIGTERM or SIGINT; returns when all is drained. Calls `loaded` when it begins."""
    config = uvicorn.Config(
        "proxy_project.asgi:application",
        http=WatchedProtocol,
        loop="uvloop",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        timeout_keep_alive=75,
        ws=WatchedSocket,
        ws_ping_interval=settings.WEBSOCKET_PING_SECONDS,
        ws_ping_timeout=settings.WEBSOCKET_PONG_SECONDS,
        ws_max_size=settings.MAX_BODY_BYTES,
    )
    GatewayServer(config, loaded).run(sockets=[listener])
