"""Pages in the reader's time, with UTC at hand; what is exported, copied or asked over the API stays in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from auditlog.models import AuditEntry
from auditlog.query import parse
from errorlog.ingest import store_events
from errorlog.models import ErrorGroup, HourlyCount
from errorlog.periods import PERIODS
from proxy_project import reader_zone
from relay.record_id import new_record_id

AT = datetime(2026, 3, 1, 23, 30, 5, 123_000, tzinfo=UTC)
LIST = "/admin/auditlog/auditentry/"


@pytest.mark.parametrize("name", ["Europe/Berlin", "Asia/Kolkata", "America/New_York", "UTC"])
def test_a_zone_that_is_known_is_believed(name: str) -> None:
    assert str(reader_zone.zone_of({reader_zone.COOKIE: name})) == name


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "\0", "A" * 5000, "<script>"])
def test_any_other_word_is_utc(name: str) -> None:
    assert reader_zone.zone_of({reader_zone.COOKIE: name}) is UTC


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("UTC", "1 Mar 2026, 23:30:05.123 UTC"),
        ("Europe/Berlin", "2 Mar 2026, 00:30:05.123 CET (1 Mar 23:30:05 UTC)"),
        ("America/New_York", "1 Mar 2026, 18:30:05.123 EST (23:30:05 UTC)"),
    ],
)
def test_a_heading_says_both_times(zone: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: AT)
    with reader_zone.reading({reader_zone.COOKIE: zone}):
        markup = reader_zone.both(AT)
    assert said == "".join(part.partition(">")[2] for part in f">{markup}".split("<")).strip()
    assert 'datetime="2026-03-01T23:30:05.123000+00:00"' in markup


def test_a_search_for_a_time_without_a_zone_is_in_the_readers() -> None:
    with reader_zone.reading({reader_zone.COOKIE: "Asia/Kolkata"}):
        (local,) = parse("time:>2026-03-01T05:30", timezone.localtime).parts
    (utc,) = parse("time:>2026-03-01T05:30").parts
    assert [part.values[0].astimezone(UTC).hour for part in (local, utc)] == [0, 5]  # type: ignore[union-attr]


@pytest.mark.parametrize(("zone", "today", "before"), [("UTC", 4, 0), ("Asia/Tokyo", 3, 1)])
@pytest.mark.database
@pytest.mark.django_db
def test_days_are_the_readers(zone: str, today: int, before: int) -> None:
    group = ErrorGroup.objects.create(signature="s", name="n", first_seen=AT, last_seen=AT)
    now = datetime(2026, 3, 1, 16, 30, tzinfo=UTC)  # in Tokyo it is half past one on the next day
    for hour, count in ((15, 3), (14, 1)):
        HourlyCount.objects.create(group=group, hour=now.replace(hour=hour, minute=0), fault="upstream", count=count)
    with reader_zone.reading({reader_zone.COOKIE: zone}):
        bars = PERIODS["28d"].buckets_of(HourlyCount.objects.all(), "group", now)[group.pk]
    assert [sum(bar.values()) for bar in bars[-2:]] == [before, today]


@pytest.fixture
def berlin(client: Client) -> Client:
    """Somebody in Berlin."""
    client.force_login(User.objects.create_superuser("admin"))
    client.cookies[reader_zone.COOKIE] = "Europe/Berlin"
    return client


@pytest.fixture
def entry() -> AuditEntry:
    columns: dict[str, Any] = {"outcome": "completed", "direction": "ingress", "method": "POST", "path": "/v1/messages"}
    return AuditEntry.objects.create(id=new_record_id(), request_id="req_1", time=AT, **columns)


@pytest.mark.database
@pytest.mark.django_db
def test_the_audit_pages_are_in_the_readers_time(berlin: Client, entry: AuditEntry) -> None:
    listed = berlin.get(LIST).content.decode()
    assert "00:30:05.123" in listed and "2 Mar 2026" in listed
    assert 'title="1 Mar 2026, 23:30:05.123 UTC"' in listed
    alone = berlin.get(f"{LIST}{entry.pk}/change/").content.decode()
    assert "00:30:05.123 CE" in alone and "(1 Mar 23:30:05 UTC)" in alone
    assert "| time | 2026-03-01T23:30:05.123" in alone, "what is copied is in UTC"
    found = berlin.get(f"{LIST}?q=time:>2026-03-02+time:<2026-03-02T01:00").content.decode()
    assert "req_1" in found


@pytest.mark.database
@pytest.mark.django_db
def test_the_api_stays_in_utc(berlin: Client, entry: AuditEntry) -> None:
    assert berlin.get("/api/audit/entries/req_1").json()["time"].startswith("2026-03-01T23:30:05.123")


@pytest.mark.database
@pytest.mark.django_db
def test_the_errors_pages_are_in_the_readers_time_too(berlin: Client) -> None:
    now = timezone.now()
    store_events(
        [{"id": str(new_record_id()), "time": now.timestamp(), "name": "KeyError", "message": "x", "fingerprint": ["k"]}]
    )
    berlin.cookies[reader_zone.COOKIE] = "Asia/Tokyo"
    listed = berlin.get("/admin/errorlog/errorgroup/").content.decode()
    assert f"{now.astimezone(reader_zone.zone_of({reader_zone.COOKIE: 'Asia/Tokyo'})):%H:%M}" in listed
    alone = berlin.get(f"/admin/errorlog/errorgroup/{ErrorGroup.objects.get().pk}/change/").content.decode()
    assert "JST" in alone and f"{now:%H:%M:%S} UTC)" in alone
