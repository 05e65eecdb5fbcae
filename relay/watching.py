"""Whether somebody looks at the streams in flight, and so how often this process tells of its own.

Nobody looking, a stream that runs is told of every few seconds: enough to find it after a crash. While a page shows them,
each is told of every second, more rarely when there are many; nothing of this is asked for each request.

A page says so by a row (`ConfigVersion.watch`), which every process reads anyway, twice a second (relay/routing.py).
"""

from __future__ import annotations

import time
from datetime import datetime

SELDOM, OFTEN = 5.0, 1.0  # seconds between two tales of one stream
MOST = 100  # tales in a second, of all streams of a process

_until = 0.0  # by the wall's clock, which all processes share


def told(until: datetime | None) -> None:
    """Somebody looks until then, as far as is known. For the refresher's thread."""
    global _until
    _until = until.timestamp() if until else 0.0


def every(streams: int) -> float:
    """Seconds between two tales of one stream, where this process has so many."""
    if time.time() > _until:
        return SELDOM
    return min(max(OFTEN, streams / MOST), SELDOM)
