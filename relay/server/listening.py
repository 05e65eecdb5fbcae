"""The listening socket, bound before anything else: a taken port is found before a setting, file or row is touched.

Nothing here needs Django, since `manage.py serve` binds before the settings are read (which makes DATA_DIR).
"""

from __future__ import annotations

import errno
import os
import socket

from proxy_project import environment as env
from relay.server.patience import patiently

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
    """A listening socket. A port that is taken is waited for: a gateway that drains keeps it until its last worker has ended.

    Raises:
        SettingError: the address cannot be bound.
    """
    made = patiently(lambda: _bound_to(host, port), f"PORT {port} of HOST {host!r} is taken")
    if made is None:
        raise _unbound(host, port, errno.EADDRINUSE)
    return made


def _bound_to(host: str, port: int) -> socket.socket | None:
    """A listening socket; None while the port is taken."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        _watch_for_vanishing(made)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise _unbound(host, port, error.errno or 0, error.strerror) from None
    return made


def _unbound(host: str, port: int, number: int, reason: str | None = None) -> env.SettingError:
    return env.SettingError(f"HOST {host!r} PORT {port} cannot be bound: {reason or os.strerror(number)}.")


def _watch_for_vanishing(listener: socket.socket) -> None:
    """Lets the kernel give up a client that is gone without a word. What it accepts inherits this, at no cost for each."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
