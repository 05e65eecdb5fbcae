"""Checking the path end to end: one small streamed request through this gateway's own door, and what became of it.

The request is an ordinary one: it needs a client key, takes a route, is answered by an upstream, and ends in the audit.
Invariant: a check never raises for what it meets, is over within `PATIENCE`, reads a bounded answer, and no text that it
gives holds the key.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import httpx
from django.utils import timezone

from auditlog.models import AuditEntry
from relay.first_upstreams import TRIALS
from relay.models import ClientKey, Protocol

PATIENCE = 60.0  # seconds for the answer
LARGEST_ANSWER = 4 << 20  # bytes
KNOWN_WITHIN = 3.0  # seconds until every process must know a key that was just made
RECORDED_WITHIN = 5.0
LABEL = "path check"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that had to work."""

    good: bool
    text: str


@dataclass(slots=True)
class Check:
    """What came of it, in order. `request_id` leads to the audit entry."""

    steps: list[Step] = field(default_factory=list)
    request_id: str = ""
    entry: str = ""  # the audit entry's primary key

    @property
    def good(self) -> bool:
        return bool(self.steps) and all(step.good for step in self.steps)

    def note(self, good: bool, text: str) -> bool:
        self.steps.append(Step(good, text))
        return good


@contextmanager
def passing_key() -> Iterator[str]:
    """A client key for this check alone: it ends with it, or by itself two minutes later."""
    row = ClientKey(label=f"{LABEL} {secrets.token_hex(3)}", expires_at=timezone.now() + timedelta(minutes=2))
    key = row.rotate()
    row.rotated_at = None
    row.save()
    try:
        yield key
    finally:
        row.delete()


def check_path(address: str, key: str, model: str, protocol: str) -> Check:
    """Ask `model` for a few words as a client of `protocol` would. For a thread without an event loop."""
    check = Check()
    path, body = TRIALS.get(protocol, TRIALS[Protocol.OPENAI_CHAT])
    if protocol != Protocol.GEMINI:
        body = {"model": model, **body}
    url = address + path.format(model=model)
    try:
        with httpx.Client(timeout=PATIENCE, trust_env=False, headers={"authorization": f"Bearer {key}"}) as client:
            _ask(client, url, json.dumps(body).encode(), check)
    except httpx.HTTPError as error:
        check.note(False, f"The gateway could not be asked at {address}: {type(error).__name__}.")
    except UnicodeError:
        check.note(False, "This key cannot be sent: a client key is made of printable ASCII characters.")
    if check.request_id:
        _recorded(check)
    return check


def _ask(client: httpx.Client, url: str, body: bytes, check: Check) -> None:
    deadline = time.monotonic() + KNOWN_WITHIN
    while True:
        started = time.monotonic()
        with client.stream("POST", url, content=body, headers={"content-type": "application/json"}) as answer:
            if answer.status_code != 401 or time.monotonic() > deadline:
                _read(answer, started, check)
                return
        time.sleep(0.3)  # a key that was just made is known to every process within a second


def _read(answer: httpx.Response, started: float, check: Check) -> None:
    check.request_id = answer.headers.get("x-request-id", "")
    if not check.note(
        answer.status_code != 401, "The key is accepted." if answer.status_code != 401 else "The key is refused (401)."
    ):
        return
    first, received, events = None, 0, 0
    kept = b""
    for chunk in answer.iter_raw():
        first = first or time.monotonic()
        received += len(chunk)
        events += chunk.count(b"data:")
        kept = (kept + chunk)[:2000]
        if received > LARGEST_ANSWER or time.monotonic() - started > PATIENCE:
            check.note(False, f"The answer did not end: {received:,} bytes were read.")
            return
    if answer.status_code >= 400:
        check.note(False, f"The answer is {answer.status_code}: {_message(kept)}")
        return
    after = f"{1000 * ((first or started) - started):.0f} ms"
    took = f"{1000 * (time.monotonic() - started):.0f} ms"
    check.note(events > 0, f"It streams: the first bytes after {after}, {events} events, {received:,} bytes in {took}.")


def _message(body: bytes) -> str:
    """What an error answer says of itself."""
    try:
        said = json.loads(body)["error"]
        text = said["message"] if isinstance(said, dict) else said
    except (ValueError, KeyError, TypeError):
        text = body.decode("utf-8", "replace")
    return " ".join(str(text).split())[:300]


def _recorded(check: Check) -> None:
    """Whether the ending is on record, and what it was."""
    deadline = time.monotonic() + RECORDED_WITHIN
    while True:
        entry = AuditEntry.objects.filter(request_id=check.request_id, direction="ingress").first()
        if entry is not None and entry.outcome:
            break
        if time.monotonic() > deadline:
            check.note(False, "Its ending is not on record after five seconds: is recording off, or the journal behind?")
            return
        time.sleep(0.1)
    check.entry = str(entry.pk)
    by = f" by {entry.provider}" if entry.provider else ""
    blame = f", fault {entry.fault}" if entry.fault and entry.outcome not in ("completed", "incomplete") else ""
    cause = f" ({entry.cause}{blame})" if entry.cause else ""
    check.note(entry.outcome in ("completed", "incomplete"), f"It is on record{by} as {entry.outcome}{cause}.")
