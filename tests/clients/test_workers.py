"""What one worker learned, the others know: a chained turn reaches the credential that made its response."""

from __future__ import annotations

import httpx
import pytest

from relay.rehearsal.server import FaultServer
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
HEADERS = {"authorization": f"Bearer {KEY}"}


def ask(gateway: Gateway, **more: str) -> tuple[str, str]:
    """On a connection of its own: the response's id, and our request's."""
    answer = httpx.post(f"{gateway.url}/v1/responses", json={"model": "in-turn", "input": "Hi.", **more}, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"], answer.headers["x-request-id"]


def test_a_chained_turn_reaches_its_credential_in_whichever_worker_it_comes(brisk: Gateway, upstream: FaultServer) -> None:
    workers = set()
    for _ in range(40):
        upstream.clear_log()
        first, asked = ask(brisk)
        found = [ask(brisk, previous_response_id=first)[1] for _ in range(3)]
        assert len({record.headers["authorization"] for record in upstream.log()}) == 1
        workers |= {brisk.entry(request_id)["evidence"]["relay"]["process"] for request_id in (asked, *found)}
        if len(workers) == 2:
            return
    pytest.fail("all requests came to one worker, so that nothing was tried")


def test_without_a_chain_the_credentials_take_turns(brisk: Gateway, upstream: FaultServer) -> None:
    upstream.clear_log()
    for _ in range(8):
        ask(brisk)
    assert len({record.headers["authorization"] for record in upstream.log()}) == 2
