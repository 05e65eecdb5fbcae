"""A client on a bare socket: it sees what a library hides, namely how an answer ended on the wire."""

from __future__ import annotations

import json
import socket

from relay.rehearsal.matrix.reply import Reply, interpret

PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
}


def request_bytes(path: str, body: bytes, headers: dict[str, str] | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: upstream", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def body_for(model: str, stream: bool, **more: object) -> bytes:
    return json.dumps({"model": model, "stream": stream, "messages": [], "input": "x", **more}).encode()


def ask(
    port: int,
    model: str,
    protocol: str = "openai-chat",
    *,
    stream: bool = True,
    patience: float = 5,
    limit: int = 1 << 22,
    headers: dict[str, str] | None = None,
    sock: socket.socket | None = None,
    prefix: str = "",
    **more: object,
) -> Reply:
    """Sends one request and reads until the answer ends, nothing comes for `patience` seconds, or `limit` bytes are there."""
    own = sock is None
    sock = sock or socket.create_connection(("127.0.0.1", port))
    try:
        sock.settimeout(patience)
        sock.sendall(request_bytes(prefix + PATHS[protocol], body_for(model, stream, **more), headers))
        return _read(sock, limit)
    finally:
        if own:
            sock.close()


def _read(sock: socket.socket, limit: int) -> Reply:
    raw, how = b"", ""
    while not how:
        reply = interpret(raw)
        if reply.ended == "proper" or len(raw) > limit:
            return reply
        try:
            data = sock.recv(65536)
        except TimeoutError:
            how = "open"
        except ConnectionResetError:
            how = "reset"
        else:
            raw += data
            how = "" if data else "fin"
    reply = interpret(raw)
    if reply.ended == "proper":
        return reply
    bare = reply.status and "content-length" not in reply.headers and "transfer-encoding" not in reply.headers
    reply.ended = {"open": "open", "reset": "reset", "fin": "closed" if bare else "truncated"}[how]
    if reply.ended == "truncated" and reply.headers.get("broken"):
        reply.ended = "broken"
    return reply
