"""The rows: what the database itself refuses, how secrets are kept, and that every change is counted."""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from errorlog.redaction import redact_text
from relay import vault
from relay.harmless import harmless
from relay.models import ClientKey, ConfigVersion, Credential, Price, Route, RouteUpstream, Upstream
from tests.relay.rows import make_credential, make_key, make_route, make_upstream

pytestmark = pytest.mark.django_db


def bumps(act: Any) -> int:
    before = ConfigVersion.present()
    act()
    return ConfigVersion.present() - before


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"protocol": "telegraph"},
        {"base_url": "ftp://example.org"},
        {"idle_timeout": 0},
        {"connect_timeout": -1},
        {"total_timeout": 0},
        {"commit_after": -0.5},
    ],
)
def test_the_database_refuses_an_upstream_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Upstream.objects.create(**{"name": "a", "protocol": "openai-chat", "base_url": "http://a/v1", **values})


def test_no_total_timeout_and_no_early_commitment_are_allowed() -> None:
    upstream = make_upstream(total_timeout=None, commit_after=0)
    upstream.full_clean()


@pytest.mark.parametrize(
    "base_url",
    [
        "api.openai.com/v1",
        "ftp://api.openai.com/v1",
        "https://",
        "https://user:password@api.openai.com/v1",
        "https://user@api.openai.com/v1",
        "https://api.openai.com/v1?key=1",
        "https://api.openai.com/v1?",
        "https://api.openai.com/v1#top",
        "https://api.openai.com:port/v1",
        "https://api.openai.com:99999/v1",
        "https://api.openai.com/v1\\",
        "https://api openai.com/v1",
        "https://[::1/v1",
    ],
)
def test_a_base_url_that_is_none_is_refused(base_url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Upstream(name="a", protocol="openai-chat", base_url=base_url).full_clean()
    assert "base_url" in refused.value.message_dict
    assert "password" not in str(refused.value.message_dict["base_url"]) or "without" in str(refused.value)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:11434", "https://[::1]:8443/v1", "https://api.openai.com/v1/"])
def test_ordinary_base_urls_are_taken(base_url: str) -> None:
    Upstream(name="a", protocol="ollama", base_url=base_url).full_clean()


def test_a_proxy_with_a_password_and_a_missing_ca_bundle_are_refused(tmp_path: Any) -> None:
    not_pem = tmp_path / "notes.txt"
    not_pem.write_text("no certificate")
    for values in (
        {"proxy": "http://user:pw@proxy:3128"},
        {"proxy": "socks5://proxy:1080"},
        {"proxy": "http://proxy:3128/path"},
        {"ca_bundle": "relative.pem"},
        {"ca_bundle": str(tmp_path / "absent.pem")},
        {"ca_bundle": str(not_pem)},
    ):
        with pytest.raises(ValidationError) as refused:
            Upstream(name="a", protocol="gemini", base_url="http://a", **values).full_clean()
        assert set(refused.value.message_dict) == set(values)


def test_names_labels_and_models_are_unique_where_they_must_be() -> None:
    first, second = make_upstream("a", ("k",)), make_upstream("b", ("k",))
    route = make_route("gpt-*", first)
    make_key("laptop", "one")
    for duplicate in (
        lambda: make_upstream("a"),
        lambda: make_credential(first, "k"),
        lambda: make_route("gpt-*"),
        lambda: RouteUpstream.objects.create(route=route, upstream=first, position=2),
        lambda: make_key("laptop", "two"),
        lambda: make_key("desktop", "one"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            duplicate()
    RouteUpstream.objects.create(route=route, upstream=second, position=1)


def test_a_model_has_one_price_at_an_upstream_and_one_at_any_and_the_form_says_so() -> None:
    upstream = make_upstream()
    for where, words in ((upstream, "a price at this upstream already"), (None, "a price at any upstream already")):
        Price.objects.create(model="gpt-*", upstream=where, input=1, output=1)
        with pytest.raises(ValidationError, match=words):
            Price(model="gpt-*", upstream=where, input=1, output=1).full_clean()
        with pytest.raises(IntegrityError), transaction.atomic():
            Price.objects.create(model="gpt-*", upstream=where, input=1, output=1)
    Price(model="gpt-5", upstream=upstream, input=0, cached_input=0, output=0).full_clean()


@pytest.mark.parametrize("values", [{"input": -1}, {"output": -1}, {"cached_input": "-0.000001"}, {"model": ""}])
def test_the_database_refuses_a_price_that_cannot_be(values: dict[str, Any]) -> None:
    row = {"model": "m", "input": 1, "output": 1, **values}
    with pytest.raises(ValidationError, match=r"from 0 to less than|cannot be blank"):
        Price(**row).full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.create(**row)


def test_a_route_tries_one_to_ten_times() -> None:
    for attempts in (0, 11):
        with pytest.raises(IntegrityError), transaction.atomic():
            Route.objects.create(model=f"m{attempts}", max_attempts=attempts)


def test_an_earlier_key_without_an_end_is_refused_by_the_database() -> None:
    row = make_key()
    row.previous_digest = "00" * 32
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save()


def test_a_secret_lies_encrypted_and_comes_back_only_under_the_same_secret_key(settings: Any) -> None:
    credential = make_credential(make_upstream(), "sk-very-secret", label="team")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM relay_credential")
        assert "sk-very-secret" not in str(cursor.fetchall())
    assert Credential.objects.get().reveal() == "sk-very-secret"
    settings.SECRET_KEY = "another key of more than sixteen characters"
    with pytest.raises(vault.UnreadableSecret):
        credential.reveal()


def test_one_secret_sealed_twice_looks_different() -> None:
    assert vault.seal("same") != vault.seal("same")


def test_a_client_key_lies_as_a_digest_that_depends_on_the_secret_key(settings: Any) -> None:
    row = make_key(key="a key in clear")
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM relay_clientkey")
        assert "in clear" not in str(cursor.fetchall())
    assert ClientKey.known("a key in clear") == row
    before = vault.digest("a key in clear")
    settings.SECRET_KEY = "another key of more than sixteen characters"
    assert vault.digest("a key in clear") != before


def test_a_hint_never_gives_more_than_a_quarter_of_the_key() -> None:
    assert vault.hint("abc") == "…"
    assert vault.hint("abcdefgh") == "ab…"
    assert vault.hint(vault.new_client_key()).startswith("epk_")
    assert len(vault.hint("x" * 100)) == 9


def test_a_client_key_is_known_as_a_secret_wherever_it_stands() -> None:
    """The log apps know nothing of the gateway, so its prefix is written down twice: here the two are held together."""
    key = vault.new_client_key()
    assert key not in redact_text(f"somebody said {key}, and went on")
    assert not harmless({"id": "", "message": f"somebody said {key}"})


def test_rotation_gives_a_new_key_and_an_end_to_the_old_one() -> None:
    row = make_key(key="the old one")
    until = timezone.now() + timedelta(days=7)
    key = row.rotate(until)
    row.save()
    row.refresh_from_db()
    assert row.digest == vault.digest(key).hex()
    assert row.previous_digest == vault.digest("the old one").hex()
    assert row.previous_expires_at == until


def test_rotation_at_once_ends_the_old_key_now_but_remembers_it() -> None:
    row = make_key(key="the old one")
    row.rotate()
    row.save()
    assert row.previous_expires_at is not None and row.previous_expires_at <= timezone.now()
    assert ClientKey.known("the old one") == row


def test_every_way_to_change_a_row_bumps_the_version() -> None:
    upstream, other = make_upstream("a", ("k",)), make_upstream("b")
    route = make_route("gpt-*", upstream)
    key = make_key()
    ways = {
        "save": upstream.save,
        "create": lambda: make_credential(upstream, "k2"),
        "update": lambda: Upstream.objects.update(enabled=False),
        "bulk_create": lambda: Route.objects.bulk_create([Route(model="x"), Route(model="y")]),
        "bulk_update": lambda: Route.objects.bulk_update([Route(pk=route.pk, max_attempts=2)], ["max_attempts"]),
        "step": lambda: RouteUpstream.objects.create(route=route, upstream=other),
        "delete": key.delete,
        "price": lambda: Price.objects.create(model="m", input=1, output=1),
        "changed price": lambda: Price.objects.update(input=2),
        "bulk delete": lambda: Route.objects.filter(model="x").delete(),
        "cascade": upstream.delete,
    }
    assert {name: bumps(way) > 0 for name, way in ways.items()} == dict.fromkeys(ways, True)


def test_what_changes_nothing_bumps_nothing() -> None:
    credential = make_credential(make_upstream(), "k")
    now = timezone.now()
    assert bumps(lambda: Route.objects.filter(model="nowhere").delete()) == 0
    assert bumps(lambda: Route.objects.filter(model="nowhere").update(max_attempts=1)) == 0
    assert bumps(lambda: Credential.objects.note_failure(credential.pk, "401", now, now)) == 0
    assert Credential.objects.get().last_failure == "401"


def test_a_version_is_not_bumped_when_its_transaction_is_rolled_back() -> None:
    make_upstream("a")
    before = ConfigVersion.present()
    with transaction.atomic():
        make_upstream("b")
        transaction.set_rollback(True)
    assert ConfigVersion.present() == before


def test_no_manager_offers_to_delete_everything() -> None:
    assert not hasattr(Upstream.objects, "delete")
    assert hasattr(Upstream.objects, "update")


def test_a_new_secret_forgets_what_the_old_one_suffered() -> None:
    credential = make_credential(make_upstream(), "k")
    Credential.objects.note_failure(credential.pk, "401: no", timezone.now(), timezone.now())
    credential.refresh_from_db()
    credential.set_secret("k2")
    credential.save()
    credential.refresh_from_db()
    assert (credential.last_failure, credential.cooling_until) == ("", None)
