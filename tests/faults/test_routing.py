"""What a route and a credential ask for, seen at the upstream: shares, limits, parameters, an upstream by its name."""

import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from relay.rehearsal.server import FaultServer
from tests import gateways
from tests.gateways import KEY, Gateway, configuration, credential, route

ONE_AT_ONCE, THIRTY = "client-key-one-at-once", "client-key-thirty-a-day"
HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture(scope="module")
def routed(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    upstreams = [
        gateways.upstream("first", f"{upstream.url}/v1", credentials=[credential("limited", max_concurrency=1)]),
        gateways.upstream("second", f"{upstream.url}/v1", credentials=[credential("wide")]),
        gateways.upstream("unasked", f"{upstream.url}/v1", credentials=(), ask_for_usage=False),
    ]
    shaped = {"defaults": {"temperature": 0.25, "top_p": 0.5}, "overrides": {"store": False}}
    routes = [
        route("mid-silence*", "first"),
        route("shaped", "second", upstream_model="ok", **shaped),
        route("*", "first", "second", strategy="round-robin", weights={"second": 2}),
    ]
    client_keys = [
        {"label": "one at once", "key": ONE_AT_ONCE, "max_concurrency": 1},
        {"label": "thirty a day", "key": THIRTY, "tokens_per_day": 30},
    ]
    running = Gateway(tmp_path_factory.mktemp("routed"), configuration(upstreams, routes, client_keys))
    yield running
    running.end()


def ask(gateway: Gateway, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **fields}
    return httpx.post(f"{gateway.url}/v1/chat/completions", headers=HEADERS, json=body, timeout=20)


def test_upstreams_take_turns_by_their_weights(routed: Gateway) -> None:
    answers = [ask(routed, "ok") for _ in range(9)]
    used = Counter(routed.entry(answer.headers["x-request-id"])["credential"] for answer in answers)
    assert {label.rpartition("/")[2].strip(): count for label, count in used.items()} == {"limited": 3, "wide": 6}


def test_a_credential_takes_no_more_requests_than_it_may_and_then_the_next_is_asked(routed: Gateway) -> None:
    with httpx.stream(
        "POST",
        f"{routed.url}/v1/chat/completions",
        headers=HEADERS,
        json={"model": "mid-silence,seconds=20", "stream": True, "messages": [{"role": "user", "content": "hello"}]},
        timeout=20,
    ) as busy:
        chunks = busy.iter_bytes()  # kept: dropping it would close the connection
        next(chunks)
        refused = ask(routed, "mid-silence,seconds=0")
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        entry = routed.entry(refused.headers["x-request-id"])
        assert (entry["outcome"], entry["cause"]) == ("rejected", "relay-busy")
        assert all(ask(routed, "ok").status_code == 200 for _ in range(3))  # by the other upstream alone
    routed.entry(busy.headers["x-request-id"])
    assert ask(routed, "mid-silence,seconds=0").status_code == 200


def test_a_route_sets_parameters(routed: Gateway, upstream: FaultServer) -> None:
    assert ask(routed, "shaped", temperature=1).status_code == 200
    sent = json.loads(upstream.log()[-1].body)
    assert (sent["model"], sent["temperature"], sent["top_p"], sent["store"]) == ("ok", 1, 0.5, False)


def test_an_upstream_is_asked_for_by_its_name(routed: Gateway) -> None:
    entry = routed.entry(ask(routed, "second/ok").headers["x-request-id"])
    assert (entry["provider"], entry["model"], entry["upstream_model"]) == ("second", "second/ok", "ok")


def test_a_method_that_a_path_does_not_take_is_refused_in_words(routed: Gateway) -> None:
    answer = httpx.request("PUT", f"{routed.url}/v1/chat/completions", headers=HEADERS, json={})
    assert answer.status_code == 405 and "POST" in answer.headers["allow"]
    assert "takes" in answer.json()["error"]["message"]
    entry = routed.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["fault"]) == ("rejected", "bad-request", "client")


def test_an_upstream_that_is_not_to_be_asked_for_usage_is_not(routed: Gateway, upstream: FaultServer) -> None:
    for model, asked in (("unasked/ok", False), ("second/ok", True)):
        upstream.clear_log()
        ask(routed, model, stream=True)
        assert ("include_usage" in upstream.log()[-1].body) is asked


def messages(gateway: Gateway, model: str, key: str) -> httpx.Response:
    body = {"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    return httpx.post(f"{gateway.url}/v1/messages", json=body, headers={"x-api-key": key}, timeout=20)


def test_one_more_than_a_client_key_may_ask_at_once_is_refused_until_one_has_ended(
    routed: Gateway, upstream: FaultServer
) -> None:
    body = {"model": "second/mid-silence,seconds=2", "stream": True, "messages": []}
    headers = {"authorization": f"Bearer {ONE_AT_ONCE}"}
    with httpx.stream("POST", f"{routed.url}/v1/chat/completions", json=body, headers=headers, timeout=20) as first:
        assert first.status_code == 200
        upstream.clear_log()
        second = messages(routed, "second/ok", ONE_AT_ONCE)
        assert (second.status_code, second.headers["retry-after"]) == (429, "1")
        assert second.json()["error"]["type"] == "rate_limit_error"  # in the caller's protocol
        assert ask(routed, "second/ok").status_code == 200  # another key is another's
        assert len(upstream.log()) == 1
        entry = routed.entry(second.headers["x-request-id"])
        assert (entry["outcome"], entry["cause"], entry["fault"]) == ("rejected", "over-limit", "client")
        first.read()
    assert messages(routed, "second/ok", ONE_AT_ONCE).status_code == 200


def test_a_client_key_that_has_used_the_tokens_of_its_day_is_refused(routed: Gateway, upstream: FaultServer) -> None:
    for _ in range(2):  # 17 tokens each
        assert messages(routed, "second/ok", THIRTY).status_code == 200
    deadline = time.monotonic() + 10
    while (answer := messages(routed, "second/status,code=400", THIRTY)).status_code == 400:  # which uses no tokens
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.status_code == 402
    assert "30 tokens a day are used up" in answer.json()["error"]["message"]
    entry = routed.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["fault"]) == ("rejected", "over-budget", "client")
    assert ask(routed, "second/ok").status_code == 200
