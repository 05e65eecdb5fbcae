"""What crosses the logs: links between the two records of one request, and how far behind the rows are."""

import time
from datetime import timedelta

import orjson
import pytest
from django.utils import timezone

from auditlog.models import AuditEntry
from relay import journal, panels
from relay.admin import overview
from relay.shipper import Shipper
from relay.shipper.segments import journals
from tests.relay.shipper.records import PREMATURE, ended, entry_of

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("journal_folder")]


def shipped() -> None:
    shipper = Shipper()
    while shipper.ship_once():
        pass
    shipper.release()


def test_the_two_records_of_one_request_find_each_other() -> None:
    bad, good = ended(PREMATURE), ended()
    shipped()
    event = panels.error_of_entry(entry_of(bad)["request_id"])
    entry = panels.entry_of_error(entry_of(bad)["request_id"])
    assert event is not None
    assert entry is not None
    assert (event["id"], event["name"]) == (bad, "StreamUpstreamPrematureClose")
    assert (entry["id"], entry["outcome"]) == (bad, "upstream-premature")
    assert event["url"].startswith("/admin/errorlog/errorgroup/")
    assert entry["url"] == f"/admin/auditlog/auditentry/{bad}/change/"
    assert panels.error_of_entry(entry_of(good)["request_id"]) is None


@pytest.mark.parametrize("request_id", ["", "stream-close", "req_nobody"])
def test_records_without_a_request_are_not_linked(request_id: str) -> None:
    ended(PREMATURE, request_id="stream-close")
    shipped()
    assert panels.error_of_entry(request_id) is None
    assert panels.entry_of_error(request_id) is None


def test_lag_is_the_age_of_the_oldest_line_without_its_row() -> None:
    assert panels.journal_lag() == 0.0 and not overview.recording()["late"]
    target = journal.current()
    assert target is not None
    shipped()
    target.error(orjson.dumps({"t": "error", "id": "x", "at": time.time() - 40, "event": {"id": "x"}}))
    ended()
    lag = panels.journal_lag()
    assert lag is not None
    assert 40 <= lag < 50
    assert overview.recording()["late"] and "s" in overview.recording()["journal_lag"]
    shipped()
    assert panels.journal_lag() == 0.0
    assert len(journals(journal.root())) == 1


def test_requests_are_counted_by_upstream_without_counting_entries() -> None:
    for _ in range(3):
        ended()
    shipped()
    AuditEntry.objects.all().delete()
    hour = timezone.now() - timedelta(hours=1)
    (counted,) = panels.requests_by_upstream(hour).values()
    assert counted == 3
    assert panels.requests_by_upstream(timezone.now() + timedelta(hours=1)) == {}


def test_a_comparison_has_completed_streams_of_one_upstream() -> None:
    ended(provider="openai")
    ended(PREMATURE, provider="openai")
    shipped()
    long_ago = timezone.now() - timedelta(days=9000)
    (stream,) = panels.completed_sample("openai", long_ago)
    assert stream["outcome"] == "completed" and stream["evidence"]["upstream_status"] == 200
    assert panels.completed_sample("another", long_ago) == []
    assert panels.completed_sample("openai", timezone.now() + timedelta(days=9000)) == []
    assert panels.newest_ending() == AuditEntry.objects.order_by("-time").first().time  # type: ignore[union-attr]
