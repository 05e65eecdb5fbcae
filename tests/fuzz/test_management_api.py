"""The management API against its own OpenAPI document: whatever is asked, no answer is a failure of ours."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from relay.rehearsal.server import FaultServer
from tests.crash.conftest import Caller, recorded
from tests.gateways import TOKEN, Gateway, usual

AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}
pytestmark = [pytest.mark.gateway, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """One that has something to tell."""
    with tempfile.TemporaryDirectory() as folder, FaultServer().run_in_thread() as upstream:
        running = Gateway(Path(folder), usual(upstream.url), first_start=True)
        for number, model in enumerate(("ok", "eof", "cut", "status,code=500")):
            Caller(running, model, f"one-{number}").wait()
            recorded(running, f"one-{number}")
        yield running
        running.stop()
        running.api.close()


def test_no_call_makes_it_fail(gateway: Gateway) -> None:
    # schemathesis' own pytest integration does not know this pytest; its operations and strategies are all that is needed
    document = schemathesis.openapi.from_url(f"{gateway.url}/api/openapi.json", headers=AUTHORIZED)
    operations = [found.ok() for found in document.get_all_operations()]
    failures: list[str] = []
    statuses: set[int] = set()
    examples = max(settings.default.max_examples // 6, 10)

    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        def call(case: Any) -> None:
            answer = case.call(headers=AUTHORIZED, timeout=10)
            statuses.add(answer.status_code)
            assert answer.status_code < 500, f"{case.as_curl_command()}: {answer.status_code} {answer.text[:500]}"

        try:
            call()
        except AssertionError as failure:
            failures.append(str(failure))
    assert failures == []
    assert len(operations) >= 12
    assert {200, 422} <= statuses
    assert 401 not in statuses


def test_it_still_answers_afterwards(gateway: Gateway) -> None:
    assert gateway.api.get("/api/audit/entries").status_code == 200
    assert "Traceback" not in gateway.output.read_text()
