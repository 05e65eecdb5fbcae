"""The clients' tests use the gateway that all share, and one that is brisk with its WebSockets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.rehearsal.server import FaultServer
from tests import gateways
from tests.gateways import Gateway, credential, route, usual


@pytest.fixture(scope="session")
def brisk(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Two workers, which ping every second and wait no longer for the answer."""
    often = {"WEBSOCKET_PING_SECONDS": "1", "WEBSOCKET_PONG_SECONDS": "1"}
    more = [
        gateways.upstream("slow-socket", upstream.url.replace("http", "ws") + "/v1", "openai-responses"),
        gateways.upstream("two", f"{upstream.url}/v1", "openai-responses", [credential("two-a"), credential("two-b")]),
    ]
    in_turn = route("in-turn", "two", strategy="round-robin")
    running = Gateway(
        tmp_path_factory.mktemp("brisk"), usual(upstream.url, upstreams=more, routes=[in_turn]), WORKERS="2", **often
    )
    yield running
    running.end()
