"""What stays and what goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from errorlog.ingest import store_events
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount
from errorlog.retention import sample

Build = Callable[..., dict[str, Any]]
DAY = 86400


@given(st.sets(st.integers(1, 10_000), min_size=1), st.integers(1, 50))
def test_a_sample_is_as_large_as_it_may_be_and_holds_both_ends(numbers: set[int], quota: int) -> None:
    held = sorted(numbers)
    kept = sample(held, quota)
    assert kept <= numbers
    assert len(kept) == min(quota, len(held))
    assert held[-1] in kept
    assert quota < 2 or held[0] in kept


def test_a_sample_that_is_thinned_again_and_again_stays_even() -> None:
    held: list[int] = []
    for number in range(1, 30_001):
        held.append(number)
        if len(held) > 110:
            held = sorted(sample(held, 100))
    for tenth in range(10):
        low = tenth * 3_000
        assert 5 <= sum(low < number <= low + 3_000 for number in held) <= 20


def prune(*arguments: str) -> str:
    out = StringIO()
    call_command("prune_errorlog", *arguments, stdout=out)
    return out.getvalue().strip()


@pytest.fixture
def old_and_new(event: Build, db: None) -> None:
    then = time.time() - 40 * DAY
    store_events([event(time=then + index) for index in range(12)] + [event() for _ in range(3)])
    store_events([event(fingerprint=["rare"], time=then)])
    store_events([event(drill=True, time=then), event(drill=True)])


@pytest.mark.database
@pytest.mark.usefixtures("old_and_new")
def test_pruning_deletes_what_is_old_but_the_newest_of_each_group() -> None:
    assert prune("--keep-per-group", "5") == "deleted 11 events, 7 stay"
    counts = {group.count: (group.kept, group.events.count()) for group in ErrorGroup.objects.all()}
    assert counts == {15: (5, 5), 1: (1, 1)}
    assert ErrorEvent.objects.filter(group=None).count() == 1
    assert HourlyCount.objects.filter(hour__lt=ErrorEvent.objects.get(group=None).time).count() == 1


@pytest.mark.database
@pytest.mark.usefixtures("old_and_new")
def test_a_dry_run_says_the_same_and_deletes_nothing() -> None:
    assert prune("--keep-per-group", "5", "--dry-run") == "would delete 11 events, 7 stay"
    assert ErrorEvent.objects.count() == 18


@pytest.mark.database
@pytest.mark.usefixtures("old_and_new")
def test_what_is_younger_stays() -> None:
    assert prune("--older-than", "50d", "--keep-per-group", "1") == "deleted 0 events, 18 stay"


@pytest.mark.database
def test_more_than_one_batch_goes_in_batches(event: Build, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("errorlog.retention.BATCH", 4)
    store_events([event(time=time.time() - 40 * DAY) for _ in range(15)])
    assert prune("--keep-per-group", "1") == "deleted 14 events, 1 stay"


@pytest.mark.parametrize("arguments", [("--older-than", "soon"), ("--older-than", "-3d"), ("--keep-per-group", "0")])
def test_a_bad_argument_is_one_sentence(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match="expected a"):
        prune(f"{arguments[0]}={arguments[1]}")
