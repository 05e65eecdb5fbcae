"""From rows to a snapshot, the order of what is tried, cooling, and the thread that keeps it fresh."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from relay import models, routing
from relay.ending import Cause
from relay.models import ClientKey, ConfigVersion, Credential, Upstream
from relay.routing import NO_CREDENTIAL, Candidate, CredentialSpec, RouteSpec, Snapshot, UpstreamSpec
from tests.relay.rows import make_credential, make_key, make_route, make_upstream


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(routing, "_snapshot", Snapshot())
    monkeypatch.setattr(routing, "_cooling", {})
    monkeypatch.setattr(routing, "_to_show", {})
    yield
    routing.stop_refresher()


def upstream(number: int, protocol: str, *credentials: int) -> UpstreamSpec:
    specs = tuple(CredentialSpec(credential, f"c{credential}", "s") for credential in credentials)
    return UpstreamSpec(number, f"u{number}", protocol, "http://u", credentials=specs or (NO_CREDENTIAL,))


def route(*upstreams: UpstreamSpec) -> RouteSpec:
    return RouteSpec(1, "*", upstreams)


def order(found: list[Candidate]) -> list[tuple[str, int | None]]:
    return [(item.upstream.name, item.credential.id) for item in found]


# ---- what is tried, in which order


def test_the_same_protocol_goes_first_and_then_the_order_of_the_route() -> None:
    tried = route(upstream(1, "gemini", 1), upstream(2, "anthropic", 2, 3), upstream(3, "openai-chat", 4))
    assert order(routing.candidates(tried, "anthropic", 0)) == [("u2", 2), ("u2", 3), ("u1", 1), ("u3", 4)]
    assert order(routing.candidates(tried, "ollama", 0)) == [("u1", 1), ("u2", 2), ("u2", 3), ("u3", 4)]


def test_what_cools_goes_last_though_it_speaks_the_protocol_and_comes_back_when_it_has_cooled() -> None:
    tried = route(upstream(1, "openai-chat", 1, 2), upstream(2, "gemini", 3))
    routing.cool(1, 7, "429", now=100)
    assert order(routing.candidates(tried, "openai-chat", 100)) == [("u1", 2), ("u2", 3), ("u1", 1)]
    assert [item.cooling for item in routing.candidates(tried, "openai-chat", 106.9)] == [False, False, True]
    assert order(routing.candidates(tried, "openai-chat", 107)) == [("u1", 1), ("u1", 2), ("u2", 3)]


def test_when_all_cool_the_order_is_that_of_the_route() -> None:
    tried = route(upstream(1, "openai-chat", 1, 2))
    routing.cool(2, 5, "429", now=0)
    routing.cool(1, 60, "401", now=0)
    assert order(routing.candidates(tried, "openai-chat", 1)) == [("u1", 1), ("u1", 2)]


def test_an_upstream_that_cannot_be_reached_cools_with_all_its_credentials_or_none() -> None:
    tried = route(upstream(1, "openai-chat", 1, 2), upstream(2, "openai-chat"), upstream(3, "openai-chat", 3))
    routing.cool(1, 5, "refused", now=0, upstream_id=1)
    routing.cool(None, 5, "refused", now=0, upstream_id=2)
    assert order(routing.candidates(tried, "openai-chat", 1)) == [("u3", 3), ("u1", 1), ("u1", 2), ("u2", None)]


def test_cooling_lasts_a_minute_at_most_and_a_shorter_one_does_not_cut_it() -> None:
    tried = route(upstream(1, "openai-chat", 1))
    routing.cool(1, 3600, "Retry-After", now=0)
    routing.cool(1, 1, "429", now=0)
    assert routing.candidates(tried, "openai-chat", 59.9)[0].cooling
    assert not routing.candidates(tried, "openai-chat", 60)[0].cooling


@pytest.mark.parametrize(
    ("cause", "retry_after", "seconds"),
    [
        (Cause.RATE_LIMITED, 7, 7),
        (Cause.RATE_LIMITED, 3600, 60),
        (Cause.OVERLOADED, 2.5, 2.5),
        (Cause.RATE_LIMITED, None, 0),
        (Cause.CONNECT_REFUSED, None, 5),
        (Cause.DNS, None, 5),
        (Cause.AUTH_REJECTED, None, 60),
        (Cause.QUOTA_EXHAUSTED, None, 60),
        (Cause.HTTP_STATUS, None, 0),
        (Cause.RATE_LIMITED, -1, 0),
    ],
)
def test_how_long_a_failure_cools(cause: Cause, retry_after: float | None, seconds: float) -> None:
    assert routing.cooling_seconds(cause, retry_after) == seconds


@pytest.mark.parametrize(
    ("cause", "tried_after"),
    [(Cause.AUTH_REJECTED, [2, 3, 1]), (Cause.CONNECT_REFUSED, [3, 1, 2]), (Cause.HTTP_STATUS, [1, 2, 3])],
)
def test_a_failure_cools_the_credential_or_the_upstream_that_could_not_be_reached(cause: Cause, tried_after: list[int]) -> None:
    tried = route(upstream(1, "openai-chat", 1, 2), upstream(2, "openai-chat", 3))
    routing.cool_after(routing.candidates(tried, "openai-chat", 0)[0], cause, "why", 0)
    assert [credential for _, credential in order(routing.candidates(tried, "openai-chat", 1))] == tried_after


def test_what_is_shown_of_a_failure_does_not_repeat_the_secret() -> None:
    spec = UpstreamSpec(1, "u", "openai-chat", "http://u", credentials=(CredentialSpec(1, "c", "sk-hush"),))
    (candidate,) = routing.candidates(route(spec), "openai-chat", 0)
    routing.cool_after(candidate, Cause.AUTH_REJECTED, "Incorrect API key: sk-hush", 0)
    assert routing._to_show[1].reason == "auth-rejected: Incorrect API key: …"


# ---- from rows


@pytest.mark.django_db
def test_rows_become_a_snapshot_with_what_is_off_left_out() -> None:
    openai = make_upstream("openai", ("a", "b"), base_url="https://api.openai.com/v1/", total_timeout=9)
    make_credential(openai, "c", enabled=False)
    off = make_upstream("off", enabled=False)
    make_route("gpt-*", off, openai, upstream_model="gpt-5", max_attempts=2)
    found = routing.load_now()
    assert routing.current() is found and found.version == ConfigVersion.present()
    taken = found.route_for("gpt-4o")
    assert taken is not None
    assert (taken.upstream_model, taken.max_attempts) == ("gpt-5", 2)
    (spec,) = taken.upstreams
    assert (spec.name, spec.base_url, spec.total_timeout, spec.proxy) == (
        "openai",
        "https://api.openai.com/v1",
        9,
        None,
    )
    assert [credential.secret for credential in spec.credentials] == ["a", "b"]


@pytest.mark.django_db
def test_no_credential_at_all_is_one_to_try_and_all_of_them_off_is_none() -> None:
    keyless, off = make_upstream("keyless", protocol="ollama"), make_upstream("off", ("a",))
    Credential.objects.update(enabled=False)
    make_route("k", keyless)
    make_route("o", off)
    found = routing.load_now()
    assert routing.candidates(found.route_for("k"), "openai-chat", 0)[0].credential is NO_CREDENTIAL  # type: ignore[arg-type]
    assert routing.candidates(found.route_for("o"), "openai-chat", 0) == []  # type: ignore[arg-type]


@pytest.mark.django_db
def test_a_secret_that_cannot_be_read_leaves_its_credential_out_and_says_so(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    openai = make_upstream("openai", ("a", "b"))
    Credential.objects.filter(label="a").update(sealed_secret="damaged")
    make_route("m", openai)
    found = routing.load_now()
    assert [item.credential.label for item in routing.candidates(found.routes[0], "openai-chat", 0)] == ["b"]
    assert "openai / a is left out" in caplog.text


@pytest.mark.django_db
def test_both_keys_of_a_rotation_are_known_until_the_old_one_ends() -> None:
    row = make_key("laptop", "the old one", allowed_models="gpt-*\n\n claude-4 ")
    fresh = row.rotate(timezone.now() + timedelta(hours=1))
    row.save()
    found = routing.load_now()
    old, new = found.key_for("the old one"), found.key_for(fresh)
    assert old is not None and new is not None
    assert (old.label, new.label, new.allowed_models, new.expires_at) == (
        "laptop",
        "laptop",
        ("gpt-*", "claude-4"),
        None,
    )
    assert found.key_for("the old one", now=time.time() + 3601) is None
    ClientKey.objects.update(enabled=False)
    assert routing.load_now().key_for("the old one") is None


@pytest.mark.django_db
def test_an_old_key_never_outlives_the_row_it_belongs_to() -> None:
    soon = timezone.now() + timedelta(minutes=1)
    row = make_key("laptop", "the old one", expires_at=soon)
    row.rotate(timezone.now() + timedelta(days=9))
    row.save()
    old = routing.load_now().key_for("the old one")
    assert old is not None and old.expires_at == soon.timestamp()


# ---- the thread


def eventually(check: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return check()


@pytest.mark.django_db(transaction=True)
def test_a_changed_row_takes_effect_within_a_second_and_costs_the_reader_no_query() -> None:
    openai = make_upstream("openai", ("a",))
    routing.start_refresher()
    assert [spec.name for spec in routing.current().upstreams] == ["openai"]
    openai.enabled = False
    openai.save()
    assert eventually(lambda: not routing.current().upstreams, 1.0)
    Upstream.objects.update(enabled=True)
    assert eventually(lambda: len(routing.current().upstreams) == 1, 1.0)
    Upstream.objects.all().delete()
    assert eventually(lambda: not routing.current().upstreams, 1.0)


@pytest.mark.django_db(transaction=True)
def test_the_last_snapshot_stays_while_the_database_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_key("laptop", "k")
    present = ConfigVersion.present
    away = threading.Event()

    def gone() -> int:
        if away.is_set():
            raise OperationalError("the server closed the connection")
        return present()

    monkeypatch.setattr(models.ConfigVersion, "present", gone)
    routing.start_refresher()
    away.set()
    make_key("desktop", "d")
    assert eventually(lambda: "cannot be read (OperationalError)" in caplog.text, 2.0)
    assert routing.current().key_for("k") is not None and routing.current().key_for("d") is None
    away.clear()
    assert eventually(lambda: routing.current().key_for("d") is not None, 2.0)
    assert caplog.text.count("cannot be read") == 1


@pytest.mark.django_db(transaction=True)
def test_what_a_credential_suffered_is_shown_on_its_row_and_bumps_no_version() -> None:
    credential = make_credential(make_upstream(), "a")
    routing.start_refresher()
    before = ConfigVersion.present()
    routing.cool(credential.pk, 60, "401: no such key", time.monotonic())

    def shown() -> bool:
        credential.refresh_from_db()
        return credential.last_failure == "401: no such key"

    assert eventually(shown, 2.0)
    assert credential.cooling_until is not None and credential.cooling_until > timezone.now()
    assert ("credential", credential.pk) in routing._cooling  # shown, and still cooling, by whatever clock
    assert ConfigVersion.present() == before


@pytest.mark.django_db(transaction=True)
def test_the_refresher_is_one_thread_and_can_be_stopped_and_started_again() -> None:
    def running() -> int:
        return sum(thread.name == "configuration-refresher" for thread in threading.enumerate())

    routing.start_refresher()
    routing.start_refresher()
    assert running() == 1
    routing.stop_refresher()
    assert running() == 0
    make_upstream("later")
    routing.start_refresher()
    assert routing.current().upstreams


@pytest.mark.django_db
def test_reading_the_present_configuration_asks_no_database(django_assert_num_queries: Any) -> None:
    make_route("gpt-*", make_upstream("openai", ("a",)))
    make_key("laptop", "k")
    routing.load_now()
    connection.queries_log.clear()
    with django_assert_num_queries(0):
        found = routing.current()
        taken = found.route_for("gpt-5")
        assert taken is not None and found.key_for("k") is not None
        routing.candidates(taken, "openai-chat", 0)
        routing.cool(1, 5, "x", 0)
