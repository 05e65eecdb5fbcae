"""Ctrl K: finds what the person may see, a few of each, by an id that is whole or a name that is begun."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from auditlog.models import AuditEntry
from errorlog.models import ErrorGroup
from relay.record_id import new_record_id
from tests.people import staff
from tests.relay.rows import make_credential, make_key, make_route, make_upstream

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture(autouse=True)
def rows() -> None:
    upstream = make_upstream(name="berlin")
    make_credential(upstream, "sk-hush", label="berlin-team")
    make_route("berlin-model", upstream)
    make_key(label="berlin-laptop", key="key-hush")
    AuditEntry.objects.create(id=new_record_id(), request_id="req_1", client_request_id="mine-7", time=NOW, outcome="completed")
    ErrorGroup.objects.create(
        signature="s",
        name="StreamUpstreamError",
        title="berlin broke",
        source="server",
        first_seen=NOW,
        last_seen=NOW,
        count=1200,
    )


def found(client: Client, text: str) -> list[tuple[str, str]]:
    answer = client.get("/admin/go/", {"q": text})
    assert answer.status_code == 200
    return [(item["text"], item["hint"]) for item in answer.json()["items"]]


def test_a_name_finds_groups_and_configuration(admin_client: Client) -> None:
    assert found(admin_client, "BERLIN") == [
        ("StreamUpstreamError", "1,200 events"),
        ("berlin", "upstream"),
        ("berlin / berlin-team", "credential"),
        ("berlin-model", "route"),
        ("berlin-laptop", "client key"),
    ]


@pytest.mark.parametrize("text", ["req_1", "mine-7"])
def test_an_id_finds_its_request_and_leads_there(admin_client: Client, text: str) -> None:
    assert found(admin_client, text) == [("req_1", "completed")]
    (item,) = admin_client.get("/admin/go/", {"q": text}).json()["items"]
    assert admin_client.get(item["url"]).status_code == 200


@pytest.mark.parametrize("text", ["", "b", "nothing like it", "\0", "sk-hush", "key-hush", "%", "_"])
def test_what_is_nothing_finds_nothing(admin_client: Client, text: str) -> None:
    assert found(admin_client, text) == []


def test_nobody_finds_what_he_may_not_see() -> None:
    client = staff("view_route")
    assert found(client, "berlin") == [("berlin-model", "route")]
    assert found(client, "req_1") == []


def test_a_stranger_is_sent_to_the_login(client: Client, settings: Any) -> None:
    assert client.get("/admin/go/", {"q": "berlin"}).status_code == 302
