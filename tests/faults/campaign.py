"""Runs cases of the matrix against one gateway, many at a time, and gathers all that is known of each afterwards.

The cases run first and are judged later: so slow rows wait together, and the two logs are read in a few pages.
"""

from __future__ import annotations

import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from relay.ending import Phase
from relay.rehearsal.ledger import Record
from relay.rehearsal.matrix import client as raw
from relay.rehearsal.matrix.asking import end_for, sent_for
from relay.rehearsal.matrix.places import places
from relay.rehearsal.matrix.row import STAYS, Case, Leaves
from relay.rehearsal.matrix.upstreams import GROUPS, config_of, own_group
from relay.rehearsal.server import FaultServer
from tests.gateways import KEY, Gateway

AT_ONCE = 14  # more, and beside the suite's other parts a client that reads at full speed is starved of its turn
ROW_HEADER = "x-row"  # passed on to the upstream, so that its ledger knows the case
VOLATILE = re.compile(rb'"created(?:_at)?":(?:\d+|"[^"]*")|(?:call|rs|msg|fc)_[0-9a-f]{6}(?=["_])')


@dataclass
class Observation:
    """All that is known of one case: what the client saw, what both logs keep, what reached the upstream."""

    case: Case
    client_id: str
    seen: raw.Seen
    reference: bytes  # what the upstream sends to one who asks it directly
    run: str  # which is in all of its ids
    entries: list[dict[str, Any]] = field(default_factory=list)
    egress: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Record] = field(default_factory=list)
    stalled: float = 0.0  # seconds for which our own process stood still between the client's leaving and the upstream's close

    @property
    def entry(self) -> dict[str, Any]:
        return self.entries[0]

    @cached_property
    def body(self) -> bytes:
        return normal(self.seen.reply.body, self.run)


def normal(body: bytes, run: str) -> bytes:
    """The bytes without what differs between two answers of the scripted upstream: its ids and the time."""
    return VOLATILE.sub(_fixed, re.sub(run.encode() + rb"[0-9a-f]{6}", b"IDENTITY", body))


def _fixed(found: re.Match[bytes]) -> bytes:
    return found[0].split(b":")[0] + b":0" if b":" in found[0] else b"ID_"


class Pulse(threading.Thread):
    """Notes when this process did not get its turn: on a starved machine a promise of one second cannot be told from a stall."""

    BEAT = 0.05

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stalls: list[tuple[float, float]] = []  # when it began, and how long it was
        self.start()

    def run(self) -> None:
        last = time.time()
        while True:
            time.sleep(self.BEAT)
            now = time.time()
            if now - last > 2 * self.BEAT:
                self.stalls.append((last, now - last - self.BEAT))
            last = now

    def stalled(self, since: float, until: float) -> float:
        """Seconds of stalls that touch this time."""
        return sum(length for at, length in list(self.stalls) if at + length >= since and at <= until)


class Campaign:
    """A scripted upstream, the observations of cases that were provoked against a gateway, and their logs read afterwards."""

    def __init__(self, upstream: FaultServer) -> None:
        self.upstream = upstream
        self.observations: dict[str, Observation] = {}
        self.pulse = Pulse()

    def run(self, gateway: Gateway, cases: Iterable[Case]) -> None:
        """Provokes the cases, many at a time, and reads the logs."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda case: self.observe(case, gateway.port), sorted(cases, key=_patience, reverse=True)))
        self.read_logs(gateway)

    def observe(self, case: Case, port: int) -> Observation:
        """Provokes one case; what the client saw of it is known when this returns."""
        client_id = f"{case.id}-{uuid.uuid4().hex[:8]}"
        run = self.upstream._run
        reference = b""
        if case.row.reference or case.row.gets.compared:
            reference = normal(self._direct(case), run)
        headers = {"x-request-id": client_id, ROW_HEADER: client_id}
        leaves_early = case.row.client.leaves is not Leaves.STAYS and not case.row.client.after and case.row.client.sends == 1

        def arrived() -> None:
            """The client that leaves before its answer leaves when the upstream has its request, however busy we are."""
            reaches = case.row.phase is not Phase.CONNECTING
            until = time.monotonic() + (10 if reaches and not case.via else float(reaches))
            while time.monotonic() < until and not self._has(client_id):
                time.sleep(0.05)

        try:
            sent = sent_for(case, headers, KEY)
            seen = raw.ask(port, case.row.client, sent, end_for(case), arrived=arrived if leaves_early else None)
        except OSError as error:
            raise AssertionError(f"{case.id}: {error!r}") from error
        found = self.observations[case.id] = Observation(case, client_id, seen, reference, run)
        return found

    def _has(self, client_id: str) -> bool:
        return any(record.headers.get(ROW_HEADER) == client_id for record, _ in list(self.upstream._ledger._rows))

    def _direct(self, case: Case) -> bytes:
        """What the upstream sends to one who asks it without the gateway between."""
        script = case.row.reference or case.row.script or case.row.name
        fields = {name: value for name, value in case.row.request.items() if name == "stream_options"}
        body = orjson.dumps(case.column.body(case.model, case.streamed) | fields)
        sent = raw.request(f"/~{script}{case.column.place(case.model, case.streamed)}", body, {})
        return raw.ask(self.upstream.port, STAYS, sent, b"", patience=20).reply.body

    def read_logs(self, gateway: Gateway, seconds: float = 20.0) -> None:
        """Gives each observation its entries, error events and what the upstream saw of it."""
        by_id = {item.client_id: item for item in self.observations.values()}
        deadline = time.monotonic() + seconds
        while True:
            entries = _pages(gateway, "/api/audit/entries", {"limit": 200})
            ended = {entry["client_request_id"] for entry in entries if entry["outcome"]}
            if by_id.keys() <= ended or time.monotonic() > deadline:
                break
            time.sleep(0.3)
        requests: dict[str, Observation] = {}
        for entry in entries:
            if found := by_id.get(entry["client_request_id"]):
                found.entries.append(entry)
                requests[entry["request_id"]] = found
        for entry in _pages(gateway, "/api/audit/entries", {"limit": 200, "direction": "egress"}):
            if entry["request_id"] in requests:
                requests[entry["request_id"]].egress.append(entry)
        for event in _pages(gateway, "/api/errors/events", {"limit": 500}):
            if event["request_id"] in requests:
                requests[event["request_id"]].events.append(event)
        for record in self.upstream.log():  # last, so that what the gateway closed has been seen to close
            if found := by_id.get(record.headers.get(ROW_HEADER, "")):
                found.requests.append(record)
                if found.seen.left_at is not None and record.ended_at is not None:
                    found.stalled = self.pulse.stalled(found.seen.left_at, record.ended_at)


@contextmanager
def world(folder: Path, cases: Iterable[Case]) -> Iterator[tuple[FaultServer, str]]:
    """The scripted upstream, and the configuration that leads to it and to all places that cannot be reached."""
    own = tuple(
        own_group(case.group, case.row.credentials, case.row.upstream, case.row.behind, case.column.tag)
        for case in cases
        if case.row.credentials
    )
    with FaultServer().run_in_thread() as upstream, places(upstream, folder) as found:
        yield upstream, config_of((*own, *GROUPS), found)


def _patience(case: Case) -> float:
    """Seconds that the case lasts at the least, as far as its row says; one who reads at a pace takes longer than any."""
    silence = re.search(r"seconds=([\d.]+)", case.row.script)
    return case.row.client.waits + (60 if case.row.client.pace else 0) + (float(silence[1]) if silence else 0)


def _pages(gateway: Gateway, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = gateway.api.get(path, params=query | ({"cursor": cursor} if cursor else {}))
        answer.raise_for_status()
        page = answer.json()
        found += page["items"]
        cursor = page["next"]
        if cursor is None:
            return found
