"""The plan of a rehearsal: who may mark a request, and where a marked one may go."""

from __future__ import annotations

import time
from typing import Any

import pytest

from relay import drill
from relay.drill import Plan

UPSTREAM = {
    "name": "drill",
    "protocol": "openai-chat",
    "base_url": "http://127.0.0.1:9/v1",
    "idle_timeout": 1.0,
    "credentials": [("one", "secret-1"), ("two", "secret-2")],
}


def test_a_signed_plan_comes_back_with_its_one_upstream() -> None:
    plan = drill.read(Plan("key", UPSTREAM, max_attempts=2).sign().encode())
    assert plan is not None
    route = plan.route()
    assert route is not None
    (upstream,) = route.upstreams
    assert (upstream.base_url, upstream.idle_timeout, route.max_attempts) == ("http://127.0.0.1:9/v1", 1.0, 2)
    assert [(item.label, item.secret) for item in upstream.credentials] == [("one", "secret-1"), ("two", "secret-2")]
    ids = [upstream.id, *(item.id for item in upstream.credentials)]
    assert max(number for number in ids if number is not None) < 0


def test_two_rehearsals_share_no_id_so_that_what_cools_in_one_disturbs_no_other() -> None:
    one, two = Plan("key-1", UPSTREAM).route(), Plan("key-2", UPSTREAM).route()
    assert one is not None
    assert two is not None
    assert not {item.id for item in one.upstreams[0].credentials} & {item.id for item in two.upstreams[0].credentials}


def test_without_an_upstream_no_route_serves_it() -> None:
    assert Plan("key").route() is None


def test_only_the_plans_own_key_opens_and_only_its_models() -> None:
    plan = Plan("key", allowed_models=("ok",))
    assert plan.client_key("other") is None
    key = plan.client_key("key")
    assert key is not None
    assert (key.label, key.allows("ok"), key.allows("eof")) == ("drill", True, False)


@pytest.mark.parametrize("value", [b"", b"x", b"\xff\xfe", b"e30:1abcde:sig", Plan("key").sign().encode()[:-1]])
def test_what_we_did_not_sign_is_no_plan(value: bytes) -> None:
    assert drill.read(value) is None


def test_a_plan_under_another_secret_key_or_of_yesterday_is_none(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    value = Plan("key").sign().encode()
    late = time.time() + drill.VALID_SECONDS + 5
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: late)
        assert drill.read(value) is None
    assert drill.read(value) is not None
    settings.SECRET_KEY = "another-secret-key-of-32-characters"
    assert drill.read(value) is None
