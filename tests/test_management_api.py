"""The management API: who may call it, what it answers, and what bad input gets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from auditlog.ingest import store_entries
from errorlog.ingest import store_events

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


def test_a_staff_session_reads_and_writes_only_with_its_csrf_token() -> None:
    get_user_model().objects.create_superuser("root", "", "pw")
    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.get(), backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/api/errors/count").status_code == 200
    assert client.post("/api/errors/seen", content_type="application/json").status_code == 403
    client.get("/admin/")
    client.get("/admin/password_change/")
    token = client.cookies["csrftoken"].value
    assert client.post("/api/errors/seen", headers={"x-csrftoken": token}, content_type="application/json").status_code == 200


def test_entries_are_paged_newest_first_and_filtered(api: Client, entry: Build) -> None:
    store_entries([entry(time=1000.0 + index, model=f"m{index}", request_id=f"req_{index}") for index in range(5)])
    first = api.get("/api/audit/entries", {"limit": 2}).json()
    assert [item["model"] for item in first["items"]] == ["m4", "m3"]
    second = api.get("/api/audit/entries", {"limit": 2, "cursor": first["next"]}).json()
    assert [item["model"] for item in second["items"]] == ["m2", "m1"]
    assert [item["model"] for item in api.get("/api/audit/entries", {"search": "model:m3"}).json()["items"]] == ["m3"]
    assert api.get("/api/audit/entries/req_3").json()["model"] == "m3"
    assert api.get("/api/audit/entries/req_none").status_code == 404


def test_groups_events_and_the_cursor(api: Client, event: Build) -> None:
    store_events([event(), event()])
    group = api.get("/api/errors/groups").json()["items"][0]
    assert (group["count"], group["unread"], group["status"]) == (2, 2, "unresolved")
    assert api.get("/api/errors/groups", {"by": "name"}).json()["items"][0]["count"] == 2
    assert api.get("/api/errors/count").json() == {"total": 2, "unread": 2}
    assert api.post("/api/errors/seen", content_type="application/json").status_code == 200
    assert api.get("/api/errors/count").json() == {"total": 2, "unread": 0}
    assert len(api.get("/api/errors/events", {"request_id": "req_1"}).json()["items"]) == 2
    changed = api.patch(f"/api/errors/groups/{group['id']}", {"status": "resolved"}, content_type="application/json")
    assert changed.json()["status"] == "resolved"
    assert api.delete("/api/errors").json() == {"deleted": 2}
    assert api.get("/api/errors/count").json() == {"total": 0, "unread": 0}


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/api/audit/entries", {"limit": 201}, "limit"),
        ("/api/audit/entries", {"limt": 2}, "limt"),
        ("/api/audit/entries", {"cursor": "x"}, "cursor"),
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
