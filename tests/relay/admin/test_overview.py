"""The first page: what it counts, what it calls degraded, what it puts first, and what a viewer without rights sees."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from auditlog.models import AuditEntry, HourlyCount, RecordingState
from errorlog.models import ErrorGroup
from errorlog.models import HourlyCount as ErrorsByHour
from relay.admin import overview
from relay.admin.needs_a_look import suspects
from relay.admin.upstream_health import health
from relay.record_id import new_record_id
from tests.people import staff
from tests.relay.rows import make_credential, make_upstream

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime.now(UTC)
HOUR = NOW.replace(minute=0, second=0, microsecond=0)
DAY = overview.PERIODS["24h"]


def counted(hours_ago: int, outcome: str, count: int, fault: str = "", provider: str = "openai") -> None:
    hour = HOUR - timedelta(hours=hours_ago)
    HourlyCount.objects.create(hour=hour, provider=provider, model="gpt-5", outcome=outcome, fault=fault, count=count)


def opened(provider: str | None, seconds_ago: float, **columns: Any) -> None:
    at = NOW - timedelta(seconds=seconds_ago)
    AuditEntry.objects.create(id=new_record_id(), request_id=f"req_{seconds_ago}", time=at, provider=provider, **columns)


def a_group(name: str, hours: dict[int, int], **fields: Any) -> ErrorGroup:
    base: dict[str, Any] = {"signature": name, "title": name, "source": "server", "fault": "upstream", "cause": "eof"}
    base |= {"upstream": "openai"}
    base |= {"first_seen": NOW - timedelta(days=9), "last_seen": NOW, "count": sum(hours.values())}
    group = ErrorGroup.objects.create(name=name, **(base | fields))
    for ago, count in hours.items():
        hour = HOUR - timedelta(hours=ago)
        ErrorsByHour.objects.create(group=group, hour=hour, fault=group.fault, count=count)
    return group


def test_endings_are_counted_by_hour_outcome_and_fault() -> None:
    counted(0, "completed", 90)
    counted(0, "upstream-premature", 6, "upstream")
    counted(23, "client-abort", 4, "client")
    counted(24, "upstream-error", 50, "upstream")  # yesterday's
    found = overview.traffic(DAY, NOW)
    assert (found.total, found.abnormal) == (100, 10)
    assert found.columns[-1] == {"upstream": 6}
    assert found.columns[0] == {"client": 4}
    assert found.wholes[-1] == 96


def test_the_rate_is_compared_with_the_period_before() -> None:
    counted(0, "completed", 98)
    counted(0, "upstream-error", 2, "upstream")
    counted(30, "completed", 99)
    counted(30, "upstream-error", 1, "upstream")
    found = overview.traffic(DAY, NOW)
    assert overview.comparison(DAY, found, NOW) == {"now": "2.0 %", "before": "1.0 %", "way": "up"}


def test_without_traffic_nothing_is_compared() -> None:
    assert overview.comparison(DAY, overview.traffic(DAY, NOW), NOW) == {"now": "", "before": "", "way": ""}


def test_abnormal_bars_are_shares_of_the_abnormal_and_normal_ones_of_all() -> None:
    counted(0, "completed", 80)
    counted(0, "upstream-error", 15, "upstream")
    counted(0, "upstream-error", 5, "operator")
    completed, broken = overview.endings(overview.traffic(DAY, NOW))
    assert completed["parts"] == [("e-completed", 0.0, 80.0)]
    assert broken["parts"] == [("f-upstream", 0.0, 75.0), ("f-operator", 75.0, 25.0)]
    assert broken["fault"] == "upstream"
    assert broken["rule"]


@pytest.mark.parametrize("key", overview.PERIODS)
def test_each_period_draws_the_columns_that_it_promises(key: str) -> None:
    period = overview.PERIODS[key]
    counted(0, "upstream-error", 1, "upstream")
    chart = overview.rates_chart(period, overview.traffic(period, NOW), NOW)
    assert chart.count("<g>") == period.hours // period.step
    assert "1 upstream" in chart


def test_what_is_in_flight_is_counted_by_upstream_with_the_oldest() -> None:
    opened("openai", 5)
    opened("openai", 90)
    opened(None, 1)
    opened("openai", 300, drill=True)  # neither what is rehearsed nor what the relay asks on its own
    opened("openai", 400, direction="egress")
    found = overview.in_flight(NOW)
    assert found.total == 3
    assert found.by_upstream == [("openai", 2, 100.0), (overview.NO_UPSTREAM, 1, 50.0)]
    assert (found.oldest, found.oldest_upstream) == ("90.0 s", "openai")


def test_the_longest_silence_is_told_once_it_is_long() -> None:
    opened("vllm-berlin", 90)
    assert overview.in_flight(NOW).silence == ""
    AuditEntry.objects.update(evidence={"live": {"silent_ms": 41_000, "idle_timeout_ms": 300_000, "seen_ms": 89_000}})
    found = overview.in_flight(NOW)
    assert (found.silence, found.silent_upstream) == ("41.0 s", "vllm-berlin")


def states(now: datetime = NOW) -> dict[str, str]:
    found = overview.traffic(DAY, now)
    return {row.name: row.state for row in health(DAY, found, overview.in_flight(now), now)}


def test_an_upstream_is_degraded_when_its_own_fault_breaks_streams() -> None:
    make_upstream(name="bad")
    make_upstream(name="good")
    make_upstream(name="unused")
    for name, broken in (("bad", 9), ("good", 1)):
        counted(0, "completed", 91, provider=name)
        counted(1, "upstream-error", broken, "upstream", provider=name)
        counted(2, "client-abort", 50, "client", provider=name)
    assert states() == {"bad": "degraded", "good": "healthy", "unused": "idle"}


@pytest.mark.parametrize(
    ("endings", "state", "note"),
    [
        ([(0, "upstream-error", 1, "upstream")], "failing", "the only request failed in this hour and the last"),
        ([(1, "upstream-error", 2, "operator")], "failing", "all 2 failed in this hour and the last"),
        ([(9, "upstream-premature", 2, "")], "failing", "all 2 failed in the last 24 hours"),
        ([(0, "upstream-error", 1, "upstream"), (0, "completed", 1, "")], "degraded", "1 of 2 failed in this hour and the last"),
        ([(0, "upstream-error", 1, "upstream"), (0, "completed", 2, "")], "healthy", ""),
        ([(0, "client-abort", 3, "client")], "idle", "not asked in the last 24 hours"),
        ([(0, "completed", 1, ""), (0, "client-abort", 3, "client")], "healthy", ""),
        # a day of thousands does not hide an hour in which nothing works, nor is an outage that is over still there
        ([(9, "completed", 5000, ""), (0, "upstream-error", 3, "upstream")], "failing", "all 3 failed in this hour and the last"),
        (
            [(9, "upstream-error", 50, "upstream"), (0, "completed", 5, "")],
            "healthy",
            "again: 50 of 55 failed in the last 24 hours",
        ),
        ([(9, "upstream-error", 50, "upstream"), (0, "completed", 4, "")], "degraded", "50 of 54 failed in the last 24 hours"),
    ],
)
def test_few_requests_and_the_last_two_hours_tell_how_an_upstream_stands(
    endings: list[tuple[int, str, int, str]], state: str, note: str
) -> None:
    make_upstream(name="openai")
    for ending in endings:
        counted(*ending)
    (row,) = health(DAY, overview.traffic(DAY, NOW), overview.in_flight(NOW), NOW)
    assert (row.state, row.note) == (state, note)


def test_what_this_gateway_broke_does_not_count_against_an_upstream(admin_client: Client) -> None:
    make_upstream(name="openai")
    counted(0, "completed", 3)
    counted(0, "upstream-error", 1, "upstream")
    counted(0, "relay-lost", 4, "relay")
    counted(0, "relay-lost", 1, "")
    counted(0, "relay-shutdown", 2, "operator")
    counted(0, "client-write-failed", 1, "relay")
    counted(0, "client-abort", 1, "client")
    found = overview.traffic(DAY, NOW)
    assert found.standing["openai"] == overview.Standing(judged=4, failed=1)
    (row,) = health(DAY, found, overview.in_flight(NOW), NOW)
    assert (row.state, row.streams) == ("healthy", 13)
    assert row.judged_by == (
        "In the last 24 hours: 1 of 13 requests broke by its own fault. "
        "The state is judged by 4: it leaves out 9 that clients or this gateway ended."
    )
    assert f'title="{row.judged_by}"' in admin_client.get("/admin/").content.decode()


def test_upstreams_that_need_somebody_come_first() -> None:
    for name in ("a", "b", "c", "d"):
        make_upstream(name=name, enabled=name != "a")
    counted(0, "completed", 9, provider="b")
    counted(0, "upstream-error", 9, "upstream", provider="d")
    assert list(states().items()) == [("d", "failing"), ("b", "healthy"), ("c", "idle"), ("a", "off")]


def test_an_upstream_cools_when_all_its_credentials_do_and_says_until_when_and_why() -> None:
    upstream = make_upstream(name="mirror")
    first, second = make_credential(upstream, "sk-1", label="a"), make_credential(upstream, "sk-1", label="b")
    for credential in (first, second):
        credential.last_failure, credential.last_failure_at = "rate-limited: slow down", NOW
        credential.cooling_until = NOW + timedelta(minutes=1)
        credential.save()
    (row,) = health(DAY, overview.traffic(DAY, NOW), overview.in_flight(NOW), NOW)
    assert row.state == "cooling"
    assert row.note == "again in 60 s"
    assert {credential.why for credential in row.credentials} == {"rate-limited: slow down"}
    second.cooling_until = None
    second.save()
    assert states() == {"mirror": "idle"}


def test_a_failure_is_shown_beside_a_credential_until_a_later_request_went_well_with_it() -> None:
    upstream = make_upstream(name="openai")
    first, second = make_credential(upstream, "sk-1", label="a"), make_credential(upstream, "sk-1", label="b")
    for credential in (first, second):
        credential.last_failure, credential.last_failure_at = "connect-refused", NOW - timedelta(minutes=1)
        credential.save()

    def signs() -> list[tuple[str, str]]:
        (row,) = health(DAY, overview.traffic(DAY, NOW), overview.in_flight(NOW), NOW)
        return [(credential.sign, credential.why) for credential in row.credentials]

    failed = ("failed 1 min ago", "connect-refused")
    opened("openai", 61, outcome="completed", credential_id=first.pk)  # earlier
    opened("openai", 30, outcome="upstream-error", credential_id=first.pk)  # later, and no better
    opened("openai", 20, credential_id=first.pk)  # nobody knows yet
    opened("openai", 15, outcome="completed", credential_id=first.pk, drill=True)
    assert signs() == [failed, failed]
    opened("openai", 10, outcome="completed", credential_id=first.pk)
    assert signs() == [("", ""), failed]
    first.cooling_until = NOW + timedelta(seconds=40)
    first.save()
    assert signs()[0] == ("cooling, again in 40 s", "connect-refused")


def test_an_upstream_without_a_usable_credential_is_degraded_and_one_switched_off_is_off() -> None:
    upstream = make_upstream(name="lone")
    make_credential(upstream, "sk-1", label="a", enabled=False)
    make_upstream(name="retired", enabled=False)
    assert states() == {"lone": "degraded", "retired": "off"}


def test_what_came_back_stands_before_what_is_new_and_both_before_what_is_frequent() -> None:
    a_group("frequent", {0: 20, 3: 280, 4: 200})
    a_group("new", {1: 3}, first_seen=NOW - timedelta(hours=2))
    a_group("back", {2: 1}, regressed=True)
    a_group("clients", {0: 900}, fault="client")
    a_group("muted", {0: 900}, status="muted")
    a_group("old", {40: 9}, last_seen=NOW - timedelta(hours=40))
    counted(0, "completed", 1000)
    a_group("rising", {0: 30, 9: 1})
    found, unresolved = suspects(DAY, overview.traffic(DAY, NOW), "user:1", NOW)
    shown = [(suspect.group.name, [word for _, _, word in suspect.figures.chips]) for suspect in found]
    assert shown == [("back", ["REGRESSED"]), ("rising", ["ESCALATING"]), ("new", ["NEW"]), ("frequent", [])]
    assert (found[3].figures.count, found[3].figures.rate) == (500, "50 %")
    assert unresolved == 6


def test_the_page_says_what_is_not_recorded(admin_client: Client) -> None:
    state = RecordingState.current()
    state.paused = True
    state.save()
    RecordingState.objects.update(dropped=1234)
    body = admin_client.get("/admin/").content.decode()
    assert "Not recording: paused" in body
    assert "1,234 not recorded" in body


def test_who_may_see_nothing_gets_a_page_without_figures() -> None:
    body = staff().get("/admin/").content.decode()
    assert "Overview" in body
    assert "In flight" not in body
    assert "Needs a look" not in body


def test_who_may_see_errors_alone_sees_them_alone() -> None:
    body = staff("view_errorgroup").get("/admin/").content.decode()
    assert "Needs a look" in body
    assert "In flight" not in body


def test_hostile_names_are_text(admin_client: Client) -> None:
    hostile = "<script>alert(1)</script>"
    now = datetime.now(UTC)
    group = a_group(hostile, {}, first_seen=now, last_seen=now, upstream=hostile, cause=hostile)
    ErrorsByHour.objects.create(group=group, hour=now.replace(minute=0, second=0, microsecond=0), fault="upstream", count=1)
    HourlyCount.objects.create(
        hour=now.replace(minute=0, second=0, microsecond=0),
        provider=hostile,
        model=hostile,
        outcome=hostile,
        fault="<b>",
        count=1,
    )
    AuditEntry.objects.create(id=new_record_id(), request_id="req_1", time=now, provider=hostile)
    body = admin_client.get("/admin/").content.decode()
    assert "&lt;script&gt;" in body
    assert hostile not in body
