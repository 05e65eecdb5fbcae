"""The admin of the gateway: secrets go in and never come out, keys show once, a credential can be tried."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from relay import routing, vault
from relay.models import ClientKey, ConfigVersion, Credential, Price, Route, Spend, Upstream
from tests.relay.answering import Answering
from tests.relay.rows import make_credential, make_key, make_route, make_upstream

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_pages(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }


@pytest.fixture
def answering() -> Iterator[Answering]:
    with Answering() as server:
        yield server


def page(client: Client, name: str, *arguments: Any) -> str:
    response = client.get(reverse(f"admin:relay_{name}", args=arguments))
    assert response.status_code == 200
    return response.content.decode()


def credential_values(upstream: Upstream, **values: str) -> dict[str, Any]:
    return {"upstream": upstream.pk, "label": "team", "enabled": "on", "secret": "", **values}


# ---- credentials and upstreams


def test_a_secret_goes_in_and_never_comes_out(admin_client: Client) -> None:
    upstream = make_upstream()
    added = admin_client.post(
        reverse("admin:relay_credential_add"), credential_values(upstream, secret="sk-very-secret"), follow=True
    )
    credential = Credential.objects.get()
    assert credential.reveal() == "sk-very-secret"
    pages = [
        added.content.decode(),
        page(admin_client, "credential_change", credential.pk),
        page(admin_client, "credential_changelist"),
        page(admin_client, "upstream_change", upstream.pk),
        page(admin_client, "credential_history", credential.pk),
    ]
    assert all("sk-very-secret" not in text and credential.sealed_secret not in text for text in pages)
    assert not any("sk-very" in entry.change_message for entry in LogEntry.objects.all())


def test_a_refused_form_does_not_send_the_secret_back(admin_client: Client) -> None:
    values = credential_values(make_upstream(), label="", secret="sk-very-secret")
    response = admin_client.post(reverse("admin:relay_credential_add"), values)
    assert "This field is required" in response.content.decode()
    assert "sk-very-secret" not in response.content.decode()


def test_an_empty_secret_keeps_the_one_that_is_there_and_a_new_credential_needs_one(admin_client: Client) -> None:
    upstream = make_upstream()
    credential = make_credential(upstream, "sk-1")
    address = reverse("admin:relay_credential_change", args=[credential.pk])
    admin_client.post(address, credential_values(upstream, label="renamed"))
    credential.refresh_from_db()
    assert (credential.label, credential.reveal()) == ("renamed", "sk-1")
    admin_client.post(address, credential_values(upstream, label="renamed", secret="sk-2"))
    credential.refresh_from_db()
    assert credential.reveal() == "sk-2"
    refused = admin_client.post(reverse("admin:relay_credential_add"), credential_values(upstream))
    assert "needs its secret" in refused.content.decode()


def test_an_upstream_is_made_with_its_credential_on_one_page(admin_client: Client) -> None:
    form = {
        "name": "openai",
        "protocol": "openai-chat",
        "base_url": "https://api.openai.com/v1",
        "enabled": "on",
        "connect_timeout": "10",
        "first_byte_timeout": "300",
        "idle_timeout": "300",
        "stalled_timeout": "900",
        "total_timeout": "",
        "write_timeout": "60",
        "commit_after": "45",
        "proxy": "",
        "ca_bundle": "",
        "credentials-TOTAL_FORMS": "1",
        "credentials-INITIAL_FORMS": "0",
        "credentials-0-label": "team-a",
        "credentials-0-secret": "sk-a",
        "credentials-0-enabled": "on",
    }
    refused = admin_client.post(
        reverse("admin:relay_upstream_add"),
        {**form, "base_url": "https://me:pw@api.openai.com/v1", "idle_timeout": "0"},
    ).content.decode()
    assert "without user name or password" in refused and "more than 0" in refused
    assert not Upstream.objects.exists()
    version = ConfigVersion.present()
    assert admin_client.post(reverse("admin:relay_upstream_add"), form).status_code == 302
    assert Upstream.objects.get().credentials.get().reveal() == "sk-a"
    assert ConfigVersion.present() > version


def test_the_lists_say_how_things_stand(admin_client: Client) -> None:
    upstream = make_upstream("openai", ("a", "b"))
    off = make_upstream("spare", enabled=False)
    Credential.objects.filter(label="b").update(enabled=False)
    make_route("gpt-*", upstream, off)
    make_route("empty")
    Credential.objects.note_failure(
        Credential.objects.get(label="a").pk, "401: no", timezone.now(), timezone.now() + timedelta(seconds=60)
    )
    text = page(admin_client, "upstream_changelist")
    assert "1 of 2 on" in text and "no route leads here" not in text and "none (asks for none)" in text
    text = page(admin_client, "route_changelist")
    assert "openai → spare (off)" in text and "none: clients get 503" in text
    text = page(admin_client, "credential_changelist")
    assert "cooling, again in " in text and " s: tried last" in text and "401: no" in text
    Credential.objects.update(sealed_secret="damaged")
    assert "SECRET_KEY changed?" in page(admin_client, "credential_changelist")


def test_a_route_keeps_the_order_that_it_was_given(admin_client: Client) -> None:
    first, second = make_upstream("first"), make_upstream("second")
    form = {
        "model": "gpt-*",
        "upstream_model": "",
        "max_attempts": "3",
        "position": "1000",
        "strategy": "round-robin",
        "defaults": "",
        "overrides": '{"store": false}',
        "steps-TOTAL_FORMS": "2",
        "steps-INITIAL_FORMS": "0",
        "steps-0-position": "2",
        "steps-0-weight": "3",
        "steps-0-upstream": first.pk,
        "steps-1-position": "1",
        "steps-1-weight": "1",
        "steps-1-upstream": second.pk,
    }
    refused = admin_client.post(reverse("admin:relay_route_add"), form | {"defaults": '{"model": "x"}'})
    assert "model is not the route&#x27;s to set" in refused.content.decode()
    assert admin_client.post(reverse("admin:relay_route_add"), form).status_code == 302
    (route,) = routing.load_now().routes
    assert (route.strategy, route.weights, route.defaults, route.overrides) == ("round-robin", (1, 3), {}, {"store": False})
    assert [step.upstream.name for step in Route.objects.get().steps.all()] == ["second", "first"]


# ---- prices


def test_a_price_says_what_it_is_and_what_it_makes_of_a_request(admin_client: Client, settings: Any) -> None:
    settings.CURRENCY = "EUR"
    assert "There is none yet" in page(admin_client, "price_changelist")
    form = page(admin_client, "price_add")
    assert "In EUR per million tokens" in form and "half of them cached, 500 out costs 0.0119 EUR" in form
    values = {"model": "gpt-5*", "upstream": "", "input": "1.25", "cached_input": "", "output": "10", "position": "1000"}
    assert admin_client.post(reverse("admin:relay_price_add"), values).status_code == 302
    again = admin_client.post(reverse("admin:relay_price_add"), values)
    assert "This model has a price at any upstream already." in again.content.decode()
    assert "from 0 to less than" in admin_client.post(reverse("admin:relay_price_add"), values | {"input": "-1"}).content.decode()
    listed = page(admin_client, "price_changelist")
    assert "as input" in listed and "0.0175 EUR" in listed and "There is none yet" not in listed
    changed = page(admin_client, "price_change", Price.objects.get().pk)
    assert 'value="1.25"' in changed and "0.0175 EUR" in changed


def test_a_tab_is_marked_on_its_own_pages_alone(admin_client: Client) -> None:
    marked = {}
    for name in ("upstream", "credential", "clientkey", "route", "price"):
        nav = page(admin_client, f"{name}_changelist").split('<nav id="ep-nav"')[1].split("</nav>")[0]
        marked[name] = re.findall(r'aria-current="page">([^<]+)</a>', nav)
    assert marked == {
        "upstream": ["Upstreams"],
        "credential": ["Upstreams"],
        "clientkey": ["Client keys"],
        "route": [],
        "price": [],
    }


# ---- client keys


def create_key(client: Client, **values: str) -> str:
    form = {"label": "laptop", "expires_at_0": "", "expires_at_1": "", "allowed_models": "", **values}
    response = client.post(reverse("admin:relay_clientkey_add"), form)
    assert response.status_code == 200 and "no-store" in response["Cache-Control"]
    (key,) = re.findall(r'id="client-key">(\S+)</code>', response.content.decode())
    return key


def test_a_client_key_is_shown_in_one_answer_and_nowhere_else(admin_client: Client) -> None:
    key = create_key(admin_client, allowed_models="gpt-*")
    row = ClientKey.objects.get()
    assert row.digest == vault.digest(key).hex() and row.allowed_globs == ("gpt-*",) and row.rotated_at is None
    pages = [
        page(admin_client, "clientkey_changelist"),
        page(admin_client, "clientkey_change", row.pk),
        page(admin_client, "clientkey_history", row.pk),
    ]
    assert all(key not in text for text in pages)
    assert not any(key in str(cookie) for cookie in admin_client.cookies.values())
    assert not any(key in entry.change_message + entry.object_repr for entry in LogEntry.objects.all())
    known = routing.load_now().key_for(key)
    assert known is not None and known.label == "laptop"


@pytest.mark.parametrize(("hours", "old_works"), [("24", True), ("0", False)])
def test_a_key_is_rotated_with_or_without_a_time_for_both(admin_client: Client, hours: str, old_works: bool) -> None:
    row = make_key(key="the old one")
    address = reverse("admin:relay_clientkey_rotate", args=[row.pk])
    assert "Rotate the key of laptop" in admin_client.get(address).content.decode()
    response = admin_client.post(address, {"hours": hours, "until_0": "", "until_1": ""})
    (fresh,) = re.findall(r'id="client-key">(\S+)</code>', response.content.decode())
    found = routing.load_now()
    assert found.key_for(fresh) is not None
    assert (found.key_for("the old one") is not None) is old_works
    assert "Rotated" in LogEntry.objects.get().get_change_message()


def test_a_rotation_may_name_its_own_end_but_not_one_that_is_over(admin_client: Client) -> None:
    row = make_key(key="the old one")
    address = reverse("admin:relay_clientkey_rotate", args=[row.pk])
    over = admin_client.post(address, {"hours": "24", "until_0": "2001-01-01", "until_1": "00:00:00"})
    assert "This time is over" in over.content.decode()
    admin_client.post(address, {"hours": "0", "until_0": "2099-01-01", "until_1": "00:00:00"})
    row.refresh_from_db()
    assert row.previous_expires_at is not None and row.previous_expires_at.year == 2099


def test_only_who_may_change_a_key_may_rotate_it(client: Client, django_user_model: Any) -> None:
    row = make_key()
    address = reverse("admin:relay_clientkey_rotate", args=[row.pk])
    assert client.post(address, {"hours": "0"}).status_code == 302  # to the login
    client.force_login(django_user_model.objects.create_user("reader", is_staff=True))
    assert client.post(address, {"hours": "0"}).status_code == 403
    digest = row.digest
    row.refresh_from_db()
    assert row.digest == digest


def test_the_list_says_what_keys_may_use_what_they_used_today_and_which_are_over_budget(
    admin_client: Client, django_assert_max_num_queries: Any
) -> None:
    today = datetime.now(UTC).date()
    for label, budget, used in (("spent", 1000, 1000), ("thrifty", 5000, 1234), ("fresh", 700, 0)):
        key = make_key(label, f"key of {label}", tokens_per_day=budget, max_concurrency=3 if label == "thrifty" else None)
        Spend.objects.create(client_key=key, day=today - timedelta(days=1), tokens=9999)
        if used:
            Spend.objects.create(client_key=key, day=today, tokens=used)
    make_key("free", "key of free")
    with django_assert_max_num_queries(8):
        text = page(admin_client, "clientkey_changelist")
    cells = dict(zip(re.findall(r'change/">(\w+)</a>', text), re.findall(r'"field-state">([^<]*)</td>', text), strict=True))
    assert cells == {"free": "ready", "fresh": "ready", "spent": "over budget until 00:00 UTC", "thrifty": "ready"}
    assert re.findall(r'"field-limits">([^<]*)</td>', text) == [
        "none",
        "0 of 700 tokens used today",
        "1,000 of 1,000 tokens used today",
        "3 at once, 1,234 of 5,000 tokens used today",
    ]
    assert "1,234 of 5,000" in page(admin_client, "clientkey_change", ClientKey.objects.get(label="thrifty").pk)


# ---- trying a credential


def test_credential(client: Client, credential: Credential) -> str:
    form = {"action": "test_credentials", "_selected_action": [credential.pk]}
    response = client.post(reverse("admin:relay_credential_changelist"), form, follow=True)
    (message,) = [str(message) for message in response.context["messages"]]
    return message


test_credential.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("protocol", "path", "header"),
    [
        ("openai-chat", "/v1/models", "authorization: Bearer sk-1"),
        ("openai-responses", "/v1/models", "authorization: Bearer sk-1"),
        ("anthropic", "/v1/models", "x-api-key: sk-1"),
        ("gemini", "/v1/models", "x-goog-api-key: sk-1"),
        ("ollama", "/v1/api/tags", "authorization: Bearer sk-1"),
    ],
)
def test_a_good_credential_is_told_so_in_each_protocol(
    admin_client: Client, answering: Answering, protocol: str, path: str, header: str
) -> None:
    answering.says(200, b'{"data":[{"id":"a"},{"id":"b"}]}')
    credential = make_credential(make_upstream(protocol=protocol, base_url=answering.base_url), "sk-1", label="team")
    assert "openai / team: It works: 200, 2 models listed." in test_credential(admin_client, credential)
    assert f"GET {path} HTTP/1.1" in answering.request and header.lower() in answering.request.lower()
    credential.refresh_from_db()
    assert credential.last_failure == ""


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, b'{"error":{"message":"Incorrect API key: sk-hush"}}', "401 auth-rejected: Incorrect API key: …"),
        (402, b'{"error":"no money"}', "402 quota-exhausted: no money"),
        (429, b"<html>", "429 rate-limited"),
        (500, b'{"error":{"message":"broken"}}', "500 http-status: broken"),
        (200, b"<html>hello</html>", "200, but no JSON came; is the base URL right?"),
        (302, b"", "302 redirected: redirects are never followed"),
    ],
)
def test_a_bad_credential_is_told_so_without_its_secret(
    admin_client: Client, answering: Answering, status: int, body: bytes, told: str
) -> None:
    answering.says(status, body)
    credential = make_credential(make_upstream(base_url=answering.base_url), "sk-hush", label="team")
    version = ConfigVersion.present()
    message = test_credential(admin_client, credential)
    assert told in message and "sk-hush" not in message
    credential.refresh_from_db()
    assert told in credential.last_failure and ConfigVersion.present() == version


def test_a_websockets_address_is_tried_by_http(admin_client: Client, answering: Answering) -> None:
    answering.says(200, b'{"data":[]}')
    upstream = make_upstream(protocol="openai-responses", base_url=answering.base_url.replace("http", "ws"))
    assert "It works: 200" in test_credential(admin_client, make_credential(upstream, "sk-1"))


def test_an_upstream_that_is_not_there_is_told_too(admin_client: Client) -> None:
    credential = make_credential(make_upstream(base_url="http://127.0.0.1:9/v1"), "sk-1", label="team")
    assert "openai / team: connect-refused: " in test_credential(admin_client, credential)


def test_the_page_of_a_credential_saves_and_tests_it(admin_client: Client, answering: Answering) -> None:
    answering.says(200, b'{"data":[]}')
    upstream = make_upstream(base_url=answering.base_url)
    credential = make_credential(upstream, "sk-1")
    address = reverse("admin:relay_credential_change", args=[credential.pk])
    assert 'name="_test"' in admin_client.get(address).content.decode()
    response = admin_client.post(address, credential_values(upstream, secret="sk-2", _test="1"), follow=True)
    assert response.redirect_chain == [(address, 302)]
    assert any("It works: 200" in str(message) for message in response.context["messages"])
    assert "authorization: Bearer sk-2" in answering.request


def test_a_trial_leaves_an_egress_audit_entry(admin_client: Client, answering: Answering, journal_folder: Path) -> None:
    answering.says(401, b'{"error":{"message":"no"}}')
    credential = make_credential(make_upstream(base_url=answering.base_url), "sk-1", label="team")
    test_credential(admin_client, credential)
    lines = [orjson.loads(line) for file in journal_folder.rglob("*.jsonl") for line in file.read_bytes().splitlines()]
    (line,) = [line for line in lines if line["t"] == "close"]
    entry = line["entry"]
    assert "event" not in line
    assert (entry["direction"], entry["method"], entry["path"]) == ("egress", "GET", "/v1/models")
    assert (entry["provider"], entry["credential"], entry["credential_id"]) == ("openai", "team", credential.pk)
    assert (entry["status"], entry["outcome"], entry["cause"]) == (401, "upstream-error", "auth-rejected")
