"""What a child process does once it is loaded."""

from __future__ import annotations

import gc

from relay.processes import COLLECT_AFTER, all_is_loaded


def test_the_collector_leaves_alone_what_was_loaded_and_still_finds_what_comes_later() -> None:
    thresholds = gc.get_threshold()
    try:
        all_is_loaded()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == COLLECT_AFTER
        later: list[object] = []
        later.append(later)
        del later
        assert gc.collect() >= 1
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
