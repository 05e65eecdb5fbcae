"""Rehearses cases of the fault matrix against the running gateway, and holds what it recorded against the matrix.

The drill brings the scripted upstream, the client and a signed plan (relay/drill.py); the gateway is the real one, and so
are its records, which are read from its database. What the matrix expects is stated once, in relay/rehearsal/matrix.
"""

from __future__ import annotations

import secrets
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.urls import reverse

from auditlog.models import AuditEntry
from errorlog.models import ErrorEvent
from relay.drill import HEADER, Plan
from relay.ending import Cause
from relay.rehearsal.matrix import ROWS, client
from relay.rehearsal.matrix.asking import end_for, sent_for
from relay.rehearsal.matrix.places import places
from relay.rehearsal.matrix.row import Case, cases_of
from relay.rehearsal.matrix.upstreams import GROUPS, LIMITED_KEY, Group, address, own_group, secret
from relay.rehearsal.server import FaultServer

RECORDED_SECONDS = 20.0  # how long an ending is waited for in the database
LONGEST_REQUEST_TIMEOUT = 30.0
NAME = "drill"  # of the upstream, in records


@dataclass(slots=True)
class Finding:
    """What came of one case. `problems` is empty when all was as expected; `entry` is what the gateway recorded."""

    case: Case
    entry: AuditEntry | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def expected(self) -> str:
        row = self.case.row
        return words(row.outcome, row.cause, row.fault, row.status)

    @property
    def verdict(self) -> str:
        entry = self.entry
        return "no record" if entry is None else words(entry.outcome, entry.cause, entry.fault, entry.client_status)

    @property
    def address(self) -> str:
        """Where the record is to be looked at, on the gateway's admin."""
        return "" if self.entry is None else reverse("admin:auditlog_auditentry_change", args=[self.entry.pk])


def words(outcome: str | None, cause: str | None, fault: str | None, status: int | None) -> str:
    """A verdict in a line."""
    return f"{outcome or 'in flight'} / {cause or 'no cause'} / {fault or 'no fault'}, answered {status or 'not at all'}"


def impossible(case: Case) -> str:
    """Why the gateway's own settings make a case impossible to rehearse; empty when they do not."""
    row = case.row
    if row.cause is Cause.REQUEST_TIMEOUT and settings.REQUEST_TIMEOUT > LONGEST_REQUEST_TIMEOUT:
        return f"REQUEST_TIMEOUT is {settings.REQUEST_TIMEOUT:g} s; a rehearsal waits for {LONGEST_REQUEST_TIMEOUT:g} s at most"
    if row.cause is Cause.BODY_TOO_LARGE and (row.client.declares or 0) <= settings.MAX_BODY_BYTES:
        return f"MAX_BODY_BYTES is {settings.MAX_BODY_BYTES}; the rehearsal only claims {row.client.declares}"
    return ""


class NotOurs(Exception):
    """What listens there is not the gateway of these settings."""


class Drill:
    """The scripted upstream, for as long as cases are rehearsed on the gateway at `host` and `port`."""

    def __init__(self, host: str, port: int, found: Mapping[str, str]) -> None:
        self.host = host
        self.port = port
        self.places = found

    def prove(self) -> None:
        """Asks one plain question, before anything goes wrong on purpose.

        Raises:
            NotOurs: the gateway there did not take it for a rehearsal, or its records are not to be had.
        """
        (case,) = cases_of((next(row for row in ROWS if row.name == "ok"),))[:1]
        try:
            finding = self._one(case)
        except DatabaseError as error:
            raise NotOurs(f"the database cannot be read: {str(error).splitlines()[0]}") from None
        if finding.problems:
            raise NotOurs("; ".join(finding.problems))

    def rehearse(self, cases: Iterable[Case], at_once: int) -> Iterator[Finding]:
        """Each case's finding, as they come."""
        with ThreadPoolExecutor(at_once) as pool:
            waiting = [pool.submit(self._one, case) for case in cases]
            for done in as_completed(waiting):
                yield done.result()

    def _one(self, case: Case) -> Finding:
        finding = Finding(case)
        name = f"drill-{secrets.token_hex(8)}"
        plan = self._plan(case)
        headers = {"x-request-id": name, HEADER: plan.sign()}
        try:
            sent = sent_for(case, headers, plan.key, limited_key=plan.key)
            seen = client.ask(self.port, case.row.client, sent, end_for(case), host=self.host)
        except OSError as error:
            finding.problems.append(f"the client could not ask: {error}")
            return finding
        try:
            finding.entry = _recorded(name, finding.problems)
            if finding.entry is not None:
                _compare(finding, seen)
        finally:
            connection.close()
        return finding

    def _plan(self, case: Case) -> Plan:
        """The case's upstream as matrix/upstreams.py describes it."""
        row = case.row
        key = f"drill-{secrets.token_urlsafe(24)}"
        models = ("gpt-*",) if row.request.get("key") == LIMITED_KEY else ()
        if row.cause is Cause.NO_ROUTE:
            return Plan(key, None, models)
        group = own_group(case.group, row.credentials, row.upstream) if row.credentials else _group(row.upstream)
        spec = tomllib.loads(group.settings.format_map(self.places))
        tag = case.column.tag
        names = [f"{group.name}-{tag}-{'abcd'[number]}" for number in range(group.credentials)]
        pairs = [(label, secret(group.name, tag, number)) for number, label in enumerate(names)]
        enabled = spec.pop("enabled", True)
        base = address(group.base, case.column, self.places)
        spec |= {"name": NAME, "protocol": case.column.upstream, "base_url": base, "credentials": pairs}
        return Plan(key, spec, models, enabled=enabled)


@contextmanager
def drill(host: str, port: int) -> Iterator[Drill]:
    """Starts the scripted upstream and all the ports that are none."""
    with (
        tempfile.TemporaryDirectory(prefix="epitaph-drill-") as folder,
        FaultServer().run_in_thread() as upstream,
        places(upstream, Path(folder)) as found,
    ):
        yield Drill(host, port, found)


def _group(name: str) -> Group:
    return next(group for group in GROUPS if group.name == name)


def _recorded(name: str, problems: list[str]) -> AuditEntry | None:
    """The one entry of the request that called itself `name`, once it has ended."""
    deadline = time.monotonic() + RECORDED_SECONDS
    while True:
        entries = list(AuditEntry.objects.filter(client_request_id=name, direction="ingress")[:2])
        if len(entries) > 1:
            problems.append("more than one entry is on record")
        if entries and entries[0].outcome:
            return entries[0]
        if time.monotonic() > deadline:
            problems.append(f"no ending was on record within {RECORDED_SECONDS:g} s")
            return entries[0] if entries else None
        time.sleep(0.1)


def _compare(finding: Finding, seen: client.Seen) -> None:
    """Entry, error event and mark against the row, and what the client saw against both."""
    entry, row = finding.entry, finding.case.row
    assert entry is not None
    got: tuple[Any, ...] = (entry.outcome, entry.cause, entry.phase, entry.fault, entry.client_status)
    wanted = (row.outcome, row.cause, row.phase, row.fault, row.status)
    for name, one, other in zip(("outcome", "cause", "phase", "fault", "status"), got, wanted, strict=True):
        if one != other and not (name == "cause" and one in row.either):
            finding.problems.append(f"{name} is {one}, expected {other}")
    if row.status is not None and seen.reply.status != row.status:
        finding.problems.append(f"the client was answered {seen.reply.status}, expected {row.status}")
    if seen.ends is not row.ends:
        finding.problems.append(f"for the client it ended {seen.ends!s}, expected {row.ends!s}")
    events = list(ErrorEvent.objects.filter(request_id=entry.request_id).values("name", "drill", "group"))
    names = [event["name"] for event in events]
    if names != ([row.error_name] if row.error_name else []):
        finding.problems.append(f"the error log has {names or 'nothing'}, expected {row.error_name or 'nothing'}")
    if not entry.drill or any(not event["drill"] or event["group"] is not None for event in events):
        finding.problems.append("it was not recorded as a rehearsal")
