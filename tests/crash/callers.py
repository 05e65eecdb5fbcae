"""The clients of the crash test: each writes down what it was told, for the judge, and believes nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass

import h11

from tests.crash.kinds import Leaves, Request

PATIENCE = 30.0
TERMINAL = (b"data: [DONE]\n\n", b"event: response.completed\n", b"event: message_stop\n")


@dataclass(slots=True)
class Told:
    """What one client was told. `status` None: it never saw a status line."""

    request: Request
    status: int | None = None
    request_id: str = ""
    size: int = 0
    whole: bool = False  # the answer ended as HTTP says
    terminal: bool = False  # and, a stream, with its protocol's end
    trouble: str = ""  # what broke it off


class Caller:
    """One client after the other on one connection, which is kept while HTTP lets it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.http = h11.Connection(h11.CLIENT)

    async def ask(self, request: Request) -> Told:
        """Asks, and behaves as the kind of the request says."""
        told = Told(request)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ask(request, told)
        except (OSError, EOFError, h11.RemoteProtocolError, TimeoutError) as error:
            told.trouble = type(error).__name__
        if not (told.whole and self.http.our_state is self.http.their_state is h11.DONE):
            self.leave()
        return told

    def leave(self, reset: bool = False) -> None:
        """Closes the connection."""
        if self.writer is not None:
            if reset:
                sock = self.writer.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.close()
        self.reader = self.writer = None

    async def _ask(self, request: Request, told: Told) -> None:
        kind = request.kind
        if self.writer is None:
            self.reader, self.writer = await self._connect()
            self.http = h11.Connection(h11.CLIENT)
        else:
            self.http.start_next_cycle()
        headers = [("host", "gateway"), ("authorization", f"Bearer {request.key}"), ("x-request-id", request.name)]
        headers += [("content-type", "application/json"), ("content-length", str(len(request.body)))]
        head = self.http.send(h11.Request(method=kind.method, target=request.path, headers=headers))
        body = self.http.send(h11.Data(request.body)) or b""
        if kind.leaves is Leaves.SENDING:
            self.writer.write((head or b"") + body[: len(body) // 2])
            await asyncio.sleep(0.05)
            self.leave()
            return
        self.http.send(h11.EndOfMessage())
        self.writer.write((head or b"") + body)
        if kind.leaves is Leaves.EARLY:
            await asyncio.sleep(0.1)
            self.leave()
            return
        await self._read(told, kind.leaves)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection, as soon as there is anybody: after everything was killed it takes some seconds."""
        while True:
            try:
                return await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.1)

    async def _read(self, told: Told, leaves: Leaves) -> None:
        assert self.reader is not None
        tail = b""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.reader.read(65536))
            elif isinstance(event, h11.Response):
                told.status = event.status_code
                told.request_id = dict(event.headers).get(b"x-request-id", b"").decode()
            elif isinstance(event, h11.Data):
                told.size += len(event.data)
                tail = (tail + bytes(event.data))[-4096:]
                if leaves in (Leaves.FIN, Leaves.RESET) and told.size > 300:
                    self.leave(reset=leaves is Leaves.RESET)
                    return
            elif isinstance(event, h11.EndOfMessage):
                told.whole = True
                told.terminal = any(end in tail for end in TERMINAL)
                return
            else:
                return
