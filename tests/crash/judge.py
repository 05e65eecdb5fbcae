"""Holds what the clients were told against what the database holds: one ending each, and no two."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from relay.ending import OUTCOMES, Outcome
from tests.crash.callers import Told
from tests.crash.kinds import Leaves

Query = Callable[[str], list[tuple[Any, ...]]]
ENTRIES = "SELECT client_request_id, request_id, outcome FROM auditlog_auditentry WHERE direction = 'ingress'"
EVENTS = "SELECT request_id, name FROM errorlog_errorevent WHERE request_id <> ''"
FINE = ("completed", "incomplete")


@dataclass(slots=True)
class Judgement:
    """The faults found, in words, and the figures."""

    faults: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    figures: dict[str, int] = field(default_factory=dict)


def judge(told: Iterable[Told], query: Query) -> Judgement:
    """Every request that got a status line has exactly one entry, an abnormal one exactly one error event."""
    found: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for name, request_id, outcome in query(ENTRIES):
        found[name].append((request_id, outcome))
    events: dict[str, list[str]] = defaultdict(list)
    for request_id, event in query(EVENTS):
        events[request_id].append(event)
    judgement = Judgement()
    without_status = unrecorded = 0
    troubles: Counter[str] = Counter()
    for one in told:
        rows = found.pop(one.request.name, [])
        without_status += one.status is None
        unrecorded += not rows
        troubles.update([one.trouble] if one.trouble else [])
        judgement.faults += _faults(one, rows, events)
        judgement.outcomes.update(str(outcome) for _, outcome in rows)
    judgement.faults += [f"an entry that nobody asked for: {name}" for name in found]
    judgement.figures = {"without a status line": without_status, "of these unrecorded": unrecorded} | troubles
    return judgement


def _faults(one: Told, rows: list[tuple[str, str | None]], events: dict[str, list[str]]) -> list[str]:
    name = f"{one.request.name} ({one.request.kind.model}, {one.request.kind.leaves})"
    if len(rows) > 1:
        return [f"{name}: {len(rows)} entries"]
    if not rows:
        return [f"{name}: status {one.status} and no entry"] if one.status is not None else []
    ((request_id, outcome),) = rows
    if outcome is None:
        return [f"{name}: its entry is still open"]
    faults = []
    if one.request_id and one.request_id != request_id:
        faults.append(f"{name}: was told {one.request_id}, on record is {request_id}")
    expected = [OUTCOMES[Outcome(outcome)].name] if OUTCOMES[Outcome(outcome)].abnormal else []
    if events[request_id] != expected:
        faults.append(f"{name}: {outcome} with the events {events[request_id]}")
    # A worker killed between the last byte and its record leaves a lost one behind; nothing else may contradict the client.
    if one.terminal and outcome not in (*FINE, Outcome.RELAY_LOST):
        faults.append(f"{name}: its client had the whole answer, on record is {outcome}")
    if outcome in FINE and one.status == 200 and not one.whole and one.request.kind.leaves is Leaves.NEVER:
        faults.append(f"{name}: {outcome} on record, its client was cut off ({one.trouble})")
    return faults
