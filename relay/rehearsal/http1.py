"""Just enough HTTP/1.1, written by hand: requests are read strictly, answers may be written wrongly on purpose.

A library could not lie for us: h11 and httptools refuse to send what the fault matrix needs. No I/O here, bytes in and
values out.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from .steps import Framing, Head

MAX_HEAD = 256 * 1024


class BadRequest(Exception):
    """The bytes are no HTTP/1.1 request."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Header names are lower-case; of a repeated one the last counts."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def keeps_alive(self) -> bool:
        return "close" not in self.headers.get("connection", "").lower()


def parse_head(head: bytes) -> Request:
    """The request that `head` (without its empty line) begins."""
    first, *lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, version = first.split(" ")
        pairs = [line.split(":", 1) for line in lines]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
    except ValueError as error:
        raise BadRequest(first[:100]) from error
    if not version.startswith("HTTP/1."):
        raise BadRequest(version[:20])
    return Request(method, target, headers)


def parse_number(text: str, base: int = 10) -> int:
    """A Content-Length or a chunk's size (extensions ignored)."""
    try:
        return int(text.partition(";")[0].strip(), base)
    except ValueError as error:
        raise BadRequest(f"no number: {text[:40]!r}") from error


def render_head(head: Head, keep_alive: bool) -> bytes:
    """The head as it is written; control characters in headers are kept, some scenarios are about them."""
    try:
        phrase = HTTPStatus(head.status).phrase
    except ValueError:
        phrase = "Overloaded" if head.status == 529 else "Status"
    lines = [f"HTTP/1.1 {head.status} {phrase}"]
    if head.content_type is not None:
        lines.append(f"Content-Type: {head.content_type}")
    if head.framing is Framing.CHUNKED:
        lines.append("Transfer-Encoding: chunked")
    elif head.framing is Framing.LENGTH:
        lines.append(f"Content-Length: {head.length}")
    if head.framing is Framing.CLOSE or not keep_alive:
        lines.append("Connection: close")
    lines += [f"{name}: {value}" for name, value in head.headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def frame(data: bytes, framing: Framing) -> bytes:
    """A piece of the body as its framing wants it."""
    return b"%x\r\n%b\r\n" % (len(data), data) if framing is Framing.CHUNKED and data else data


def closing(framing: Framing) -> bytes:
    """What ends a body properly."""
    return b"0\r\n\r\n" if framing is Framing.CHUNKED else b""
