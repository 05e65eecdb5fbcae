"""One process that is everything: under `runserver`, or any other ASGI server, configuration and shipping are threads.

`manage.py serve` has a process for the shipper and says so with `managed()`. With several processes of another server each
has a shipper thread, and the lock on the journals' root decides which of them ships.
"""

from __future__ import annotations

import atexit
import sys
import threading

from relay import routing

LAST_SECONDS = 6.0  # how long an exit waits for what is left to be shipped
_managed = False
_stop = threading.Event()
_thread: threading.Thread | None = None


def managed() -> None:
    """This process has a parent that sees to configuration and shipping."""
    global _managed
    _managed = True


def start() -> None:
    """Starts the threads, once, unless the process is managed. Called when the application is loaded."""
    global _thread
    if _managed or _thread is not None or "pytest" in sys.modules:
        return
    from relay.shipper import Shipper

    routing.start_refresher(wait=0)
    _thread = threading.Thread(target=Shipper().run, args=(_stop,), name="shipper", daemon=True)
    _thread.start()
    atexit.register(_finish)


def _finish() -> None:
    _stop.set()
    routing.stop_refresher()
    if _thread is not None:
        _thread.join(LAST_SECONDS)
