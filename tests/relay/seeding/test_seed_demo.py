"""What `seed_demo` makes keeps the logs' invariants, on both databases."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.models import Count, Max, Sum
from django.utils import timezone

from auditlog.models import AuditEntry, RecordingState
from auditlog.models import HourlyCount as Requests
from errorlog.ingest import store_events
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount, TopValue
from relay.ending import OUTCOMES
from relay.seeding.traffic import moments, requests
from tests.conftest import Record

pytestmark = pytest.mark.database
HOURLY = ("hour", "provider", "model", "outcome", "fault")
ABNORMAL = [outcome.value for outcome, rule in OUTCOMES.items() if rule.abnormal]


@pytest.fixture
def seeded(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three thousand entries of a sample of five hundred, in blocks of two hundred."""
    monkeypatch.setattr("relay.management.commands.seed_demo.SAMPLE", 500)
    monkeypatch.setattr("relay.seeding.blocks.BLOCK", 200)
    call_command("seed_demo", "--entries", "3000", "--events", "400", "--days", "3")


def test_sizes_and_counts_are_those_of_the_rows(seeded: None) -> None:
    assert AuditEntry.objects.count() == RecordingState.current().size == 3000
    counted = AuditEntry.objects.filter(drill=False).count()
    assert Requests.objects.aggregate(total=Sum("count"))["total"] == counted
    assert 380 <= ErrorEvent.objects.count() <= 400


def test_hours_are_counted_as_the_rows_are(seeded: None) -> None:
    rows = AuditEntry.objects.filter(drill=False).values_list("time", "provider", "model", "outcome", "fault")
    counted = Counter(
        (time.replace(minute=0, second=0, microsecond=0), provider, model, outcome, fault or "")
        for time, provider, model, outcome, fault in rows
    )
    assert {tuple(key): count for *key, count in Requests.objects.values_list(*HOURLY, "count")} == counted


def test_entries_come_in_the_order_of_their_times_and_ids_to_the_end_of_the_period(seeded: None) -> None:
    rows = list(AuditEntry.objects.order_by("time").values_list("time", "id"))
    assert [pk for _, pk in rows] == sorted(pk for _, pk in rows)
    assert all(pk.version == 7 and pk.int >> 80 == int(time.timestamp() * 1000) for time, pk in rows)
    assert timedelta(days=2.9) < rows[-1][0] - rows[0][0] <= timedelta(days=3)
    assert abs(timezone.now() - rows[-1][0]) < timedelta(hours=1)


def test_the_indexes_are_there_again_also_those_that_a_killed_run_left_out(seeded: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP INDEX audit_model")
    call_command("seed_demo", "--entries", "100", "--events", "10")
    for table in (AuditEntry, ErrorEvent):
        with connection.cursor() as cursor:
            known = connection.introspection.get_constraints(cursor, table._meta.db_table)
        assert {index.name for index in table._meta.indexes} <= set(known)


def test_each_group_knows_its_events(seeded: None) -> None:
    for group in ErrorGroup.objects.all():
        mine = ErrorEvent.objects.filter(group=group)
        assert group.count == group.kept == mine.count()
        assert group.client_count == mine.filter(fault="client").count()
        assert group.last_sequence == mine.aggregate(last=Max("sequence"))["last"]
        assert sorted(mine.values_list("number", flat=True)) == list(range(1, group.count + 1))
        assert (group.first_seen, group.last_seen) == (mine.earliest("time").time, mine.latest("time").time)
        assert HourlyCount.objects.filter(group=group).aggregate(total=Sum("count"))["total"] == group.count
        assert group.keys_hit == TopValue.objects.filter(group=group, field="client_key").count()


def test_kinds_are_counted_as_their_groups_are(seeded: None) -> None:
    def totals(counts: Any, name: str) -> dict[tuple[Any, ...], int]:
        return {
            tuple(key): total for *key, total in counts.values_list(name, "hour", "fault").annotate(total=Sum("count")).order_by()
        }

    assert totals(KindCount.objects, "name") == totals(HourlyCount.objects, "group__name") != {}


def test_an_event_of_a_request_is_found_by_its_entry(seeded: None) -> None:
    linked = ErrorEvent.objects.exclude(request_id="")
    entries = {entry.pk: entry for entry in AuditEntry.objects.filter(outcome__in=ABNORMAL)}
    assert linked.count() > 30
    for event in linked:
        assert (entries[event.id].request_id, entries[event.id].error) == (event.request_id, event.message)


def test_a_second_run_adds(seeded: None) -> None:
    call_command("seed_demo", "--entries", "500", "--events", "100", "--seed", "2")
    assert AuditEntry.objects.count() == RecordingState.current().size == 3500
    totals = ErrorGroup.objects.aggregate(count=Sum("count"), kept=Sum("kept"))
    assert totals["count"] == totals["kept"] == ErrorEvent.objects.filter(group__isnull=False).count()


def test_the_writer_goes_on_from_there(seeded: None, event: Record) -> None:
    group = ErrorGroup.objects.filter(cause="eof").order_by("-count").first()
    assert group is not None
    store_events([event(fingerprint=group.parts)])
    after = ErrorGroup.objects.annotate(rows=Count("events")).get(pk=group.pk)
    assert (after.count, after.rows) == (group.count + 1, group.count + 1)


def test_events_are_made_without_entries(transactional_db: None) -> None:
    call_command("seed_demo", "--entries", "0", "--events", "20")
    assert ErrorEvent.objects.count() == 20
    assert not AuditEntry.objects.exists()


def test_the_same_seed_gives_the_same_traffic() -> None:
    def made(seed: int) -> list[str]:
        return [item.id for item in requests(50, 1, 1_764_000_000, seed)]

    assert made(1) == made(1) != made(2)


@pytest.mark.parametrize("days", [0.3, 1, 2.5, 30])
def test_times_ascend_and_end_now(days: float) -> None:
    times = list(moments(2000, days, 1_764_000_000))
    assert times == sorted(times)
    assert 1_764_000_000 - days * 86_400 <= times[0]
    assert times[-1] <= 1_764_000_000
