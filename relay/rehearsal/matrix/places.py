"""Where the upstreams of the matrix listen, or rather do not: a port of each kind, for the time of a campaign or drill."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from relay.rehearsal.certificates import self_signed
from relay.rehearsal.server import FaultServer


@contextmanager
def places(upstream: FaultServer, folder: Path) -> Iterator[dict[str, str]]:
    """What addresses in upstreams.py are filled with; `folder` takes a certificate."""
    with secure(folder) as tls, full_port() as full:
        yield {
            "url": upstream.url,
            "port": str(upstream.port),
            "tls": str(tls),
            "closed": str(closed_port()),
            "full": str(full),
        }


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def secure(folder: Path) -> Iterator[int]:
    """The port of an upstream whose certificate nobody signed but itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(folder))
    with FaultServer(tls=context).run_in_thread() as server:
        yield server.port


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose accept queue is full, so that the kernel ignores further SYNs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(2):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        waiting.append(sock)
    time.sleep(0.1)
    try:
        yield listener.getsockname()[1]
    finally:
        for sock in (*waiting, listener):
            sock.close()
