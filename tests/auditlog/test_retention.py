"""How entries go: by capacity, by age, by hand; and what recording is allowed to do."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from auditlog import retention
from auditlog.changing import change
from auditlog.ingest import store_entries
from auditlog.models import AuditEntry, HourlyCount, LeftOut, RecordingState

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
DAY = 86_400.0


def sized() -> int:
    """The kept size, which must be the true one."""
    size = RecordingState.current().size
    assert size == AuditEntry.objects.count()
    return size


def named() -> set[str]:
    return set(AuditEntry.objects.values_list("request_id", flat=True))


def test_lowering_the_capacity_lets_the_oldest_go_at_once_and_says_how_many(entry: Build) -> None:
    store_entries([entry(time=1000.0 + number, request_id=f"req_{number}") for number in range(10)])
    assert change({"capacity": 4}) == 6
    assert named() == {"req_6", "req_7", "req_8", "req_9"}
    assert sized() == 4


def test_the_capacity_holds_while_entries_come(entry: Build) -> None:
    change({"capacity": 3})
    result = store_entries([entry(time=1000.0 + number, request_id=f"req_{number}") for number in range(5)])
    assert result.trimmed == 2
    assert named() == {"req_2", "req_3", "req_4"}
    assert sized() == 3


def test_a_request_in_flight_is_never_trimmed(entry: Build) -> None:
    store_entries(
        [entry(time=1.0, outcome=None, request_id="req_open"), entry(request_id="req_old"), entry(request_id="req_new")]
    )
    change({"capacity": 1})
    assert "req_open" in named()
    assert sized() == 1


def test_what_was_trimmed_young_does_not_come_back_when_the_journal_is_read_again(entry: Build) -> None:
    entries = [entry(time=time.time() - 10 + number) for number in range(3)]
    store_entries(entries)
    change({"capacity": 1})
    assert store_entries(entries).duplicates == 3
    assert sized() == 1


def test_entries_older_than_the_days_to_keep_go_at_once(entry: Build) -> None:
    store_entries([entry(time=time.time() - 3 * DAY), entry(request_id="req_new")])
    assert change({"keep_days": 2}) == 1
    assert named() == {"req_new"}
    assert sized() == 1


def test_clearing_takes_all_and_resets_what_was_left_out_but_no_hourly_count(entry: Build) -> None:
    store_entries([entry(), entry(outcome=None)])
    change({"paused": True})
    store_entries([entry()])
    assert RecordingState.current().dropped == 1
    assert retention.clear() == 2
    state = RecordingState.current()
    assert (state.dropped, state.sampled, state.paused, sized()) == (0, 0, True, 0)
    assert sum(HourlyCount.objects.values_list("count", flat=True)) == 2


def test_enabling_ends_a_pause_unless_both_are_asked_for() -> None:
    change({"paused": True})
    change({"capacity": 100})
    assert RecordingState.current().paused
    change({"enabled": True})
    assert not RecordingState.current().paused
    change({"enabled": True, "paused": True})
    assert RecordingState.current().paused


def test_a_change_of_the_rules_never_writes_the_counters(entry: Build) -> None:
    stale = RecordingState.current()
    store_entries([entry(), entry()])
    stale.sampling = 0.5
    stale.save()
    assert (sized(), RecordingState.current().sampling) == (2, 0.5)


def test_what_no_journal_can_bring_again_and_no_page_shows_is_forgotten(entry: Build) -> None:
    long_ago = timezone.now() - dt.timedelta(days=400)
    LeftOut.objects.create(id=uuid.uuid4(), at=long_ago)
    kept = LeftOut.objects.create(id=uuid.uuid4(), at=timezone.now())
    store_entries([entry(time=long_ago.timestamp()), entry()])
    retention.forget_the_rest()
    assert LeftOut.objects.get() == kept
    assert HourlyCount.objects.count() == 1


def test_the_hourly_counts_stay_exact_whatever_goes_and_comes(entry: Build) -> None:
    def counted() -> dict[tuple[Any, ...], int]:
        return {tuple(key): count for *key, count in HourlyCount.objects.values_list("hour", "provider", "outcome", "count")}

    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - dt.timedelta(days=40)
    hours = [hour + dt.timedelta(hours=number) for number in range(6)]
    failed = {"outcome": "upstream-premature", "cause": "eof", "fault": "upstream"}
    for number, begins in enumerate(hours):
        at = begins.timestamp()
        store_entries([entry(time=at + minute, provider="openai") for minute in range(number + 1)])
        store_entries([entry(time=at + 9, provider="openai", **failed), entry(time=at + 8, drill=True, provider="openai")])
    before = counted()
    assert before == {(begins, "openai", "completed"): number + 1 for number, begins in enumerate(hours)} | {
        (begins, "openai", failed["outcome"]): 1 for begins in hours
    }
    assert change({"capacity": 20}) == 13
    assert counted() == before
    call_command("prune_auditlog", "--older-than", "30d")
    retention.forget_the_rest()
    assert sized() == 0
    assert counted() == before
    store_entries([entry(time=hours[2].timestamp() + 30, provider="openai")])
    assert counted() == before | {(hours[2], "openai", "completed"): 4}


# ---- manage.py prune_auditlog


def pruned(*arguments: str) -> str:
    out = StringIO()
    call_command("prune_auditlog", *arguments, stdout=out)
    return out.getvalue()


def test_pruning_goes_by_age_in_steps_and_keeps_the_size_right(entry: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    store_entries([entry(time=time.time() - 40 * DAY) for _ in range(5)] + [entry(time=time.time() - 20 * DAY)])
    store_entries([entry(time=time.time() - 50 * DAY, outcome=None)])
    assert "5 entries deleted" in pruned("--older-than", "30d")
    assert sized() == 2


def test_a_dry_run_says_the_same_number_and_deletes_nothing(entry: Build) -> None:
    store_entries([entry(time=time.time() - 40 * DAY), entry()])
    assert "1 entries would be deleted" in pruned("--dry-run")
    assert sized() == 2
