"""Which candidate a strategy puts first, and how many requests may use one at once."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay import balancing, routing
from relay.adapters.base import asked_wait
from relay.balancing import Candidate, conversation
from relay.snapshot import ClientKeySpec, CredentialSpec, RouteSpec, Snapshot, UpstreamSpec


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("_in_use", "_turns", "_credential_turns"):
        monkeypatch.setattr(balancing, name, {})
    monkeypatch.setattr(routing, "_cooling", {})
    yield


def upstream(number: int, *credentials: int, limit: int | None = None, protocol: str = "openai-chat") -> UpstreamSpec:
    specs = tuple(CredentialSpec(credential, f"c{credential}", "s", limit) for credential in credentials)
    return UpstreamSpec(number, f"u{number}", protocol, "http://u", credentials=specs)


def tried(route: RouteSpec, affinity: str = "") -> list[int | None]:
    return [item.credential.id for item in routing.candidates(route, "openai-chat", 0, affinity)]


def candidate(credential: int = 1, limit: int | None = None) -> Candidate:
    owner = upstream(1, credential, limit=limit)
    return Candidate(owner, owner.credentials[0])


def test_in_turn_gives_each_upstream_its_share_and_each_credential_its_turn() -> None:
    route = RouteSpec(1, "*", (upstream(1, 11, 12), upstream(2, 21)), strategy="round-robin", weights=(3, 1))
    orders = [tried(route) for _ in range(80)]
    assert Counter(order[0] for order in orders) == {11: 30, 12: 30, 21: 20}
    assert all(sorted(order) == [11, 12, 21] for order in orders)
    assert max(len(run) for run in "".join("b" if order[0] == 21 else "a" for order in orders).split("b")) == 3  # smooth


def test_the_least_busy_goes_first_by_its_weight() -> None:
    route = RouteSpec(1, "*", (upstream(1, 11), upstream(2, 21)), strategy="least-busy", weights=(1, 2))
    assert tried(route) == [21, 11]
    places = [balancing.take(item) for item in routing.candidates(route, "openai-chat", 0) if item.credential.id == 21]
    assert tried(route) == [11, 21] or tried(route) == [21, 11]
    places += [balancing.take(item) for item in routing.candidates(route, "openai-chat", 0) if item.credential.id == 21]
    assert tried(route) == [11, 21]
    for place in places:
        assert place is not None
        place.leave()
    assert tried(route) == [21, 11]


def test_a_conversation_stays_where_it_is_and_conversations_spread_by_weight() -> None:
    route = RouteSpec(1, "*", (upstream(1, 11), upstream(2, 21)), strategy="sticky", weights=(3, 1))
    firsts = {str(number): tried(route, str(number))[0] for number in range(2000)}
    assert all(tried(route, affinity)[0] == first for affinity, first in firsts.items())
    assert 1400 < Counter(firsts.values())[11] < 1600


def test_only_the_conversations_of_what_went_away_move() -> None:
    three = RouteSpec(1, "*", (upstream(1, 11), upstream(2, 21), upstream(3, 31)), strategy="sticky")
    two = RouteSpec(1, "*", (upstream(1, 11), upstream(2, 21)), strategy="sticky")
    for number in range(300):
        before, after = tried(three, str(number))[0], tried(two, str(number))[0]
        assert before in (after, 31)


def test_what_cools_goes_last_whatever_the_strategy() -> None:
    for strategy in ("in-order", "round-robin", "least-busy", "sticky"):
        route = RouteSpec(1, "*", (upstream(1, 11), upstream(2, 21)), strategy=strategy)
        routing.cool(11, 5, "429", now=0)
        assert all(tried(route, str(number)) == [21, 11] for number in range(20))


def test_a_credential_takes_as_many_requests_as_it_may_and_a_place_is_left_once() -> None:
    first, second = balancing.take(candidate(limit=2)), balancing.take(candidate(limit=2))
    assert first is not None and second is not None
    assert balancing.take(candidate(limit=2)) is None
    first.leave()
    first.leave()
    assert balancing.in_use(candidate()) == 1
    third = balancing.take(candidate(limit=2))
    assert third is not None
    third.leave()
    second.leave()
    assert balancing._in_use == {}


@pytest.mark.parametrize(("limit", "workers", "here"), [(8, 4, 2), (9, 4, 2), (2, 4, 1), (1, 1, 1)])
def test_a_limit_is_shared_out_among_the_workers(settings: Any, limit: int, workers: int, here: int) -> None:
    settings.WORKERS = workers
    taken = [balancing.take(candidate(limit=limit)) for _ in range(10)]
    assert sum(place is not None for place in taken) == here


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"prompt_cache_key": "k", "input": "a"}, {"prompt_cache_key": "k", "input": "b"}, True),
        ({"conversation": {"id": "c"}}, {"conversation": "c"}, True),
        ({"metadata": {"user_id": "u1"}}, {"metadata": {"user_id": "u2"}}, False),
        (
            {"messages": [{"role": "system", "content": "at 9:00"}, {"role": "user", "content": "hello"}]},
            {"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]},
            True,
        ),
        ({"input": "a"}, {"input": "b"}, False),
        ({"contents": [{"parts": [1]}]}, {"contents": [{"parts": [1]}, {"parts": [2]}]}, True),
    ],
)
def test_what_tells_conversations_apart(one: dict[str, Any], other: dict[str, Any], same: bool) -> None:
    assert (conversation(one, "v") == conversation(other, "v")) is same


@given(
    st.dictionaries(
        st.sampled_from(["messages", "input", "contents", "metadata", "conversation"]),
        st.recursive(st.none() | st.booleans() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    )
)
def test_no_body_is_too_strange_for_a_conversation(body: dict[str, Any]) -> None:
    assert isinstance(conversation(body, None), str)


def test_a_route_shapes_the_body_only_where_it_must() -> None:
    route = RouteSpec(1, "*", (), defaults={"temperature": 0.2}, overrides={"store": False}, upstream_model="big")
    assert route.changes({"model": "m", "temperature": 1}) == {"store": False}
    assert route.changes({"model": "m"}) == {"temperature": 0.2, "store": False}
    assert RouteSpec(1, "*", (), defaults={"temperature": 0.2}).changes({"temperature": 1}) == {}


def test_an_upstream_is_asked_for_by_its_name() -> None:
    every, spelt, named = RouteSpec(1, "*", ()), RouteSpec(2, "u1/fast*", ()), upstream(1, 11)
    snapshot = Snapshot(1, (every, spelt), (named,))
    asked = snapshot.route_for("u1/llama/3")
    assert asked is not None and (asked.upstreams, asked.upstream_model) == ((named,), "llama/3")
    assert snapshot.route_for("u1/faster") is spelt
    assert snapshot.route_for("u9/x") is every and snapshot.route_for("u1/") is every
    assert Snapshot(1, (), (named,)).route_for("u9/x") is None
    assert not ClientKeySpec(1, "k", ("gpt-*",)).allows("u1/gpt-5")


@pytest.mark.parametrize(
    ("headers", "status", "seconds"),
    [
        ({"retry-after": "7"}, 503, 7),
        ({"retry-after": "1", "retry-after-ms": "2500"}, 429, 2.5),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:30 GMT"}, 503, 20),
        ({"retry-after": "3", "x-ratelimit-reset-tokens": "1m0.5s", "x-ratelimit-reset-requests": "120ms"}, 429, 60.5),
        ({"x-ratelimit-reset": "12"}, 429, 12),
        ({"anthropic-ratelimit-tokens-reset": "1970-01-01T00:00:25Z"}, 429, 15),
        ({"x-ratelimit-reset-tokens": "1m"}, 503, None),
        ({"retry-after": "soon"}, 429, None),
        ({"retry-after": "inf"}, 429, None),
        ({"retry-after": "Thu, 99 Foo 1970"}, 429, None),
        ({"x-ratelimit-reset-tokens": "6m, perhaps"}, 429, None),
        ({"anthropic-ratelimit-tokens-reset": "later"}, 429, None),
        ({}, 429, None),
    ],
)
def test_the_longest_wait_that_an_upstream_asks_for(headers: dict[str, str], status: int, seconds: float | None) -> None:
    assert asked_wait(headers, status, now=10.0) == seconds
