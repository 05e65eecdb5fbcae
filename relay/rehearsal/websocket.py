"""Responses over WebSocket, for the closes that only a WebSocket knows (1000, 1009, 1011, 4xxx, none at all).

The plays are those of the HTTP answers: each event's data becomes a text message, a keep-alive a ping. What ends
the body of an unfinished answer ends the connection with code 1000; a cut shows as 1006. Frames are written by hand,
as HTTP is.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import struct
import time
from collections.abc import Callable
from typing import Protocol

from .http1 import BadRequest, Request
from .ledger import Ended, Fate, Record
from .steps import Close, Cut, End, Head, Hold, Mute, Pause, Reset, Step, Steps, Wire

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
METHOD = "WEBSOCKET"  # of the request that each message stands for
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
TERMINAL = (
    b'"type":"response.completed"',
    b'"type":"response.incomplete"',
    b'"type":"response.failed"',
    b'"type":"error"',
)


class Wires(Protocol):
    """What the session needs of the connection."""

    fate: Fate
    ordinal: int

    async def take(self, size: int) -> bytes: ...
    async def write(self, data: bytes, record: Record | None = None, piece: bool = False) -> None: ...
    async def reset(self) -> None: ...
    def close(self) -> None: ...


def wants_websocket(request: Request) -> bool:
    return request.headers.get("upgrade", "").lower() == "websocket" and "sec-websocket-key" in request.headers


def handshake(request: Request) -> bytes:
    """The answer that accepts the upgrade."""
    digest = hashlib.sha1((request.headers["sec-websocket-key"] + GUID).encode(), usedforsecurity=False).digest()
    accept = base64.b64encode(digest).decode()
    lines = (
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def encode_frame(opcode: int, payload: bytes) -> bytes:
    """A whole, unmasked frame, as servers send it."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack("!BBQ", 0x80 | opcode, 127, size) + payload


def encode_close(code: int, reason: str) -> bytes:
    """A close frame; without a code (1005) it is empty."""
    return encode_frame(CLOSE, b"" if code == 1005 else struct.pack("!H", code) + reason.encode()[:123])


def split_events(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The data of each whole event in what was written for HTTP (nothing for comments), and the rest."""
    *blocks, rest = buffer.replace(b"\r\n", b"\n").split(b"\n\n")
    found = []
    for block in blocks:
        lines = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
        found.append(b"\n".join(lines))
    return found, rest


class WebSocketSession:
    """One upgraded connection; each message of the client is a request of its own in the ledger."""

    def __init__(self, wires: Wires, upgrade: Request, answer: Callable[[Request], tuple[Record | None, Steps]]) -> None:
        self._wires = wires
        self._upgrade = upgrade
        self._answer = answer
        self._turns: asyncio.Queue[bytes] = asyncio.Queue()
        self._last = b""  # the last message, which tells whether the answer was finished
        self._unsent = b""  # the beginning of an event
        self._mute = False

    async def run(self) -> None:
        """Reads until the close; answers one message after the other meanwhile."""
        await self._wires.write(handshake(self._upgrade))
        player = asyncio.get_running_loop().create_task(self._play_turns())
        try:
            await self._read()
        finally:
            player.cancel()
            await asyncio.gather(player, return_exceptions=True)

    async def _read(self) -> None:
        message = b""
        while True:
            opcode, final, payload = await self._read_frame()
            if opcode == PING:
                self._wires.fate.pings += 1
                if not self._mute:
                    await self._wires.write(encode_frame(PONG, payload))
            elif opcode == CLOSE:
                self._wires.fate.seal(Ended.CLIENT_FIN)
                await self._wires.write(encode_frame(CLOSE, payload[:2]))
                self._wires.close()
                return
            elif opcode != PONG:
                message += payload
                if final:
                    self._turns.put_nowait(message)
                    message = b""

    async def _read_frame(self) -> tuple[int, bool, bytes]:
        first, second = await self._wires.take(2)
        if not second & 0x80:
            raise BadRequest("a client's frame must be masked")
        size = second & 0x7F
        if size >= 126:
            width = 2 if size == 126 else 8
            size = int.from_bytes(await self._wires.take(width), "big")
        mask = int.from_bytes(await self._wires.take(4) * (size // 4 + 1), "big")
        payload = await self._wires.take(size)
        padded = payload.ljust((size // 4 + 1) * 4, b"\0")
        plain = (int.from_bytes(padded, "big") ^ mask).to_bytes(len(padded), "big")[:size]
        return first & 0x0F, bool(first & 0x80), plain

    async def _play_turns(self) -> None:
        while True:
            body = await self._turns.get()
            self._wires.ordinal += 1
            record, play = self._answer(Request(METHOD, self._upgrade.target, self._upgrade.headers, body))
            self._last, self._unsent, ended = b"", b"", False
            for step in play:
                ended = await self._carry_out(step, record)
            if not ended:
                await self._end()
            if record:
                record.answered, record.answered_at = True, time.time()

    async def _carry_out(self, step: Step, record: Record | None) -> bool:
        """One step in terms of messages; tells whether it ended the answer."""
        match step:
            case bytes():
                await self._send(step, record)
            case Head(status):
                if record:
                    record.status = status
            case Wire(data):
                await self._wires.write(data, record)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Hold():
                await asyncio.Event().wait()
            case Mute():
                self._mute = True
            case Close(code, reason):
                await self._close(code, reason)
            case End():
                await self._end()
            case Cut():
                self._wires.close()
            case Reset():
                await self._wires.reset()
        return isinstance(step, End | Cut | Reset | Close)

    async def _send(self, piece: bytes, record: Record | None) -> None:
        """The events that this piece of a body completes, a message each."""
        found, self._unsent = split_events(self._unsent + piece)
        for data in found:
            self._last = data or self._last
            frame = encode_frame(TEXT, data) if data else encode_frame(PING, b"")
            await self._wires.write(frame, record, piece=True)

    async def _end(self) -> None:
        """A finished answer leaves the connection open for the next."""
        if not any(mark in self._last for mark in TERMINAL):
            await self._close(1000, "")

    async def _close(self, code: int, reason: str) -> None:
        self._wires.fate.seal(Ended.WE_CLOSED)
        await self._wires.write(encode_close(code, reason))
        self._wires.close()
