"""Figures of all processes together: each shows its own on a board, a successor goes on, and a dead one's gauges are no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay import exposition, metrics
from relay.ending import CAUSES, Cause, Fault, Outcome, Phase, Verdict

COMPLETED = Verdict(Outcome.COMPLETED, None, Phase.FINISHING, None)
PREMATURE = Verdict(Outcome.UPSTREAM_PREMATURE, Cause.EOF, Phase.STREAMING, Fault.UPSTREAM)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(metrics, "lookers", [])
    metrics.share(3)
    metrics.take(0)
    yield
    metrics.share(1)
    metrics.take(0)


def exchange(upstream: str = "one", seconds: float = 2.0, drill: bool = False, cause: Cause | None = None) -> Any:
    attempt = SimpleNamespace(upstream=upstream, cause=cause, outcome=CAUSES[cause].outcome if cause else None, started=10.0)
    return SimpleNamespace(drill=drill, received=10.0, ended=10.0 + seconds, attempts=[attempt], first_upstream_byte=10.2)


def read() -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = exposition.text_of(metrics.everything()).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def endings(outcome: str, cause: str = "", fault: str = "") -> float:
    return read()["epitaph_endings_total", (("cause", cause), ("fault", fault), ("outcome", outcome))]


def test_the_figures_of_all_processes_are_added_up() -> None:
    for place in (0, 1):
        metrics.take(place)
        metrics.ended(exchange(), COMPLETED)
        metrics.ended(exchange(cause=Cause.EOF), PREMATURE)
        metrics.gauge("in_flight", 4)
        metrics.publish()
    assert endings("completed") == 2
    assert endings("upstream-premature", "eof", "upstream") == 2
    found = read()
    assert found["epitaph_in_flight", ()] == 8
    assert found["epitaph_attempts_total", (("cause", "eof"), ("upstream", "one"))] == 2
    assert found["epitaph_first_byte_seconds_count", (("upstream", "one"),)] == 4
    assert found["epitaph_first_byte_seconds_bucket", (("le", "0.1"), ("upstream", "one"))] == 0
    assert found["epitaph_first_byte_seconds_bucket", (("le", "0.25"), ("upstream", "one"))] == 4
    assert found["epitaph_request_seconds_sum", (("outcome", "completed"),)] == 4.0
    assert found["epitaph_request_seconds_bucket", (("le", "+Inf"), ("outcome", "completed"))] == 2


def test_a_successor_goes_on_where_a_dead_process_had_got_to() -> None:
    metrics.take(1)
    metrics.ended(exchange(), COMPLETED)
    metrics.keep("journal_refused", 5)
    metrics.publish()
    metrics.take(1)  # a new process at the same place: its own counters begin at zero
    metrics.ended(exchange(), COMPLETED)
    metrics.keep("journal_refused", 2)
    metrics.keep("journal_refused", 3)
    assert endings("completed") == 2
    assert read()["epitaph_journal_refused_total", ()] == 8


def test_the_gauges_of_a_dead_process_are_no_more_and_its_counters_stay() -> None:
    child = os.fork()
    if not child:
        metrics.take(2)
        metrics.ended(exchange(), COMPLETED)
        metrics.gauge("in_flight", 7)
        metrics.publish()
        os._exit(0)
    os.waitpid(child, 0)
    assert endings("completed") == 1
    assert read()["epitaph_in_flight", ()] == 0


def test_a_writer_that_is_killed_in_the_middle_leaves_what_was_whole() -> None:
    board = metrics.Board(1)
    for number in range(1, 4):
        board.write(0, {"number": number})
        assert board.read(0) == {"number": number}
    newest = (board._sequence(0, 1) > board._sequence(0, 0)) * metrics.HALF_BYTES
    board._memory[newest + metrics.HEADER.size + 3] ^= 0xFF
    assert board.read(0) == {"number": 2}
    board.write(0, {"number": 4})
    assert board.read(0) == {"number": 4}


NOT_THEIRS = [cause for cause, rule in CAUSES.items() if rule.outcome.value.startswith(("client", "relay"))]


@pytest.mark.parametrize("cause", NOT_THEIRS)
def test_what_the_client_or_we_did_is_no_cause_of_the_upstreams(cause: Cause) -> None:
    metrics.ended(exchange(cause=cause), COMPLETED)
    assert read()["epitaph_attempts_total", (("cause", ""), ("upstream", "one"))] == 1


@pytest.mark.parametrize("cause", [Cause.CONNECT_REFUSED, Cause.DNS, Cause.HTTP_STATUS, Cause.IDLE_TIMEOUT, Cause.RESET])
def test_what_the_upstream_did_is_the_attempts_cause(cause: Cause) -> None:
    metrics.ended(exchange(cause=cause), COMPLETED)
    assert read()["epitaph_attempts_total", (("cause", cause.value), ("upstream", "one"))] == 1


def test_a_rehearsal_is_not_counted() -> None:
    metrics.ended(exchange(drill=True), PREMATURE)
    assert not any(name.startswith(("epitaph_endings", "epitaph_attempts")) for name, _ in read())


def test_upstreams_without_number_share_one_label() -> None:
    for number in range(metrics.MOST_UPSTREAMS + 50):
        metrics.ended(exchange(f"upstream-{number}"), COMPLETED)
    found = {dict(labels)["upstream"] for name, labels in read() if name == "epitaph_attempts_total"}
    assert len(found) == metrics.MOST_UPSTREAMS + 1
    assert "other" in found
    assert read()["epitaph_attempts_total", (("cause", ""), ("upstream", "other"))] == 50


def test_a_label_is_escaped() -> None:
    metrics.ended(exchange('a"b\\c\nd'), COMPLETED)
    assert read()["epitaph_attempts_total", (("cause", ""), ("upstream", 'a"b\\c\nd'))] == 1


def test_the_journal_lags_from_when_all_was_shipped() -> None:
    assert ("epitaph_journal_lag_seconds", ()) not in read()
    metrics.gauge("caught_up_at", 1.0)
    assert read()["epitaph_journal_lag_seconds", ()] > 1_000_000
