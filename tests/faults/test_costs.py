"""What a request cost, by a real gateway: asked in each protocol's words, and found by the management API."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal

import httpx
import pytest

from relay.rehearsal.server import FaultServer
from tests import gateways
from tests.gateways import KEY, PROTOCOLS, ROOT, Gateway, configuration, route

pytestmark = pytest.mark.gateway
PATHS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/ok:streamGenerateContent?alt=sse",
    "ollama": "/api/chat",
}
# A million, a thousand and one for a million tokens of each kind: so a cost tells how many there were.
PRICES = [
    {"model": "*", "input": 1_000_000, "cached_input": 1000, "output": 1},
    {"model": "*", "upstream": "responses", "input": 2_000_000, "cached_input": 2000, "output": 2},
]


@pytest.fixture(scope="module")
def priced(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    named = {name: gateways.upstream(name, upstream.url + path, protocol) for name, (protocol, path) in PROTOCOLS.items()}
    config = configuration(named.values(), [route("*", *named, max_attempts=1)], prices=PRICES)
    running = Gateway(tmp_path_factory.mktemp("priced"), config, CURRENCY="EUR")
    yield running
    running.end()


def ask(gateway: Gateway, tag: str, model: str = "ok") -> str:
    """One stream, read to its end; our id of it."""
    said = [{"role": "user", "content": "Hi."}]
    body = {"model": model, "stream": True, "max_tokens": 9, "messages": said, "input": "Hi."}
    if tag == "gemini":
        body = {"contents": [{"role": "user", "parts": [{"text": "Hi."}]}]}
    answer = httpx.post(gateway.url + PATHS[tag], json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=20)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-request-id"]


@pytest.mark.parametrize("tag", PATHS)
def test_a_stream_with_usage_has_its_cost_in_every_protocol(priced: Gateway, tag: str) -> None:
    entry = priced.entry(ask(priced, tag))
    assert (entry["outcome"], entry["provider"], entry["input_tokens"]) == ("completed", tag, 12)
    times = 2 if tag == "responses" else 1
    read, cached = (12, 0) if tag == "ollama" else (8, 4)  # Ollama tells of no cache
    expected = times * (read + Decimal(cached) / 1000 + Decimal(entry["output_tokens"]) / 1_000_000)
    assert Decimal(str(entry["cost"])) == expected


def test_a_broken_stream_costs_what_was_told_of_and_a_search_finds_it(priced: Gateway) -> None:
    entry = priced.entry(ask(priced, "messages", "eof,after=3"))
    assert (entry["outcome"], Decimal(str(entry["cost"])) // 1) == ("upstream-premature", 8)
    untold = priced.entry(ask(priced, "chat", "eof,after=3"))
    assert (untold["outcome"], untold["cost"]) == ("upstream-premature", None)
    found = priced.api.get("/api/audit/entries", params={"search": "cost:>8 is:abnormal"}).json()["items"]
    assert [item["request_id"] for item in found] == [entry["request_id"]]


def test_a_price_that_is_changed_while_it_runs_is_used_within_a_second_and_old_entries_stay(priced: Gateway) -> None:
    before = priced.entry(ask(priced, "chat"))
    path = priced.data.parent / "relay.toml"
    path.write_text(path.read_text().replace("input = 1000000", "input = 3000000"))
    command = [sys.executable, "manage.py", "apply_config", str(path)]
    subprocess.run(command, cwd=ROOT, env=priced.environment, check=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while Decimal(str(priced.entry(ask(priced, "chat"))["cost"])) < 24:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert priced.entry(before["request_id"])["cost"] == before["cost"]
