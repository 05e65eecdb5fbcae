"""The management API: who may call it, what it answers, and what bad input gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.test import Client

from auditlog.ingest import store_entries
from auditlog.models import AuditEntry
from errorlog.ingest import store_events
from tests.people import BACKEND, staff

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
TOKEN = "a-token-for-tests"


@pytest.fixture
def api(settings: Any) -> Client:
    settings.ADMIN_TOKEN = TOKEN
    return Client(headers={"authorization": f"Bearer {TOKEN}"})


@pytest.mark.parametrize(
    "path", ["/api/errors/groups", "/api/errors/events", "/api/errors/count", "/api/audit/entries", "/api/audit/state"]
)
def test_a_stranger_is_told_so(path: str, settings: Any) -> None:
    settings.ADMIN_TOKEN = TOKEN
    for client in (Client(), Client(headers={"authorization": "Bearer wrong"})):
        answer = client.get(path)
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "unauthenticated"


def test_without_a_token_set_no_token_opens_it(settings: Any) -> None:
    settings.ADMIN_TOKEN = ""
    assert Client(headers={"authorization": "Bearer "}).get("/api/errors/count").status_code == 401


def test_a_staff_session_reads_and_writes_only_with_its_csrf_token(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user, BACKEND)
    assert client.get("/api/errors/count").status_code == 200
    assert client.post("/api/errors/seen", content_type="application/json").status_code == 403
    client.get("/admin/")
    client.get("/admin/password_change/")
    token = client.cookies["csrftoken"].value
    assert client.post("/api/errors/seen", headers={"x-csrftoken": token}, content_type="application/json").status_code == 200


def test_a_session_may_what_its_user_may_in_the_admin(event: Build, entry: Build) -> None:
    store_events([event()])
    store_entries([entry()])
    client = staff("view_errorgroup", "view_auditentry")
    for path in ("/api/errors/groups", "/api/errors/count", "/api/audit/entries", "/api/audit/state"):
        assert client.get(path).status_code == 200, path
    assert client.post("/api/errors/seen", content_type="application/json").status_code == 200
    for path in ("/api/errors", "/api/audit/entries"):
        answer = client.delete(path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (403, "forbidden"), path
    assert client.patch("/api/audit/state", {"paused": True}, content_type="application/json").status_code == 403
    assert client.get("/api/audit/state").json()["paused"] is False


def test_a_permission_opens_what_it_names_and_no_more(entry: Build) -> None:
    store_entries([entry()])
    client = staff("change_recordingstate")
    assert client.get("/api/audit/entries").status_code == 403
    assert client.patch("/api/audit/state", {"paused": True}, content_type="application/json").json()["paused"] is True
    assert client.delete("/api/audit/entries").status_code == 403
    assert AuditEntry.objects.count() == 1


def test_somebody_signed_in_who_is_no_staff_is_a_stranger() -> None:
    client = Client()
    client.force_login(get_user_model().objects.create_user("guest"), "django.contrib.auth.backends.ModelBackend")
    assert client.get("/api/errors/count").status_code == 401


def test_a_call_that_does_not_exist_is_404_in_the_same_form(api: Client) -> None:
    answer = api.get("/api/errors/nothing")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "not_found")


def test_every_call_is_in_the_openapi_document_and_the_docs_page_needs_no_other_host() -> None:
    paths = Client().get("/api/openapi.json").json()["paths"]
    assert {"/api/errors/groups", "/api/errors/report", "/api/audit/entries/{request_id}", "/api/audit/state"} <= set(paths)
    assert not any("rest" in path for path in paths)
    page = Client().get("/api/docs").content.decode()
    assert "http://" not in page and "https://" not in page


def test_entries_are_paged_newest_first_and_filtered(api: Client, entry: Build) -> None:
    store_entries([entry(time=1000.0 + index, model=f"m{index}", request_id=f"req_{index}") for index in range(5)])
    first = api.get("/api/audit/entries", {"limit": 2}).json()
    assert [item["model"] for item in first["items"]] == ["m4", "m3"]
    second = api.get("/api/audit/entries", {"limit": 2, "cursor": first["next"]}).json()
    assert [item["model"] for item in second["items"]] == ["m2", "m1"]
    assert [item["model"] for item in api.get("/api/audit/entries", {"search": "model:m3"}).json()["items"]] == ["m3"]
    assert api.get("/api/audit/entries/req_3").json()["model"] == "m3"
    assert api.get("/api/audit/entries/req_none").status_code == 404


def counted(api: Client) -> tuple[int, int]:
    answer = api.get("/api/errors/count").json()
    return answer["total"], answer["unread"]


def test_groups_events_and_the_cursor(api: Client, event: Build) -> None:
    store_events([event(), event()])
    group = api.get("/api/errors/groups").json()["items"][0]
    assert (group["count"], group["unread"], group["status"]) == (2, 2, "unresolved")
    assert api.get("/api/errors/groups", {"by": "name"}).json()["items"][0]["count"] == 2
    assert counted(api) == (2, 2)
    assert api.post("/api/errors/seen", content_type="application/json").status_code == 200
    assert counted(api) == (2, 0)
    assert len(api.get("/api/errors/events", {"request_id": "req_1"}).json()["items"]) == 2
    changed = api.patch(f"/api/errors/groups/{group['id']}", {"status": "resolved"}, content_type="application/json")
    assert changed.json()["status"] == "resolved"
    assert api.delete("/api/errors").json() == {"deleted": 2}
    assert counted(api) == (0, 0)


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/api/audit/entries", {"limit": 201}, "limit"),
        ("/api/audit/entries", {"limt": 2}, "limt"),
        ("/api/audit/entries", {"cursor": "x"}, "cursor"),
        ("/api/audit/entries", {"outcome": "foo"}, 'outcome: there is no outcome "foo"; there are client-abort, '),
        (
            "/api/audit/entries",
            {"cause": "idle_timeout"},
            'cause: there is no cause "idle_timeout"; the nearest are idle-timeout, ',
        ),
        ("/api/audit/entries", {"search": "model:a fault:bar"}, 'search: there is no fault "bar"'),
        ("/api/errors/events", {"limit": 501}, "limit"),
        ("/api/errors/groups", {"limit": 0}, "limit"),
        ("/api/errors/groups", {"cursor": "x"}, "cursor"),
    ],
)
def test_a_bad_query_is_422_and_names_the_field(api: Client, path: str, query: dict[str, Any], field: str) -> None:
    answer = api.get(path, query)
    assert answer.status_code == 422
    assert field in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("field", "value"), [("name", "x" * 201), ("message", "x" * 4001), ("stack", "x" * 10001), ("context", {"a": "x" * 20000})]
)
def test_a_report_that_is_too_long_is_422_and_names_the_field(api: Client, field: str, value: Any) -> None:
    answer = api.post("/api/errors/report", {"name": "E", field: value}, content_type="application/json")
    assert answer.status_code == 422
    assert field in answer.json()["error"]["message"]


def test_the_recording_state_can_be_changed_and_trims_at_once(api: Client, entry: Build) -> None:
    store_entries([entry(time=1000.0 + index) for index in range(5)])
    assert api.patch("/api/audit/state", {"paused": True}, content_type="application/json").json()["paused"]
    state = api.patch("/api/audit/state", {"enabled": True, "capacity": 2}, content_type="application/json").json()
    assert (state["paused"], state["size"], state["trimmed"]) == (False, 2, 3)
    assert api.patch("/api/audit/state", {"capacity": 0}, content_type="application/json").status_code == 422


@pytest.mark.parametrize(
    "body",
    [{"enabld": True}, {"sampling": 2}, {"capacity": -1}, {"keep_days": 0}, {"enabled": None}, {"size": 0}, []],
)
def test_a_state_that_cannot_be_is_422_and_changes_nothing(api: Client, body: Any) -> None:
    before = api.get("/api/audit/state").json()
    assert api.patch("/api/audit/state", body, content_type="application/json").status_code == 422
    assert api.get("/api/audit/state").json() == before


def test_the_state_says_what_it_must(api: Client) -> None:
    assert api.get("/api/audit/state").json() == {
        "enabled": True,
        "paused": False,
        "sampling": 1.0,
        "capacity": 10_000_000,
        "keep_days": None,
        "capture": False,
        "payload_days": 7,
        "size": 0,
        "dropped": 0,
        "sampled": 0,
        "journal_lag": 0.0,
    }


def test_an_entry_is_flat_and_reads_the_same_alone_and_in_the_list(api: Client, entry: Build) -> None:
    store_entries([entry(request_id="req_1", evidence={"attempts": [{"status": 503}]}, payloads={"request": "secret words"})])
    (listed,) = api.get("/api/audit/entries").json()["items"]
    alone = api.get("/api/audit/entries/req_1").json()
    assert alone == listed
    assert (alone["outcome"], alone["evidence"]["attempts"], alone["attempt_count"]) == ("completed", [{"status": 503}], None)
    for name in ("client_request_id", "time", "direction", "method", "path", "model", "cause", "phase", "fault", "fault_reason"):
        assert name in alone
    assert "secret words" not in str(alone)


def test_egress_is_shown_when_asked_for_and_the_request_has_one_ingress_entry(api: Client, entry: Build) -> None:
    saved = entry(request_id="req_1", direction="egress", outcome="upstream-error", time=2000.0)
    store_entries([saved, entry(request_id="req_1", time=1000.0)])
    assert [item["direction"] for item in api.get("/api/audit/entries").json()["items"]] == ["ingress"]
    assert [item["direction"] for item in api.get("/api/audit/entries", {"direction": "egress"}).json()["items"]] == ["egress"]
    assert len(api.get("/api/audit/entries", {"direction": "all"}).json()["items"]) == 2
    assert api.get("/api/audit/entries/req_1").json()["direction"] == "ingress"
    assert api.get("/api/audit/entries", {"direction": "sideways"}).status_code == 422


def test_an_open_request_has_no_outcome(api: Client, entry: Build) -> None:
    store_entries([entry(request_id="req_1", outcome=None)])
    assert api.get("/api/audit/entries/req_1").json()["outcome"] is None
    assert len(api.get("/api/audit/entries", {"search": "is:open"}).json()["items"]) == 1


def test_entries_are_taken_between_two_times(api: Client, entry: Build) -> None:
    store_entries([entry(time=float(number), request_id=f"req_{number}") for number in (100, 200, 300)])
    found = api.get("/api/audit/entries", {"since": "1970-01-01T00:03:20Z", "until": "1970-01-01T00:05:00+00:00"}).json()
    assert [item["request_id"] for item in found["items"]] == ["req_200"]


def test_a_search_that_cannot_be_understood_is_422_and_says_why(api: Client) -> None:
    answer = api.get("/api/audit/entries", {"search": "ttft:>soon"})
    assert answer.status_code == 422
    assert "duration" in answer.json()["error"]["message"]


def test_a_nul_in_a_question_finds_nothing_and_breaks_nothing(api: Client, entry: Build) -> None:
    store_entries([entry()])
    for query in ({"model": "a\0"}, {"search": "a\0b"}, {"request_id": "\0"}):
        assert api.get("/api/audit/entries", query).json()["items"] == []
    assert api.get("/api/audit/entries/a%00b").status_code == 404


def test_clearing_says_how_many_and_resets_what_was_left_out(api: Client, entry: Build) -> None:
    store_entries([entry(), entry()])
    api.patch("/api/audit/state", {"paused": True}, content_type="application/json")
    store_entries([entry()])
    assert api.get("/api/audit/state").json()["dropped"] == 1
    assert api.delete("/api/audit/entries").json() == {"deleted": 2}
    state = api.get("/api/audit/state").json()
    assert (state["dropped"], state["size"], state["paused"]) == (0, 0, True)
    assert api.get("/api/audit/entries").json() == {"items": [], "next": None}


def test_pages_hold_while_entries_come_and_times_are_alike(api: Client, entry: Build) -> None:
    store_entries([entry(time=1000.0) for _ in range(7)])
    seen: list[str] = []
    cursor = None
    while True:
        page = api.get("/api/audit/entries", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
        store_entries([entry(time=2000.0)])
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 7
