"""One connection: reads requests, carries out steps, and notes how the other side left.

An `asyncio.Protocol` and no stream reader, because only a protocol sees FIN and reset apart (`eof_received`,
`connection_lost(exc)`). Whatever is being played is cancelled the moment the other side leaves, so that `ended_at`
can be compared with the client's leaving.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable
from typing import cast

from . import http1, websocket
from .http1 import BadRequest, Request
from .ledger import Ended, Fate, Record
from .steps import Close, Cut, End, Framing, Head, Hold, Mute, Pause, Reset, Step, Steps, Wire
from .websocket import WebSocketSession

log = logging.getLogger(__name__)

FLUSH_SECONDS = 2.0
LINGER_ZERO = struct.pack("ii", 1, 0)  # close() then sends RST

Answerer = Callable[[Request, "Connection"], tuple[Record | None, Steps]]


class Connection(asyncio.Protocol):
    """`answer` gives, for a request, its record (None: not recorded) and the steps to carry out."""

    def __init__(self, number: int, answer: Answerer, left: Callable[[Connection], None]) -> None:
        self.fate = Fate(number)
        self.ordinal = 0
        self._answer = answer
        self._left = left
        self._buffer = bytearray()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._framing = Framing.CLOSE
        self._request: Request | None = None
        self.made = False  # the loop accepts a connection one turn before it makes it ours

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.made = True
        self.task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._arrived.set()

    def eof_received(self) -> None:
        self.fate.seal(Ended.CLIENT_FIN)
        self.task.cancel()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fate.seal(Ended.CLIENT_RESET if exc and not isinstance(exc, ssl.SSLError) else Ended.CLIENT_FIN)
        self.task.cancel()
        self._left(self)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def abort(self) -> None:
        """Ends it at once, from our side."""
        self.fate.seal(Ended.WE_CLOSED)
        self._transport.abort()
        self.task.cancel()

    # Requests

    async def _serve(self) -> None:
        try:
            while not self._transport.is_closing():
                self._request = await self._read_request()
                if websocket.wants_websocket(self._request):
                    await WebSocketSession(self, self._request, lambda request: self._answer(request, self)).run()
                    return
                self.ordinal += 1
                record, play = self._answer(self._request, self)
                await self._perform(play, record)
                if not self._request.keeps_alive:
                    self.close()
        except BadRequest as error:
            await self.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n" + str(error).encode())
            self.close()
        except Exception:
            log.exception("a play failed: %s", self._request and self._request.target)
            self.abort()

    async def _read_request(self) -> Request:
        head = (await self._take_until(b"\r\n\r\n", http1.MAX_HEAD)).removesuffix(b"\r\n\r\n")
        request = http1.parse_head(head)
        if request.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "chunked" in request.headers.get("transfer-encoding", "").lower():
            body = await self._read_chunks()
        else:
            body = await self.take(http1.parse_number(request.headers.get("content-length", "0")))
        return Request(request.method, request.target, request.headers, body)

    async def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := http1.parse_number((await self._take_until(b"\r\n", 1024)).decode("latin-1"), 16):
            body += (await self.take(size + 2))[:-2]
        while await self._take_until(b"\r\n", http1.MAX_HEAD) != b"\r\n":
            pass  # trailers
        return bytes(body)

    async def take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            await self._more()
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    async def _take_until(self, mark: bytes, limit: int) -> bytes:
        while (at := self._buffer.find(mark)) < 0:
            if len(self._buffer) > limit:
                raise BadRequest("too long")
            await self._more()
        return await self.take(at + len(mark))

    async def _more(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()

    # Steps

    async def _perform(self, play: Steps, record: Record | None) -> None:
        """Carries out the steps; a play without an ending of its own ends its body properly."""
        ended = False
        try:
            for step in play:
                if isinstance(step, bytes):
                    await self.write(http1.frame(step, self._framing), record, piece=True)
                else:
                    ended = await self._carry_out(step, record)
            if not ended:
                await self._end(record)
            if record:
                record.answered, record.answered_at = True, time.time()
        finally:
            play.close()

    async def _carry_out(self, step: Step, record: Record | None) -> bool:
        """One step that is no piece of the body; tells whether it ended the answer."""
        match step:
            case Head():
                await self._head(step, record)
            case Wire(data):
                await self.write(data, record)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Hold():
                await asyncio.Event().wait()  # until the task is cancelled: the other side left, or the server stops
            case Mute():
                pass
            case End():
                await self._end(record)
                return True
            case Cut() | Close():
                self.close()
                return True
            case Reset():
                await self.reset()
                return True
        return False

    async def _head(self, head: Head, record: Record | None) -> None:
        self._framing = head.framing
        if record:
            record.status = head.status
        keep_alive = self._request is not None and self._request.keeps_alive
        await self.write(http1.render_head(head, keep_alive), record)

    async def write(self, data: bytes, record: Record | None = None, piece: bool = False) -> None:
        if record:  # counted first: whoever has read the bytes finds them in the log
            record.bytes_written += len(data)
            record.pieces += piece
        if data:
            self._transport.write(data)
        await asyncio.sleep(0)  # other connections have their turn, also when this one never blocks
        await self._writable.wait()

    async def _end(self, record: Record | None) -> None:
        await self.write(http1.closing(self._framing), record)
        if self._framing is Framing.CLOSE:
            self.close()

    def close(self) -> None:
        self.fate.seal(Ended.WE_CLOSED)
        self._transport.close()

    async def reset(self) -> None:
        """A reset discards what the kernel has not sent yet, so everything must have been acknowledged before."""
        sock = self._transport.get_extra_info("socket")
        deadline = time.monotonic() + FLUSH_SECONDS
        # Polled, since the kernel tells nobody when its queue is empty.
        while time.monotonic() < deadline and (self._transport.get_write_buffer_size() or _unsent(sock)):
            await asyncio.sleep(0.001)
        self.fate.seal(Ended.WE_CLOSED)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
        self._transport.abort()


def _unsent(sock: socket.socket) -> int:
    """Bytes that the other side's kernel has not acknowledged (Linux)."""
    try:
        return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4), "little")
    except OSError:
        return 0
