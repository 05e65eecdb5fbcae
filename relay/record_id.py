"""Ids of records: UUID version 7 (RFC 9562), so that ids sort by the time at which they were made.

Within a process each id is greater than the one before it, whatever the clock does; across processes 62 random bits
keep them apart. Idempotence of both logs hangs on these ids.
"""

from __future__ import annotations

import os
import threading
import time

_lock = threading.Lock()
_last = 0  # the 60 time bits of the newest id: milliseconds, then 12 bits of their fraction (RFC 9562, 6.2, method 3)


def new_record_id() -> str:
    """A fresh UUIDv7 as 36 characters. Works with a broken clock too: it then goes on from the last id."""
    global _last
    try:
        milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    except Exception:  # noqa: BLE001 - an ending without a clock is still an ending
        milliseconds, rest = 0, 0
    stamp = (milliseconds & 0xFFFF_FFFF_FFFF) << 12 | (rest << 12) // 1_000_000
    with _lock:
        _last = stamp = stamp if stamp > _last else _last + 1
    return _text(stamp, int.from_bytes(os.urandom(8), "big"))


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()  # another thread may have held it


os.register_at_fork(after_in_child=_after_fork)


def _text(stamp: int, noise: int) -> str:
    head = f"{stamp >> 12:012x}"
    return f"{head[:8]}-{head[8:]}-7{stamp & 0xFFF:03x}-{0x8000 | noise >> 50:04x}-{noise & 0xFFFF_FFFF_FFFF:012x}"
