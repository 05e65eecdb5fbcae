"""A client on a bare socket, which leaves as a row says, and the answer as HTTP says it was.

It tells how the body ended, keeps every byte, and can do what libraries hide: half-close, reset, stop reading, vanish.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from relay.rehearsal.matrix.reply import Reply, interpret
from relay.rehearsal.matrix.row import Client, Ends, Leaves

LINGER_ZERO = struct.pack("ii", 1, 0)
SO_ATTACH_FILTER = 26
PATIENCE = 40.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw. Times are epoch seconds."""

    reply: Reply
    ends: Ends
    left_at: float | None  # when it left, if it did


def request(path: str, body: bytes, headers: Mapping[str, str], declares: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: gateway", f"content-length: {declares or len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def ask(
    port: int,
    client: Client,
    sent: bytes,
    end: bytes,
    patience: float = PATIENCE,
    host: str = "127.0.0.1",
    arrived: Callable[[], object] | None = None,
) -> Seen:
    """Sends the request, reads until `end` came, and behaves as `client` says; `arrived` waits for what it leaves behind."""
    sock = socket.socket()
    if client.buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, client.buffer)
    sock.settimeout(patience)
    sock.connect((host, port))
    try:
        return _behave(sock, client, sent, end, arrived)
    finally:
        sock.close()


def _behave(sock: socket.socket, client: Client, sent: bytes, end: bytes, arrived: Callable[[], object] | None) -> Seen:
    sock.sendall(sent)
    raw = bytearray()
    while end and end not in raw:
        data = sock.recv(4096 if client.buffer else 65536)
        if not data:
            break
        raw += data
    if arrived is not None:
        arrived()
    if client.leaves is Leaves.VANISHES:
        deafen(sock)
    if client.drains:
        _drain(sock, client.waits, raw)
    else:
        time.sleep(client.waits)
    if client.leaves in (Leaves.STAYS, Leaves.VANISHES):
        how = _read_all(sock, raw, client.pace) if client.leaves is Leaves.STAYS else Ends.LEFT
        return Seen(interpret(bytes(raw)), how, None)
    left_at = time.time()
    if client.leaves is Leaves.HALF:
        sock.shutdown(socket.SHUT_WR)
        time.sleep(1.0)
    elif client.leaves is Leaves.RESET:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_ZERO)
    sock.close()
    return Seen(interpret(bytes(raw)), Ends.LEFT, left_at)


def _drain(sock: socket.socket, seconds: float, raw: bytearray) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            data = sock.recv(65536)
        except TimeoutError:
            break
        if not data:
            break
        raw += data
    sock.settimeout(PATIENCE)


def _read_all(sock: socket.socket, raw: bytearray, pace: int) -> Ends:
    while not _whole(raw):
        if pace:
            time.sleep(0.05)
        try:
            data = sock.recv(pace or 1 << 20)
        except (ConnectionResetError, TimeoutError):
            return Ends.CUT
        if not data:
            return Ends.CUT
        raw += data
    return Ends.PROPERLY


def _whole(raw: bytearray) -> bool:
    """Whether the answer ended as its framing says; looked at closely only where it may have."""
    head, separator, _ = bytes(raw[:8192]).partition(b"\r\n\r\n")
    if not separator:
        return False
    if b"transfer-encoding: chunked" in head.lower():
        return raw.endswith(b"0\r\n\r\n") and interpret(bytes(raw)).ended == "proper"
    return interpret(bytes(raw)).ended == "proper"


def deafen(sock: socket.socket) -> None:
    """From now on the socket's kernel hears nothing and so answers nothing: a classic BPF filter that drops every segment."""
    program = struct.pack("HBBI", 0x06, 0, 0, 0)  # BPF_RET | BPF_K: accept 0 bytes
    buffer = ctypes.create_string_buffer(program)
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(buffer)))
