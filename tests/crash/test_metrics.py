"""/metrics of a gateway of two workers: whichever is asked says the same, and a killed worker takes no count with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.crash.conftest import Caller, processes, recorded, until
from tests.gateways import Gateway

pytestmark = pytest.mark.gateway


def figure(gateway: Gateway, name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels, asked on a connection of its own, so of any worker."""
    text = httpx.get(f"{gateway.url}/metrics", timeout=30).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items())


def test_all_workers_together_and_none_forgotten(start: Callable[..., Gateway]) -> None:
    gateway = start(WORKERS="2")
    for number in range(12):
        Caller(gateway, "ok", f"fine-{number}").wait()
    for number in range(3):
        Caller(gateway, "cut", f"cut-{number}").wait()
    running = [Caller(gateway, "idle,after=2", f"runs-{number}") for number in range(4)]
    for caller in running:
        caller.wait_for(b"data:")
    until(lambda: figure(gateway, "epitaph_in_flight") == 4)
    until(lambda: figure(gateway, "epitaph_endings_total") == 15)
    for _ in range(10):
        assert figure(gateway, "epitaph_endings_total", outcome="completed", cause="") == 12
        assert figure(gateway, "epitaph_endings_total", cause="truncated-body", fault="upstream") == 3
    assert figure(gateway, "epitaph_attempts_total", upstream="chat", cause="truncated-body") == 3
    assert figure(gateway, "epitaph_first_byte_seconds_count", upstream="chat") == 15
    until(lambda: 0 <= figure(gateway, "epitaph_journal_lag_seconds") < 5)

    before = processes(gateway)
    for name in ("worker 1", "worker 2"):
        os.kill(before[name], signal.SIGKILL)
    for caller in running:
        assert recorded(gateway, caller.name).outcome == "relay-lost"
    until(lambda: processes(gateway).keys() >= {"worker 1", "worker 2"})
    until(lambda: figure(gateway, "epitaph_endings_total", outcome="relay-lost") == 4)
    assert figure(gateway, "epitaph_endings_total", outcome="completed") == 12
    assert figure(gateway, "epitaph_in_flight") == 0
