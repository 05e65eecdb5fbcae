"""How the client's connection really closed: uvicorn's httptools protocol, with eyes.

Plain ASGI tells the application only that the client is gone. This subclass sees FIN, reset and write errors, takes a
snapshot of the socket at whichever comes first, and tells the one watcher of the connection. It leans on internals of
uvicorn 0.54.0 (`cycle`, `flow`, `pipeline`), which is pinned for it; tests/relay/server/test_protocol.py pins each fact.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from relay.client_side import ClientClose
from relay.ending import Cause
from relay.server.unframed import UnframedAnswer

EXTENSION = "epitaph.connection"
TCP_INFO_SIZE = 192  # and offsets in struct tcp_info (linux/tcp.h)
RETRANSMITS, PROBES = 2, 3  # bytes: how often in vain, since the last acknowledgement
LAST_ACK, BYTES_ACKED = 56, 120
QUEUED, NOTHING_QUEUED = struct.Struct("i"), bytes(4)
# The kernel's probes come at doubling distances: who answers them was heard of within the later half of any wait, and so
# well within this share of it.
PROBED_WITHIN = 0.75
UPGRADING = frozenset({b"upgrade", b"http2-settings"})
STATE = struct.Struct("=68xI28xI40xI28xQ")  # round trip, retransmits, bytes not sent, time of the closed window (in µs)


class Cork:
    """Takes the transport's place in uvicorn's cycle while an answer's head is written: it goes out with the first block."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.parts: list[bytes] = []
        self.closing = False

    def write(self, data: bytes) -> None:
        self.parts.append(data)

    def close(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing or self.transport.is_closing()


class ClientConnection:
    """One TCP connection of a client. `watcher` is called once, when the connection ends."""

    cycle: RequestResponseCycle | None = None  # uvicorn's, of the request that is being answered
    _cork: Cork | None = None

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self.loop = loop
        self.watcher: Callable[[ClientClose], None] | None = None
        self.objector: Callable[[str], None] | None = None  # refuses the request that is being read; says why
        self.close: ClientClose | None = None
        self.blocked_since: float | None = None
        self.acknowledged = 0  # bytes, as of the last look
        self.progress_at = 0.0  # when it was last seen to grow
        self.resume_reading: Callable[[], None] = transport.resume_reading
        self.abort: Callable[[], None] = transport.abort

    def ended(self, how: str, cause: Cause, write_errno: str = "") -> None:
        """The connection ended. The first sign counts."""
        if self.close is not None:
            return
        self.close = self.snapshot(how, cause, write_errno)
        if self.watcher is not None:
            self.watcher(self.close)

    def cork(self) -> None:
        """Keeps back what uvicorn writes until `uncork`, so that it is one segment: each write is a system call."""
        if self.cycle is not None:
            self.cycle.transport = self._cork = Cork(self.transport)  # type: ignore[assignment]

    def uncork(self) -> None:
        """Writes what was kept back."""
        cork, self._cork = self._cork, None
        if cork is None or self.cycle is None:
            return
        self.cycle.transport = self.transport
        if cork.parts:
            self.transport.write(b"".join(cork.parts))
        if cork.closing:
            self.transport.close()

    def write_chunk(self, data: bytes) -> None:
        """Writes one chunk of a body, as uvicorn's `send` would for a tenth of the cost; only where it is `writable`."""
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))

    def writable(self) -> bool:
        """Whether a chunk can be written now: the head is out, the client is there, and nothing waits to be written.

        False when there is anything that only `send` can do: wait, frame otherwise, or know that the client has gone.
        """
        cycle = self.cycle
        if cycle is None or self.blocked_since is not None or self._cork is not None:
            return False
        return not (cycle.disconnected or cycle.response_complete or not cycle.chunked_encoding)

    def blocked_for(self, now: float) -> float:
        """Seconds for which writing has been blocked."""
        return 0.0 if self.blocked_since is None else now - self.blocked_since

    def unheard_for(self) -> float | None:
        """Seconds since the client's kernel last acknowledged anything; None where that is not known.

        A client that reads nothing still acknowledges our probes of its closed window; one that vanished does not.
        """
        info = self._tcp_info()
        return struct.unpack_from("I", info, LAST_ACK)[0] / 1000 if info else None

    def unanswered(self) -> int:
        """How often the kernel has asked again, by probe or by sending again, since the client last acknowledged anything."""
        info = self._tcp_info()
        return info[RETRANSMITS] + info[PROBES] if info else 0

    def timed_out(self) -> Cause:
        """Why the kernel gave the connection up: it does so also where a client answers probes but never reads (tcp(7))."""
        unheard = self.unheard_for()
        try:
            sock = self.transport.get_extra_info("socket")
            allowed = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) / 1000
        except (OSError, AttributeError, ValueError):
            return Cause.TCP_TIMEOUT
        return Cause.WRITE_TIMEOUT if unheard is not None and unheard < allowed * PROBED_WITHIN else Cause.TCP_TIMEOUT

    def unread_for(self, now: float) -> float:
        """Seconds for which writing has been blocked and the client's kernel took nothing; asked again while it lasts.

        Blocked alone is not enough: with megabytes in the kernel's queue, a slow reader unblocks us once in minutes.
        """
        if self.blocked_since is None:
            return 0.0
        info = self._tcp_info()
        acknowledged = struct.unpack_from("Q", info, BYTES_ACKED)[0] if info else 0
        if acknowledged != self.acknowledged:
            self.acknowledged, self.progress_at = acknowledged, now
        return now - max(self.blocked_since, self.progress_at)

    def _tcp_info(self, sock: Any = None) -> bytes:
        """What the kernel tells of the connection; empty when that is not known."""
        try:
            sock = sock or self.transport.get_extra_info("socket")
            info: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_SIZE)
        except (OSError, AttributeError, ValueError):  # uvloop's socket, once closed, has a negative descriptor
            return b""
        return info if len(info) == TCP_INFO_SIZE else b""

    def snapshot(self, how: str = "", cause: Cause = Cause.UNKNOWN, write_errno: str = "") -> ClientClose:
        """What the kernel knows of the socket now."""
        send_queue = not_sent = retransmits = rtt = None
        window_closed, sock = 0.0, None
        try:
            sock = self.transport.get_extra_info("socket")  # uvloop makes one each time it is asked
            send_queue = QUEUED.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, NOTHING_QUEUED))[0]
        except (OSError, AttributeError, ValueError, struct.error):
            pass  # the socket is gone, or this is no Linux: the fields stay unknown
        if info := self._tcp_info(sock):
            rtt, retransmits, not_sent, closed_for = STATE.unpack_from(info)
            rtt, window_closed = rtt / 1000, closed_for / 1e6
        return ClientClose(
            how=how,
            cause=cause,
            write_buffer=self.transport.get_write_buffer_size(),
            send_queue=send_queue,
            not_sent=not_sent,
            rtt_ms=rtt,
            retransmits=retransmits,
            blocked_for=self.blocked_for(self.loop.time()),
            write_errno=write_errno,
            window_closed=window_closed,
        )


class WatchedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which also tells how the connection ended."""

    connection: ClientConnection
    active: RequestResponseCycle | None = None
    _deaf = False  # what came is no HTTP, and nothing behind it can be read
    _segment = b""  # what is being parsed
    _stays = False  # the head that is being parsed asks for an upgrade which we do not know

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.connection = ClientConnection(transport, self.loop)
        self.connection.resume_reading = self.flow.resume_reading
        self.connection.abort = self._abort

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {EXTENSION: self.connection}  # type: ignore[dict-item]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.active = self.connection.cycle = cycle
        if cycle.scope["http_version"] < "1.1":
            answer = UnframedAnswer(cycle)
            super()._start_asgi_task(cycle, lambda scope, receive, _: app(scope, receive, answer))
        else:
            super()._start_asgi_task(cycle, app)

    # what the client sends

    def data_received(self, data: bytes) -> None:
        if not self._deaf:
            self._segment = data
            super().data_received(data)
            self._segment = b""

    def on_headers_complete(self) -> None:
        self._stays = self.parser.should_upgrade() and not self._should_upgrade() and self.parser.get_method() != b"CONNECT"
        if not self._stays:
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._stays:
            super().on_message_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Reads the request as if it did not ask for an upgrade, which a server may do (RFC 9110, 7.8).

        httptools ends such a request with its head, whatever its body: with Java's client, which asks for h2c by itself,
        every body would be lost.
        """
        error = sys.exception()
        if not self._stays or error is None:
            super()._unsupported_upgrade_warning()
            return
        rest = self._segment[error.args[0] :]
        head = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(token for part in value.split(b",") if (token := part.strip().lower()) not in UPGRADING)
            if value and name not in UPGRADING:
                head.append(b"%b: %b" % (name, value))
        self._stays = False
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join(head) + b"\r\n\r\n" + rest)

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP, and the last that is read of this connection; requests that came whole before it are answered."""
        active, newest = self.active, self.cycle
        if active is None or active.response_complete:
            super().send_400_response(msg)
            return
        self._deaf = True
        if newest is active and active.more_body:
            active.keep_alive = False  # it may be under way already, by an application that does not read its body
            self.loop.call_soon(self._object, active, msg)  # its task, which may only have been made, has begun by then
            return
        if newest is not active and newest.more_body:
            self.pipeline.popleft()  # it is the last in the line, and will never be whole
            newest = self.pipeline[0][0] if self.pipeline else active
        newest.keep_alive = False
        self.flow.resume_reading()  # or the client's leaving would go unseen

    def _object(self, cycle: RequestResponseCycle, msg: str) -> None:
        """The body of the request that is being read is no HTTP."""
        if self.connection.objector is not None:
            self.connection.objector("the request's body is not framed as HTTP/1.1 asks for")
        elif not cycle.response_started and not self.transport.is_closing():
            super().send_400_response(msg)

    # how it ends

    def eof_received(self) -> None:
        # connection_lost comes only when the write buffer has drained, which may be never: act now.
        self._leave("fin", Cause.FIN)

    def connection_lost(self, exc: Exception | None) -> None:
        number = getattr(exc, "errno", None)
        if exc is None:
            self._leave("fin", Cause.FIN)
        elif isinstance(exc, ConnectionResetError):
            self._leave("reset", Cause.CLIENT_RESET)
        elif number == errno.ETIMEDOUT or isinstance(exc, TimeoutError):
            self._leave("timeout", self.connection.timed_out())
        else:
            name = errno.errorcode.get(number, type(exc).__name__) if number else type(exc).__name__
            self._leave(name, Cause.UNDELIVERED, name)
        super().connection_lost(exc)

    def _leave(self, how: str, cause: Cause, write_errno: str = "") -> None:
        self._nobody_reads()
        self.connection.ended(how, cause, write_errno)

    def _abort(self) -> None:
        self._nobody_reads()
        self.transport.abort()

    def _nobody_reads(self) -> None:
        """Tells uvicorn's cycles that the connection is over, lest they log an answer that was cut on purpose as an error."""
        self.pipeline.clear()  # what the client queued behind this request has nobody to read its answer
        for cycle in (self.cycle, self.active):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True

    def pause_writing(self) -> None:
        self.connection.blocked_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self.connection.blocked_since = None
        super().resume_writing()
