"""A server with our protocol class, in the test's own loop and on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from relay.server.protocol import WatchedProtocol


@contextlib.asynccontextmanager
async def serving(application: Any, protocol: type[WatchedProtocol] = WatchedProtocol) -> AsyncIterator[tuple[str, int]]:
    """Serves the application until the block ends, and every connection with it. Gives host and port."""
    config = uvicorn.Config(application, port=0, http=protocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server._serve())
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        await task
