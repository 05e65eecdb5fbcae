"""An HTTP/1.1 answer as its bytes say it was: what a library hides, namely how it ended on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Reply:
    """`ended`: `proper` (the framing says so), `truncated`, `closed` (that is the framing), `reset`, `open`, `broken`."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: str = "open"
    raw: bytes = b""

    @property
    def datas(self) -> list[bytes]:
        lines = self.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]


def interpret(raw: bytes) -> Reply:
    """What the bytes so far amount to."""
    head, separator, rest = raw.partition(b"\r\n\r\n")
    if not separator or not head.startswith(b"HTTP/1.1 "):
        return Reply(raw=raw)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    reply = Reply(int(first.split(" ")[1]), headers, raw=raw)
    if headers.get("transfer-encoding") == "chunked":
        _dechunk(rest, reply)
    else:
        reply.body = rest
        if "content-length" in headers and len(rest) >= int(headers["content-length"]):
            reply.ended = "proper"
    return reply


def _dechunk(rest: bytes, reply: Reply) -> None:
    at, pieces = 0, []
    while (end := rest.find(b"\r\n", at)) >= 0:
        try:
            size = int(rest[at:end], 16)
        except ValueError:
            reply.headers["broken"] = "chunk"
            break
        if size == 0:
            reply.ended = "proper"
            break
        pieces.append(rest[end + 2 : end + 2 + size])
        at = end + size + 4
    reply.body = b"".join(pieces)
