"""The journal of this process: opened at its first record, so after the fork, and given up at a clean exit.

How lines are written is in relay/journal_writer.py. Under pytest nothing is written unless a test opts in with the
fixture `journal_folder`, and never below the default DATA_DIR.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from pathlib import Path

from django.conf import settings

from proxy_project import VERSION
from relay.journal_writer import SEGMENT_BYTES, Journal, JournalState

FOLDER = "journal"
OPEN_AGAIN_SECONDS = 1.0  # how soon after a failure to open one it is tried again

writing_under_pytest = False  # tests that are about the writer opt in with the fixture `journal_folder`


def instance() -> str:
    """This gateway's name in records, leases and /metrics."""
    return str(settings.INSTANCE)


def root() -> Path:
    """Where the journals of this instance lie."""
    return Path(settings.DATA_DIR) / FOLDER


# the journal of this process

_current: Journal | None = None
_opening = threading.Lock()
_open_error = ""
_open_again_at = 0.0


def current() -> Journal | None:
    """This process's journal, opened at its first use (so after the fork); None when there can be none now."""
    return _current if _current is not None else _open_current()


def _open_current() -> Journal | None:
    global _current, _open_error, _open_again_at
    if "pytest" in sys.modules and not writing_under_pytest:
        return None
    with _opening:
        if _current is not None or time.monotonic() < _open_again_at:
            return _current
        try:
            refuse_developers_data(root())
            quota = settings.JOURNAL_QUOTA_BYTES
            size = min(SEGMENT_BYTES, max(64 << 10, quota // (4 * settings.WORKERS)))
            about = {"instance": instance(), "version": VERSION}
            _current = Journal(root(), quota, size, settings.JOURNAL_FSYNC, about)
            _open_error = ""
        except OSError as error:
            _open_error = f"{error.strerror or error}"
            _open_again_at = time.monotonic() + OPEN_AGAIN_SECONDS
        return _current


def refuse_developers_data(folder: Path) -> None:
    """Under pytest, in this process or the one that started it, the default DATA_DIR is not for writing.

    Raises:
        PermissionError: it would be written to.
    """
    under_pytest = "pytest" in sys.modules or "PYTEST_CURRENT_TEST" in os.environ
    if under_pytest and (Path(settings.BASE_DIR) / "data").resolve() in (folder.resolve(), *folder.resolve().parents):
        raise PermissionError(1, "a test may not write to the default DATA_DIR")


def state() -> JournalState:
    """The state of this process's journal; one with `last_error` when it could not be opened."""
    journal = _current
    return journal.state() if journal is not None else JournalState(last_error=_open_error)


def shut() -> None:
    """Gives up this process's journal at a clean exit. A later record would open another."""
    global _current
    with _opening:
        journal, _current = _current, None
    if journal is not None:
        journal.shut()


atexit.register(shut)


def _after_fork() -> None:
    global _current, _opening
    _opening = threading.Lock()
    if _current is not None:
        _current.abandon()
    _current = None


os.register_at_fork(after_in_child=_after_fork)
