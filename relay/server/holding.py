"""DATA_DIR is one gateway's at a time: its parent process holds a lock on a file in it for as long as it lives.

Two on one DATA_DIR would be one instance to the database and would take each other's figures, chains and first-run file
for their own. A second start is refused before it changes anything; one that replaces a gateway waits for its end.

The parent alone holds it, so that the kernel lets go with the parent's death, whatever else lives. Its children are sent
SIGKILL in the same moment (relay/processes.py), but one that is stuck in the kernel may end later, and no restart has to
wait for that: nothing is shared with such an orphan. Its journal is locked by itself and taken over only when it is gone;
its shipper has a lock of its own, for which ours waits; and the port that it may still hold is waited for.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from proxy_project import environment as env
from relay.server.patience import patiently

LOCK_FILE = "serve.lock"  # never removed: who waits for it must wait for the same file
_held = -1  # the descriptor


def hold_early() -> None:
    """Holds a DATA_DIR that a gateway has used before; leaves one alone that is not there yet, or not usable.

    Raises:
        SettingError: another gateway holds it.
    """
    try:
        descriptor = os.open(env.data_dir() / LOCK_FILE, os.O_RDWR)
    except OSError:
        return  # `hold` comes later, and the settings say what is wrong
    _take(descriptor, env.data_dir())


def hold() -> None:
    """Holds DATA_DIR, unless that was done early.

    Raises:
        SettingError: another gateway holds it, or its file system has no locks.
    """
    if _held < 0:
        folder = env.data_dir()
        try:
            descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise env.SettingError(f"DATA_DIR {str(folder)!r} cannot be locked: {error.strerror}.") from None
        _take(descriptor, folder)


def _take(descriptor: int, folder: Path) -> None:
    global _held
    name = f"DATA_DIR {str(folder)!r}"

    def attempt() -> bool | None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        except OSError as error:
            raise env.SettingError(f"{name} cannot be locked: {error.strerror}.") from None
        return True

    if patiently(attempt, f"{name} is in use by another gateway{_holder(descriptor)}") is None:
        raise env.SettingError(
            f"{name} is in use by another gateway{_holder(descriptor)}; expected a DATA_DIR of its own for each, or that to end."
        )
    with suppress(OSError):  # a full disk: the lock holds without a name
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    if _held < 0:
        os.register_at_fork(after_in_child=_let_go)
    _held = descriptor


def _holder(descriptor: int) -> str:
    """Who holds it, for people: a process of a container has another number outside of it."""
    number = os.pread(descriptor, 20, 0).strip()
    return f" (process {number.decode()})" if number.isdigit() else ""


def _let_go() -> None:
    """In a child: the lock is the open file's, so a descriptor that was inherited would keep it."""
    global _held
    if _held >= 0:
        os.close(_held)
        _held = -1
