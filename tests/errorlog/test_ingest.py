"""From events to groups: once each, counted exactly, one update a group and batch, woken by what contradicts a decision."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from errorlog.clearing import delete_groups
from errorlog.ingest import store_directly, store_events
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount, SeenVersion, TopValue

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]


def the_group() -> ErrorGroup:
    return ErrorGroup.objects.get()


def test_an_event_is_stored_once_however_often_it_comes(event: Build) -> None:
    first = event()
    result = store_events([first, event(), first])
    assert (result.stored, result.duplicates, result.groups) == (2, 1, 1)
    assert store_events([first]).duplicates == 1
    assert the_group().count == ErrorEvent.objects.count() == 2


def test_two_causes_are_two_groups_and_a_flood_hides_neither(event: Build) -> None:
    store_events([event() for _ in range(300)] + [event(fingerprint=["StreamUpstreamError", "reset"])])
    assert sorted(ErrorGroup.objects.values_list("count", flat=True)) == [1, 300]


def test_a_batch_costs_one_update_a_group_and_not_more_queries_for_more_events(event: Build) -> None:
    def queries(count: int) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            store_events([event(fingerprint=[str(index % 2)]) for index in range(count)])
        return [query["sql"] for query in captured]

    queries(2)
    few, many = queries(4), queries(50)
    assert len(few) == len(many)
    assert sum(sql.startswith('UPDATE "errorlog_errorgroup"') for sql in many) == 2


def test_events_are_numbered_in_the_order_in_which_they_came(event: Build) -> None:
    store_events([event(), event(context={"fault": "client"}), event()])
    store_events([event()])
    rows = ErrorEvent.objects.order_by("sequence").values_list("number", "client_before")
    assert list(rows) == [(1, 0), (2, 0), (3, 1), (4, 1)]
    assert (the_group().count, the_group().client_count, the_group().kept) == (4, 1, 4)
    assert the_group().last_sequence == ErrorEvent.objects.order_by("-sequence")[0].sequence


def test_hours_are_counted_by_fault(event: Build) -> None:
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    at = hour.timestamp()
    store_events([event(time=at + 1), event(time=at + 2), event(time=at - 1), event(time=at + 3, context={"fault": "client"})])
    store_events([event(time=at + 4)])
    rows = HourlyCount.objects.values_list("hour", "fault", "count")
    assert set(rows) == {(hour, "upstream", 3), (hour - timedelta(hours=1), "upstream", 1), (hour, "client", 1)}


def test_what_a_group_hits_is_counted_and_bounded(event: Build) -> None:
    context = {"provider": "openai", "credential": {"id": 2, "label": "team-b"}, "close_code": 1011, "cause": "ws-close"}
    store_events([event(context={**context, "client_key": f"key-{index}"}) for index in range(150)])
    store_events([event(context={**context, "client_key": "key-7", "fault": "client"})])
    values = TopValue.objects.values_list("field", "value", "count")
    assert {("upstream", "openai", 151), ("credential", "team-b", 151), ("close_code", "1011", 151)} <= set(values)
    assert ("client_key", "key-7", 2) in set(values)
    assert ("client_key", "…", 50) in set(values)
    assert (the_group().cause, the_group().keys_hit) == ("ws-close", 101)


def test_the_fault_of_most_events_is_the_groups(event: Build) -> None:
    store_events([event(context={"fault": "client"})])
    assert the_group().fault == "client"
    store_events([event(), event()])
    assert the_group().fault == "upstream"


def test_a_resolved_group_that_comes_back_has_regressed(event: Build) -> None:
    store_events([event()])
    ErrorGroup.objects.resolve()
    store_events([event(time=time.time() - 60)])
    assert the_group().status == "resolved"  # it happened before, and only arrived after
    store_events([event(time=time.time() + 1)])
    group = the_group()
    assert (group.status, group.regressed, group.count) == ("unresolved", True, 3)


def test_resolved_from_the_next_version_means_that_the_running_one_may_still_fail(event: Build, settings: Any) -> None:
    store_events([event()])
    ErrorGroup.objects.resolve(next_version=True)
    store_events([event(version=settings.VERSION, time=time.time() + 1)])
    assert the_group().status == "resolved"
    store_events([event(version="99", time=time.time() + 1)])
    assert (the_group().status, the_group().regressed) == ("unresolved", True)


@pytest.mark.parametrize(
    ("running", "version", "status"),
    [
        ("0.9.3", "0.9.2", "resolved"),  # an instance that was not updated yet
        ("0.9.3", "0.9.3", "resolved"),
        ("0.9.3", "0.10.0", "unresolved"),
        ("0.9.3", "0.9.3.1", "unresolved"),
        ("0.9.3", "unknown", "unresolved"),
        ("unknown", "unknown", "resolved"),
    ],
)
def test_only_a_later_version_reopens_what_the_next_one_resolves(
    event: Build, settings: Any, running: str, version: str, status: str
) -> None:
    settings.VERSION = running
    store_events([event()])
    ErrorGroup.objects.resolve(next_version=True)
    store_events([event(version=version, time=time.time() + 1)])
    assert the_group().status == status


def test_a_muted_group_wakes_when_its_time_is_over(event: Build) -> None:
    store_events([event()])
    ErrorGroup.objects.mute(until=timezone.now() + timedelta(hours=1))
    store_events([event()])
    assert the_group().status == "muted"
    ErrorGroup.objects.update(muted_until=timezone.now())
    assert ErrorGroup.objects.wake() == 1
    assert (the_group().status, the_group().muted_until) == ("unresolved", None)


def test_a_muted_group_wakes_when_as_many_events_came_within_the_period(event: Build) -> None:
    store_events([event(), event()])
    ErrorGroup.objects.mute(events=3, seconds=3600)
    store_events([event(), event(), event(time=time.time() - 3 * 3600)])
    store_events([event(time=time.time() - 5 * 3600)])
    assert the_group().status == "muted"
    store_events([event()])
    assert the_group().status == "unresolved"
    assert not the_group().regressed


def test_an_ignored_group_stays_ignored_and_counts(event: Build) -> None:
    store_events([event()])
    ErrorGroup.objects.ignore()
    store_events([event()])
    assert (the_group().status, the_group().count) == ("ignored", 2)


def test_a_drill_is_kept_apart(event: Build) -> None:
    store_events([event(drill=True)])
    assert ErrorEvent.objects.get().group is None
    assert not ErrorGroup.objects.exists() and not HourlyCount.objects.exists() and not TopValue.objects.exists()


def test_the_quota_keeps_the_first_the_latest_and_a_spread_and_the_count_stays_exact(event: Build, settings: Any) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "EVENTS_PER_GROUP": 20}
    store_events([event(fingerprint=["rare"])])
    for _ in range(10):
        store_events([event() for _ in range(30)])
    group = ErrorGroup.objects.get(count=300)
    numbers = list(ErrorEvent.objects.filter(group=group).order_by("number").values_list("number", flat=True))
    assert group.kept == len(numbers) == 20
    assert (numbers[0], numbers[-1]) == (1, 300)
    assert all(any(low < number <= low + 100 for number in numbers) for low in (0, 100, 200))
    assert ErrorGroup.objects.get(count=1).events.count() == 1


def test_secrets_and_what_a_database_refuses_are_gone(event: Build) -> None:
    key = "sk-proj-abcdefghijklmnop"
    store_events([event(message=f"a\x00b\ud800 {key}", stack=key, context={"k\x00": "v\x00", "token": key, "deep": [key]})])
    row = ErrorEvent.objects.get()
    assert row.message == "a\\u0000b\\ud800 sk-…op"
    assert key not in row.stack + str(row.context)


@pytest.mark.parametrize(
    "fields",
    [
        {"time": "never", "context": None, "message": None, "stack": None, "source": "elsewhere"},
        {"time": 1e300, "context": [1], "version": None, "fingerprint": []},
        {"message": "x" * 1_000_000, "stack": "y" * 1_000_000, "name": "n" * 1000, "request_id": "r" * 1000},
        {"fingerprint": [{"a": 1}, None], "context": {"fault": {"a": 1}, "cause": ["b"], "model": 5}},
        {"context": {"number": float("inf"), "big": 1 << 70}},
    ],
)
def test_odd_fields_do_not_cost_the_event(event: Build, fields: dict[str, Any]) -> None:
    assert store_events([event(**fields)]).stored == 1
    assert the_group().count == 1
    assert len(ErrorEvent.objects.get().message) <= 16_000


def test_an_event_of_nothing_but_an_id_is_stored(event: Build) -> None:
    store_directly({"id": event()["id"]})
    assert the_group().name == "Error"


def test_switched_off_it_stores_nothing(event: Build, settings: Any) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "ENABLED": False}
    assert store_events([event()]).stored == 0
    assert not ErrorEvent.objects.exists()


def test_an_event_that_says_no_fault_is_ours_unless_it_was_reported_from_outside(event: Build) -> None:
    for source in ("main", "server", "renderer", "external"):
        store_events([event(source=source, context={}, fingerprint=[source])])
    faults = dict(ErrorGroup.objects.values_list("source", "fault"))
    assert faults == {"main": "relay", "server": "relay", "renderer": "relay", "external": "unknown"}


def test_the_first_event_of_each_version_is_remembered(event: Build) -> None:
    store_events([event(version="1.0", time=2000.0), event(version="1.1", time=3000.0), event(version="1.0", time=1000.0)])
    store_events([event(version="1.0", time=4000.0), event(version="9.9", drill=True)])
    assert {row.version: row.first_seen.timestamp() for row in SeenVersion.objects.all()} == {"1.0": 1000.0, "1.1": 3000.0}


def test_kinds_are_counted_over_their_groups_and_without_those_that_were_deleted(event: Build) -> None:
    def counted() -> dict[tuple[str, str], int]:
        return {(row.name, row.fault): row.count for row in KindCount.objects.all()}

    fields = [("A", "a1", "upstream"), ("A", "a1", "client"), ("A", "a2", "upstream"), ("B", "b", "upstream")]
    made = [event(name=name, time=1000.0, fingerprint=[group], context={"fault": fault}) for name, group, fault in fields]
    store_events(made)
    store_events(made)
    assert counted() == {("A", "upstream"): 2, ("A", "client"): 1, ("B", "upstream"): 1}
    delete_groups([ErrorGroup.objects.get(parts=["a1"]).pk])
    assert counted() == {("A", "upstream"): 1, ("B", "upstream"): 1}
