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

from errorlog.ingest import TIDY_SECONDS, store_events
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount
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
    assert prune("--keep-per-group", "5") == "11 events deleted. 7 stay."
    counts = {group.count: (group.kept, group.events.count()) for group in ErrorGroup.objects.all()}
    assert counts == {15: (5, 5), 1: (1, 1)}
    assert ErrorEvent.objects.filter(group=None).count() == 1
    assert HourlyCount.objects.filter(hour__lt=ErrorEvent.objects.get(group=None).time).count() == 1


@pytest.mark.database
@pytest.mark.usefixtures("old_and_new")
def test_a_dry_run_says_the_same_and_deletes_nothing() -> None:
    assert prune("--keep-per-group", "5", "--dry-run") == "11 events would be deleted; nothing was. 7 would stay."
    assert ErrorEvent.objects.count() == 18


@pytest.mark.database
@pytest.mark.usefixtures("old_and_new")
def test_what_is_younger_stays() -> None:
    assert prune("--older-than", "50d", "--keep-per-group", "1") == "0 events deleted. 18 stay."


@pytest.mark.database
def test_counts_by_hour_stay_exact_whatever_is_thinned_and_pruned(event: Build, db: None, settings: Any) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "EVENTS_PER_GROUP": 10}
    hour = time.time() // 3600 * 3600 - 32 * DAY
    for number in range(5):  # 20, 40, 60 … events an hour, a quarter of them the client's fault
        faults = [{"fault": "client" if index % 4 == 0 else "upstream"} for index in range(20 * (number + 1))]
        store_events([event(time=hour + 3600 * number + index, context=context) for index, context in enumerate(faults)])
    store_events([event(time=hour + 5, fingerprint=["rare"], name="Rare")])

    def counted(table: Any, name: str) -> dict[tuple[Any, ...], int]:
        rows = table.objects.values_list(name, "hour", "fault", "count")
        return {(key, int(begins.timestamp() - hour) // 3600, fault): count for key, begins, fault, count in rows}

    flood, rare = "StreamUpstreamPrematureClose", "Rare"
    expected = {(flood, number, "upstream"): 15 * (number + 1) for number in range(5)}
    expected |= {(flood, number, "client"): 5 * (number + 1) for number in range(5)} | {(rare, 0, "upstream"): 1}
    assert ErrorEvent.objects.count() <= 12
    for _ in range(2):
        assert counted(HourlyCount, "group__name") == counted(KindCount, "name") == expected
        assert dict(ErrorGroup.objects.values_list("name", "count")) == {flood: 300, rare: 1}
        prune("--older-than", "1d", "--keep-per-group", "1")
    assert ErrorEvent.objects.count() == 2
    store_events([event(time=hour + 10)])
    assert counted(HourlyCount, "group__name") == counted(KindCount, "name") == expected | {(flood, 0, "upstream"): 16}


@pytest.mark.database
def test_hours_that_no_page_draws_go_by_themselves_and_a_few_at_a_time(
    event: Build, db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("errorlog.retention.BATCH", 4)
    then = time.time() - 60 * DAY
    store_events([event(time=then + 3600 * index) for index in range(6)] + [event(time=time.time() - 20 * DAY)])
    left = []
    for _ in range(3):
        monkeypatch.setattr("errorlog.ingest._tidied", time.monotonic() - TIDY_SECONDS - 1)
        store_events([event()])
        left.append((HourlyCount.objects.count(), KindCount.objects.count()))
    assert left == [(4, 4), (2, 2), (2, 2)]
    assert ErrorGroup.objects.get().count == 10


@pytest.mark.database
def test_more_than_one_batch_goes_in_batches(event: Build, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("errorlog.retention.BATCH", 4)
    store_events([event(time=time.time() - 40 * DAY) for _ in range(15)])
    assert prune("--keep-per-group", "1") == "14 events deleted. 1 stay."


@pytest.mark.parametrize("arguments", [("--older-than", "soon"), ("--older-than", "-3d"), ("--keep-per-group", "0")])
def test_a_bad_argument_is_one_sentence(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match="expected a"):
        prune(f"{arguments[0]}={arguments[1]}")
