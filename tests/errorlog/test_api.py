"""The management API's calls about errors: what they answer, and what bad input gets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from auditlog.models import HourlyCount
from errorlog import api as errors_api
from errorlog.ingest import store_events
from errorlog.models import ErrorEvent, ErrorGroup

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
GROUP_FIELDS = set(
    (  # noqa: SIM905
        "id signature name title message source count unread first_seen last_seen sample_stack sample_context status"
    ).split()
)


@pytest.fixture
def api(settings: Any) -> Iterator[Client]:
    settings.ADMIN_TOKEN = "a-token-for-tests"
    settings.ERRORLOG = {**settings.ERRORLOG, "WRITER": "errorlog.ingest.store_directly"}
    errors_api._reports.clear()
    yield Client(headers={"authorization": "Bearer a-token-for-tests"})
    errors_api._reports.clear()


def items(api: Client, path: str = "groups", **query: Any) -> list[dict[str, Any]]:
    answer = api.get(f"/api/errors/{path}", query)
    assert answer.status_code == 200, answer.content
    return answer.json()["items"]


def refused(answer: Any, status: int, word: str) -> None:
    assert answer.status_code == status, answer.content
    error = answer.json()["error"]
    assert set(error) >= {"type", "message"} and word in error["message"]


def test_a_group_has_what_a_list_needs(api: Client, event: Build) -> None:
    store_events([event(stack="old"), event(stack="File x", message="newest")])
    (group,) = items(api)
    assert group.keys() >= GROUP_FIELDS
    assert (group["message"], group["sample_stack"], group["sample_context"]) == ("newest", "File x", {"fault": "upstream"})


def test_groups_come_newest_first_and_page_without_gap_or_double(api: Client, event: Build) -> None:
    store_events([event(time=1000.0 + index // 2, fingerprint=[str(index)], name=f"n{index}") for index in range(7)])
    for by in ({}, {"by": "name"}):
        seen: list[str] = []
        cursor: dict[str, Any] = {}
        while cursor is not None:
            page = api.get("/api/errors/groups", {"limit": 2, **by, **cursor}).json()
            seen += [item["name"] for item in page["items"]]
            cursor = {"cursor": page["next"]} if page["next"] else None
        assert len(seen) == len(set(seen)) == 7
        assert seen[0] == "n6" and set(seen[1:3]) == {"n4", "n5"}


def test_groups_are_filtered_by_what_they_hit(api: Client, event: Build) -> None:
    context = {"provider": "openai", "model": "gpt-5", "client_key": "ci", "cause": "eof", "phase": "streaming"}
    store_events([event(context={**context, "fault": "upstream", "credential": {"label": "team-b"}})])
    store_events([event(fingerprint=["other"], name="Other", context={"provider": "mirror", "model": "m", "fault": "client"})])
    for query in (
        {"model": "gpt-5"},
        {"upstream": "openai"},
        {"client_key": "ci"},
        {"cause": "eof", "phase": "streaming"},
        {"credential": "team-b"},
        {"fault": "upstream"},
        {"search": "model:gpt-5"},
        {"search": "-fault:client"},
        {"search": "PREMATURE cause:eof"},
        {"search": "provider:openai -name:Other"},
    ):
        assert [item["name"] for item in items(api, **query)] == ["StreamUpstreamPrematureClose"], query
    assert items(api, model="gpt-5", upstream="mirror") == []
    assert len(items(api, search="req_1")) == 2
    assert items(api, until="1990-01-01T00:00:00") == []


def test_the_roll_up_by_name_sums_groups(api: Client, event: Build) -> None:
    store_events([event(fingerprint=["a"]), event(fingerprint=["b"]), event(fingerprint=["b"]), event(name="Other")])
    rolled = {item["name"]: (item["count"], item["groups"], item["unread"]) for item in items(api, by="name")}
    assert rolled == {"StreamUpstreamPrematureClose": (3, 2, 3), "Other": (1, 1, 1)}


def test_the_roll_up_has_counts_faults_and_rates_of_a_period(api: Client, event: Build) -> None:
    now = time.time()
    old = [event(name="A", time=now - 50 * 3600) for _ in range(5)]
    store_events([*old, event(name="A"), event(name="A", context={"fault": "client"}), event(name="B", fingerprint=["b"])])
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    HourlyCount.objects.create(hour=hour, provider="openai", outcome="completed", count=100)
    (day,) = [item for item in items(api, by="name") if item["name"] == "A"]
    assert (day["count"], day["recent"], day["rate"], day["faults"]) == (7, 2, 0.02, {"upstream": 1, "client": 1})
    (week,) = [item for item in items(api, by="name", period="7d") if item["name"] == "A"]
    assert (week["period"], week["recent"], week["rate"]) == ("7d", 7, 0.07)


def test_events_are_found_by_request_group_and_time(api: Client, event: Build) -> None:
    store_events([event(time=1000.0, request_id="req_a"), event(request_id="req_b", drill=True), event(request_id="req_b")])
    assert [item["drill"] for item in items(api, "events", request_id="req_b")] == [False, True]
    assert len(items(api, "events", since="2001-01-01T00:00:00Z")) == 2
    assert len(items(api, "events", group=ErrorGroup.objects.get().pk)) == 2
    assert len(items(api, "events", drill="false")) == 2
    page = api.get("/api/errors/events", {"limit": 2}).json()
    assert [item["request_id"] for item in items(api, "events", limit=2, cursor=page["next"])] == ["req_a"]


def test_seen_moves_the_tokens_cursor_to_a_place_or_to_the_end(api: Client, event: Build) -> None:
    store_events([event() for _ in range(3)])
    second = ErrorEvent.objects.order_by("sequence")[1].sequence
    assert api.post("/api/errors/seen", {"up_to": second}, content_type="application/json").json() == {"up_to": second}
    assert api.get("/api/errors/count").json()["unread"] == 1
    assert api.generic("POST", "/api/errors/seen").status_code == 200
    assert api.get("/api/errors/count").json() == {"total": 3, "unread": 0}


@pytest.mark.parametrize(
    ("body", "word"), [({"up_to": "x"}, "up_to"), ({"up_to": -1}, "up_to"), ({"upto": 1}, "upto"), ({"up_to": 1 << 70}, "up_to")]
)
def test_a_bad_cursor_is_422_and_names_the_field(api: Client, body: dict[str, Any], word: str) -> None:
    refused(api.post("/api/errors/seen", body, content_type="application/json"), 422, word)


def test_one_group_can_be_seen_alone(api: Client, event: Build) -> None:
    store_events([event(), event(fingerprint=["b"])])
    key = items(api)[0]["id"]
    assert api.post(f"/api/errors/groups/{key}/seen").json()["unread"] == 0
    assert api.get("/api/errors/count").json()["unread"] == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"status": "resolved"}, "resolved"),
        ({"status": "resolved", "from_next_version": True}, "resolved"),
        ({"status": "ignored"}, "ignored"),
        ({"status": "muted"}, "muted"),
        ({"status": "muted", "events": 10, "seconds": 3600}, "muted"),
        ({"status": "muted", "until": "2999-01-01T00:00:00Z"}, "muted"),
        ({"status": "unresolved"}, "unresolved"),
    ],
)
def test_a_groups_status_can_be_set_and_asked_for(api: Client, event: Build, body: dict[str, Any], status: str) -> None:
    store_events([event()])
    key = items(api)[0]["id"]
    answer = api.patch(f"/api/errors/groups/{key}", body, content_type="application/json")
    assert (answer.status_code, answer.json()["status"]) == (200, status)
    assert [item["id"] for item in items(api, status=status)] == [key]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"status": "gone"}, "status"),
        ({}, "status"),
        ({"status": "resolved", "events": 1}, "events"),
        ({"status": "muted", "seconds": 60}, "seconds"),
        ({"status": "muted", "events": 0}, "events"),
        ({"status": "muted", "colour": 1}, "colour"),
    ],
)
def test_a_bad_status_is_422_and_names_the_field(api: Client, event: Build, body: dict[str, Any], word: str) -> None:
    store_events([event()])
    refused(api.patch(f"/api/errors/groups/{items(api)[0]['id']}", body, content_type="application/json"), 422, word)


@pytest.mark.parametrize("key", ["1", str(1 << 80)])
def test_a_group_that_is_not_there_is_404(api: Client, key: str) -> None:
    refused(api.patch(f"/api/errors/groups/{key}", {"status": "muted"}, content_type="application/json"), 404, "no such group")


def test_clearing_says_how_many(api: Client, event: Build) -> None:
    store_events([event(), event()])
    assert api.delete("/api/errors").json() == {"deleted": 2}
    assert items(api) == items(api, "events") == []


def test_a_report_becomes_an_event_of_the_id_that_was_answered(api: Client) -> None:
    body = {
        "name": "TypeError",
        "message": "x",
        "stack": "TypeError: x\n at f (a.js:1:2)",
        "source": "renderer",
        "context": {"a": 1},
    }
    answer = api.post("/api/errors/report", body, content_type="application/json")
    assert answer.status_code == 202
    (stored,) = items(api, "events")
    assert stored["id"] == answer.json()["id"]
    assert {name: stored[name] for name in body} == body


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"message": 5}, "message"),
        ({"source": "nowhere"}, "source"),
        ({"context": []}, "context"),
        ({"context": {"a": "é" * 9_000}}, "context"),
        ({"level": "fatal"}, "level"),
        ({"name": "\ud800"}, "name"),
    ],
)
def test_a_bad_report_is_422_and_names_the_field(api: Client, fields: dict[str, Any], word: str) -> None:
    refused(api.post("/api/errors/report", {"name": "E", **fields}, content_type="application/json"), 422, word)


@pytest.mark.parametrize(
    "body", ["{", "[]", '"x"', "", "[" * 20_000, '{"name": "E", "context": {"a": ' + "9" * 5_000 + "}}", "{\xff"]
)
def test_a_body_that_is_no_report_is_a_clean_refusal(api: Client, body: str) -> None:
    answer = api.post("/api/errors/report", body.encode("latin-1"), content_type="application/json")
    assert answer.status_code in (400, 422), answer.content
    assert answer.json()["error"]["message"]


def test_a_body_of_megabytes_is_413_in_the_same_form(api: Client) -> None:
    body = json.dumps({"name": "E", "message": "x" * 3_000_000})
    refused(api.post("/api/errors/report", body, content_type="application/json"), 413, "larger than 2,621,440 bytes")


def test_odd_values_in_a_report_are_stored(api: Client) -> None:
    context = {"nul": "\0", "big": 1 << 80, "surrogate": "\ud800", "key": {"password": "hunter2"}}
    answer = api.post("/api/errors/report", json.dumps({"name": "E\0", "context": context}), content_type="application/json")
    assert answer.status_code in (202, 422), answer.content
    if answer.status_code == 202:
        assert "hunter2" not in str(items(api, "events"))


def test_too_many_reports_are_429(api: Client, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "ENABLED": False}
    for _ in range(errors_api.REPORTS_PER_MINUTE):
        assert api.post("/api/errors/report", {"name": "E"}, content_type="application/json").status_code == 202
    refused(api.post("/api/errors/report", {"name": "E"}, content_type="application/json"), 429, "reports in a minute")


@pytest.mark.parametrize(
    ("path", "query", "word"),
    [
        ("groups", {"limit": 201}, "limit"),
        ("groups", {"status": "open"}, "status"),
        ("groups", {"by": "model"}, "by"),
        ("groups", {"since": "soon"}, "since"),
        ("groups", {"cursor": "2001-01-01T00:00:00+00:00_x"}, "cursor"),
        ("groups", {"cursor": f"2001-01-01T00:00:00+00:00_{'9' * 30}"}, "cursor"),
        ("groups", {"cursor": "2001-01-01T00:00:00_1"}, "cursor"),
        ("groups", {"cursor": "x", "by": "name"}, "cursor"),
        ("groups", {"colour": "red"}, "colour"),
        ("groups", {"cause": "nonsense"}, 'cause: there is no cause "nonsense"'),
        ("groups", {"phase": "flying"}, 'phase: there is no phase "flying"; there are connecting, '),
        ("groups", {"search": "x -fault:bar"}, 'search: there is no fault "bar"'),
        ("events", {"limit": 0}, "limit"),
        ("events", {"group": "x"}, "group"),
        ("events", {"group": 1 << 70}, "group"),
        ("events", {"cursor": "x"}, "cursor"),
        ("count", {"x": 1}, "x"),
    ],
)
def test_a_bad_query_is_422_and_names_the_parameter(api: Client, path: str, query: dict[str, Any], word: str) -> None:
    refused(api.get(f"/api/errors/{path}", query), 422, word)


@pytest.mark.parametrize("text", ["\0", "'", "%", 'model:"', "-", ":", "name:", "a:b:c", "x" * 900, "model:\0x"])
def test_any_search_is_answered(api: Client, event: Build, text: str) -> None:
    store_events([event()])
    items(api, search=text)
    items(api, "events", request_id=text)


def test_the_badge_is_what_the_caller_ought_to_read(api: Client, event: Build) -> None:
    store_events([event(), event(context={"fault": "client"})])
    assert api.get("/api/errors/badge").json() == {"unread": 1}
    api.post("/api/errors/seen", content_type="application/json")
    assert api.get("/api/errors/badge").json() == {"unread": 0}
