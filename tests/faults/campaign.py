"""Runs cases of the matrix against one gateway, many at a time, and gathers all that is known of each afterwards.

The cases run first and are judged later: so slow rows wait together, and the two logs are read in a few pages.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from relay.rehearsal.ledger import Record
from relay.rehearsal.matrix import client as raw
from relay.rehearsal.matrix.row import END, STAYS, Case
from relay.rehearsal.matrix.upstreams import GROUPS, config_of, own_group
from relay.rehearsal.server import FaultServer
from tests.certificates import self_signed
from tests.faults.conftest import KEY, Gateway, free_port

AT_ONCE = 16
ROW_HEADER = "x-row"  # passed on to the upstream, so that its ledger knows the case
VOLATILE = re.compile(rb'"created(?:_at)?":\d+|(?:call|rs|msg|fc)_[0-9a-f]{6}(?=["_])')


@dataclass(slots=True)
class Observation:
    """All that is known of one case: what the client saw, what both logs keep, what reached the upstream."""

    case: Case
    client_id: str
    seen: raw.Seen
    reference: bytes  # what the upstream sends to one who asks it directly
    entries: list[dict[str, Any]] = field(default_factory=list)
    egress: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Record] = field(default_factory=list)

    @property
    def entry(self) -> dict[str, Any]:
        return self.entries[0]

    @property
    def body(self) -> bytes:
        return normal(self.seen.reply.body, self.run)

    run: str = ""


def normal(body: bytes, run: str) -> bytes:
    """The bytes without what differs between two answers of the scripted upstream: its ids and the time."""
    return VOLATILE.sub(_fixed, re.sub(run.encode() + rb"[0-9a-f]{6}", b"IDENTITY", body))


def _fixed(found: re.Match[bytes]) -> bytes:
    return found[0].split(b":")[0] + b":0" if b":" in found[0] else b"ID_"


class Campaign:
    """The observations of `cases`, by id."""

    def __init__(self, cases: Iterable[Case], folder: Path) -> None:
        self.cases = list(cases)
        self.observations: dict[str, Observation] = {}
        with FaultServer().run_in_thread() as upstream, secure(folder) as tls, full_port() as full:
            own = tuple(own_group(case.group, case.row.credentials) for case in self.cases if case.row.credentials)
            places = {
                "url": upstream.url,
                "port": str(upstream.port),
                "tls": str(tls),
                "closed": str(free_port()),
                "full": str(full),
            }
            gateway = Gateway(folder, config_of((*own, *GROUPS), places), TRUSTED_PROXIES="", REQUEST_TIMEOUT="2")
            try:
                self._run(gateway, upstream)
            finally:
                self.exit_code = gateway.stop()
            self.output = gateway.output.read_text()

    def _run(self, gateway: Gateway, upstream: FaultServer) -> None:
        slow_first = sorted(self.cases, key=lambda case: -case.row.client.waits)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for observation in pool.map(lambda case: self._observe(case, gateway, upstream), slow_first):
                self.observations[observation.case.id] = observation
        by_id = {item.client_id: item for item in self.observations.values()}
        for record in upstream.log():
            if record.headers.get(ROW_HEADER) in by_id:
                by_id[record.headers[ROW_HEADER]].requests.append(record)
        self._read_logs(gateway, by_id)

    def _observe(self, case: Case, gateway: Gateway, upstream: FaultServer) -> Observation:
        client_id = f"{case.id}-{uuid.uuid4().hex[:8]}"
        body = _body(case)
        run = upstream._run
        reference = b""
        if case.row.reference or case.row.gets.compared:
            reference = normal(self._direct(case, upstream), run)
        headers = {"x-request-id": client_id, ROW_HEADER: client_id}
        key = case.row.request.get("key", KEY)
        if key:
            headers["authorization"] = f"Bearer {key}"
        sent = raw.request(case.column.path, body, headers, case.row.client.declares)
        if case.row.client.sends < 1:
            sent = sent[: len(sent) - int(len(body) * (1 - case.row.client.sends))]
        after = case.column.end if case.row.client.after == END else case.row.client.after
        try:
            seen = raw.ask(gateway.port, case.row.client, sent, after)
        except OSError as error:
            raise AssertionError(f"{case.id}: {error!r}") from error
        return Observation(case, client_id, seen, reference, run=run)

    def _direct(self, case: Case, upstream: FaultServer) -> bytes:
        script = case.row.reference or case.row.script or case.row.name
        fields = {name: value for name, value in case.row.request.items() if name == "stream_options"}
        body = orjson.dumps(case.column.body(case.model, case.streamed) | fields)
        sent = raw.request(f"/~{script}{case.column.path}", body, {})
        return raw.ask(upstream.port, STAYS, sent, b"", patience=1.0).reply.body

    def _read_logs(self, gateway: Gateway, by_id: dict[str, Observation]) -> None:
        deadline = time.monotonic() + 20
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


def _body(case: Case) -> bytes:
    """The request's body, with what the row says otherwise."""
    asked = case.row.request
    if "" in asked:
        return asked[""]  # type: ignore[no-any-return]
    fields = case.column.body(case.model, case.streamed) | {name: value for name, value in asked.items() if name != "key"}
    if case.row.client.pads:
        fields["padding"] = "x" * case.row.client.pads
    return orjson.dumps({name: value for name, value in fields.items() if value is not None})


@contextmanager
def secure(folder: Path) -> Iterator[int]:
    """The port of an upstream whose certificate nobody signed but itself."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(self_signed(folder))
    with FaultServer(tls=context).run_in_thread() as server:
        yield server.port


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose accept queue is full, so that the kernel ignores further SYNs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = []
    for _ in range(2):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(listener.getsockname())
        waiting.append(sock)
    time.sleep(0.1)
    try:
        yield listener.getsockname()[1]
    finally:
        for sock in (*waiting, listener):
            sock.close()
