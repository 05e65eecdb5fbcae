"""The body of an upstream's answer, as it arrives.

What has arrived is always handed over before the failure that followed it. A body that was read whole gives its
connection back at once; one that was left closes it at once. Nothing here makes a task, and `aclose` never waits, so
it may run in any `finally`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

import httpx
from aiohttp.connector import Connection
from aiohttp.streams import StreamReader

from relay.transport.protocol import UpstreamProtocol


class Sink(Protocol):
    """Who takes a body's pieces as they come."""

    def ready(self) -> bool:
        """Whether `take` may be called now."""

    def take(self, data: bytes) -> bool:
        """Takes a piece, without waiting; False when it wants no more."""


class UpstreamBody(httpx.AsyncByteStream):
    """Reads one answer's body. One reader at a time; cancelling a read loses nothing, and the next one goes on."""

    __slots__ = ("_connection", "_content", "_failure", "_loop", "_protocol", "_timer", "at_eof")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        protocol: UpstreamProtocol,
        content: StreamReader,
    ) -> None:
        self._loop = loop
        self._connection: Connection | None = connection
        self._protocol = protocol
        self._content: StreamReader | None = content
        self._failure: Exception | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.at_eof = False  # everything was read, and it ended properly
        if content.at_eof():
            self._finish()

    async def read(self) -> bytes:
        """What is there, or the next that comes; `b""` at the proper end.

        Raises `TransportFailure` when the body ends otherwise, after everything that had arrived was read.
        """
        content = self._content
        if content is None:
            return self._ended()
        while not content._buffer:
            if content._exception is not None or content._eof:
                return self._end(content)
            # StreamReader._wait without its three wrappers: this is the relay's hottest await.
            content._waiter = waiter = self._loop.create_future()
            try:
                await waiter
            except Exception:  # noqa: BLE001 - whatever failed the body, `_end` maps it to its one cause
                return self._end(content)
            finally:
                content._waiter = None
        data = content._read_nowait(-1)
        if content._eof and not content._buffer and content._exception is None:
            self._finish()
        return data

    async def flow(self, sink: Sink) -> None:
        """Hands what comes to `sink` within the callback of the socket, so that no task wakes for it.

        Returns when the sink is not ready or wants no more, and when there is nothing but an end or a failure: `read` tells.
        """
        content, protocol = self._content, self._protocol
        if content is None or protocol.arrived is not None:
            return
        waiter: asyncio.Future[None] = self._loop.create_future()
        taking = False

        def arrived() -> None:
            nonlocal taking
            if taking or waiter.done():  # reading may resume the parser, which calls again in the midst of it
                return
            taking = True
            try:
                more = True
                while more and content._buffer:
                    more = sink.ready() and sink.take(content._read_nowait(-1))
                if not more or content._eof or content._exception is not None:
                    waiter.set_result(None)
            except Exception as error:  # noqa: BLE001 - it belongs to whoever waits, not to the socket
                waiter.set_exception(error)
            finally:
                taking = False

        protocol.arrived = arrived
        try:
            arrived()
            await waiter
        finally:
            protocol.arrived = None

    def read_nowait(self) -> bytes:
        """What is there without waiting; `b""` when that is nothing yet, or the end (`at_eof`). Raises as `read`."""
        content = self._content
        if content is None:
            return self._ended()
        if content._buffer:
            data = content._read_nowait(-1)
            if content._eof and not content._buffer and content._exception is None:
                self._finish()
            return data
        if content._exception is not None or content._eof:
            return self._end(content)
        return b""

    def interrupt(self, reason: Exception) -> None:
        """End the body for its reader with `reason`: a waiting `read` raises it now, else after what is there."""
        if self._content is not None and self._content._exception is None:
            self._content.set_exception(reason)

    def discard(self, grace: float) -> None:
        """The rest is not wanted: give the connection back when its end comes within `grace` seconds, else close.

        Returns at once. What comes is thrown away, at most as much as the read buffer takes.
        """
        content = self._content
        if content is None or self._timer is not None:
            return
        if content._exception is not None or (not content._eof and grace <= 0):
            self._close()
        elif content._eof:
            content._read_nowait(-1)
            self._finish()
        else:
            content._read_nowait(-1)
            self._timer = self._loop.call_later(grace, self._close)
            content.on_eof(self._finish)

    async def aclose(self) -> None:
        """Close the connection now, unless the body was read whole or is being discarded."""
        if self._timer is None:
            self._close()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while data := await self.read():
            yield data

    def _ended(self) -> bytes:
        if self.at_eof:
            return b""
        raise self._failure or httpx.StreamClosed()

    def _end(self, content: StreamReader) -> bytes:
        failure = content._exception
        if failure is None:
            self._finish()
            return b""
        self._failure = failure if isinstance(failure, Exception) else None
        self._close()
        raise failure

    def _finish(self) -> None:
        self.at_eof = True
        self._content = None
        connection, self._connection = self._connection, None
        if self._timer is not None:
            self._timer.cancel()  # it would keep all of this alive until the grace is over
        if connection is not None:
            self._protocol.rest()
            connection.release()

    def _close(self) -> None:
        content, self._content = self._content, None
        connection, self._connection = self._connection, None
        if connection is not None:
            self._protocol.abort()  # `close` would first wait for what is still to be written
            connection.close()
        if content is not None and content._exception is None:
            content.set_exception(self._failure or httpx.StreamClosed())  # nobody may wait for it any longer
