"""The listening socket, bound before anything else: a taken port is found before a setting, file or row is touched.

Nothing here needs Django, since `manage.py serve` binds before the settings are read (which makes DATA_DIR).
"""

from __future__ import annotations

import errno
import os
import socket
import time

from proxy_project import environment as env

BIND_SECONDS = 10.0
BACKLOG = 2048
USER_TIMEOUT_MS = 60_000  # data unacknowledged for this long means that the client has vanished
_bound: socket.socket | None = None


def bind_early() -> None:
    """Binds HOST and PORT now; `listener` gives the socket to whoever serves.

    Raises:
        SettingError: HOST or PORT is wrong, or cannot be bound.
    """
    global _bound
    _bound = bind(*env.address())


def listener() -> socket.socket:
    """The socket that was bound early, or one that is bound now.

    Raises:
        SettingError: as `bind_early`.
    """
    return _bound or bind(*env.address())


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; a port that is still taken is tried for ten seconds.

    Raises:
        SettingError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((host, port))
            _watch_for_vanishing(made)
            made.listen(BACKLOG)
        except OSError as error:
            made.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                reason = error.strerror or os.strerror(error.errno or 0)
                raise env.SettingError(f"HOST {host!r} PORT {port} cannot be bound: {reason}.") from None
            time.sleep(0.25)
        else:
            return made


def _watch_for_vanishing(listener: socket.socket) -> None:
    """Lets the kernel give up a client that is gone without a word. What it accepts inherits this, at no cost for each."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
