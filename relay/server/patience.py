"""What a start waits for: a gateway that is being replaced needs a moment to end, and its supervisor may not wait for it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

WAIT_SECONDS = 10.0
LOOK_SECONDS = 0.1
SAY_AFTER_SECONDS = 0.3  # an earlier gateway that was killed is gone by then; anything else is worth a line

Got = TypeVar("Got")


def patiently(attempt: Callable[[], Got | None], waiting_for: str) -> Got | None:
    """What `attempt` gives, tried for ten seconds; None when it gave nothing. Says on stderr what it is waiting for."""
    began = time.monotonic()
    said = False
    while (got := attempt()) is None and (waited := time.monotonic() - began) < WAIT_SECONDS:
        if not said and waited >= SAY_AFTER_SECONDS:
            sys.stderr.write(f"epitaph: {waiting_for}; waiting up to {WAIT_SECONDS:.0f} s for it.\n")
            sys.stderr.flush()
            said = True
        time.sleep(LOOK_SECONDS)
    return got
