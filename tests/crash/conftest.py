"""The gateway, in as many processes as a test likes, and what kills or fills parts of it."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from relay.rehearsal.server import FaultServer
from tests.gateways import KEY, Gateway, usual


@pytest.fixture
def start(upstream: FaultServer, tmp_path: Path) -> Iterator[Callable[..., Gateway]]:
    """Starts a gateway of the test's own, with the settings given, that waits 30 s for upstreams and clients."""
    made: list[Gateway] = []

    def start(write_timeout: int = 30, **settings: str) -> Gateway:
        made.append(Gateway(tmp_path, usual(upstream.url, 30, write_timeout), **settings))
        return made[-1]

    yield start
    for gateway in made:
        gateway.end()


class Caller:
    """A client on a bare socket that asks for one stream, in a thread: what it was told, and how that ended."""

    def __init__(self, gateway: Gateway, model: str, name: str = "", read: bool = True) -> None:
        self.name = name or model
        self.told = b""
        self.broken = ""  # the error that ended it, if one did
        self.sock = socket.create_connection(("127.0.0.1", gateway.port))
        self.port = self.sock.getsockname()[1]
        body = b'{"model": "%s", "stream": true, "messages": []}' % model.encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nx-request-id: {self.name}\r\n"
        self.sock.sendall(head.encode() + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        self.thread = threading.Thread(target=self._read, daemon=True)
        if read:
            self.thread.start()

    def _read(self) -> None:
        try:
            while part := self.sock.recv(65536):
                self.told += part
        except OSError as error:
            self.broken = type(error).__name__

    def wait(self, seconds: float = 30.0) -> bytes:
        """All that it was told, once the connection is over."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), self.told
        return self.told

    def wait_for(self, text: bytes, seconds: float = 30.0) -> None:
        until(lambda: text in self.told, seconds, lambda: self.told)

    @property
    def status(self) -> int:
        return int(self.told.split(b" ", 2)[1])

    @property
    def done(self) -> bool:
        """Whether the answer came to its end, as the protocol and HTTP say it."""
        return b"data: [DONE]\n\n" in self.told and self.told.endswith(b"0\r\n\r\n")

    @property
    def request_id(self) -> str:
        head = self.told.partition(b"\r\n\r\n")[0].lower()
        return head.partition(b"x-request-id: ")[2].partition(b"\r\n")[0].decode()


def until(condition: Callable[[], Any], seconds: float = 30.0, say: Callable[[], Any] = lambda: "") -> Any:
    """What `condition` gives as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s {say()}"
        time.sleep(0.03)
    return found


def processes(gateway: Gateway) -> dict[str, int]:
    """The gateway's children by the names that `ps` shows."""
    found = {}
    for pid in Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split():
        try:
            found[Path(f"/proc/{pid}/comm").read_text().strip()] = int(pid)
        except FileNotFoundError:
            continue
    return found


LISTENING = "0A"


def sockets_of(pid: int) -> list[list[str]]:
    """The rows of /proc/net/tcp that are process `pid`'s: local address at 1, remote at 2, state at 3."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(link.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [row for row in rows if row[9] in inodes]


def served_by(pid: int, callers: list[Caller]) -> list[Caller]:
    """Those of the callers whose connection process `pid` holds."""
    remote = {row[2] for row in sockets_of(pid)}
    return [caller for caller in callers if "%s:%04X" % ("0100007F", caller.port) in remote]


class Recorded(NamedTuple):
    """What the database holds of one request, whether the gateway runs or not."""

    outcome: str
    cause: str | None
    fault: str | None
    evidence: dict[str, Any]
    events: list[str]


QUERY = "SELECT id, request_id, outcome, cause, fault, evidence FROM auditlog_auditentry WHERE client_request_id = ?"


def recorded(gateway: Gateway, name: str, seconds: float = 30.0) -> Recorded:
    """The ending of the one request that called itself `name`, and the names of its error events."""

    def look() -> Recorded | None:
        with closing(sqlite3.connect(gateway.data / "epitaph.sqlite3", timeout=20)) as database:
            rows = database.execute(QUERY, [name]).fetchall()
            assert len(rows) < 2, rows
            if not rows or rows[0][2] is None:
                return None
            _, request_id, outcome, cause, fault, evidence = rows[0]
            events = database.execute("SELECT name FROM errorlog_errorevent WHERE request_id = ?", [request_id]).fetchall()
        return Recorded(outcome, cause, fault, json.loads(evidence), [event for (event,) in events])

    return until(look, seconds, lambda: name)
