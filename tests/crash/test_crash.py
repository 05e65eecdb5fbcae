"""The crash test in small, with a fixed seed (`make crash` is the same with 10,000 requests), and that its judge can condemn."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.crash.callers import Told
from tests.crash.judge import judge
from tests.crash.kinds import requests
from tests.crash.run import run


@pytest.mark.gateway
@pytest.mark.timeout(300)
def test_whatever_is_killed_each_request_that_got_a_status_line_has_one_ending(tmp_path: Path) -> None:
    result = run(300, seed=20251125, folder=tmp_path, small=True)
    assert result.judgement.faults == []
    assert (result.exit_code, result.journals) == (0, [])
    assert result.judgement.outcomes.total() > 200
    assert sum(result.blows.values()) >= 1  # the faster the machine, the fewer fall into the run


def faults(told: dict[str, Any], entries: list[tuple[Any, ...]], events: list[tuple[str, str]] = ()) -> list[str]:  # type: ignore[assignment]
    (request,) = requests(1, random.Random(1))
    one = Told(request, **told)
    rows = [(request.name, *entry) for entry in entries]
    return judge([one], lambda query: rows if "auditlog" in query else list(events)).faults


GOOD = ("req_1", "completed")
TOLD = {"status": 200, "request_id": "req_1", "whole": True, "terminal": True}


def test_the_judge_acquits_what_is_right() -> None:
    assert faults(TOLD, [GOOD]) == []
    assert faults({}, []) == []  # never saw a status line
    assert faults({"status": 200}, [("req_1", "relay-lost")], [("req_1", "StreamRelayLost")]) == []


@pytest.mark.parametrize(
    ("told", "entries", "events", "says"),
    [
        (TOLD, [], [], "no entry"),
        (TOLD, [GOOD, ("req_2", "completed")], [], "2 entries"),
        (TOLD, [("req_1", None)], [], "still open"),
        (TOLD, [("req_2", "completed")], [], "on record is req_2"),
        (TOLD, [GOOD], [("req_1", "StreamRelayLost")], "with the events"),
        ({"status": 200}, [("req_1", "relay-lost")], [], "with the events"),
        ({"status": 200}, [("req_1", "relay-lost")], [("req_1", "StreamRelayLost")] * 2, "with the events"),
        (TOLD, [("req_1", "client-abort")], [("req_1", "StreamClientAbort")], "had the whole answer"),
        ({"status": 200, "request_id": "req_1"}, [GOOD], [], "was cut off"),
    ],
)
def test_the_judge_condemns(told: dict[str, Any], entries: list[Any], events: list[Any], says: str) -> None:
    (fault,) = faults(told, entries, events)
    assert says in fault


def test_an_entry_that_nobody_asked_for_is_a_fault() -> None:
    rows = [("somebody", "req_9", "completed")]
    assert judge([], lambda query: rows if "auditlog" in query else []).faults == ["an entry that nobody asked for: somebody"]


def test_the_same_seed_asks_the_same() -> None:
    assert requests(50, random.Random(5)) == requests(50, random.Random(5)) != requests(50, random.Random(6))
