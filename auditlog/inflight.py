"""The streams in flight: open entries, the longest silence first.

An entry of a request that runs for longer than a second is stored while it is still open, and again every few seconds,
every second while somebody looks (relay/watching.py); its evidence then has a `live` part that says what was true at that moment.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from django.utils import timezone

from auditlog.models import AuditEntry
from proxy_project.figures import lasted, number, size
from proxy_project.phases import mapping

MOST = 500  # open entries that are looked at
SHOWN = 4  # rows of the strip before "show all"
LONG_SILENCE = 10_000.0  # ms; a client that leaves after more than that leaves because of the upstream (docs/endings.md)


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream in flight."""

    entry: AuditEntry
    age: str
    silent_ms: float | None
    silent: str
    share: str  # of the idle timeout, in percent
    long: bool
    events: str
    sent: str
    seen: str  # how old what is known is


@dataclass(frozen=True, slots=True)
class InFlight:
    """The strip: `count` in words, and the streams that are shown."""

    count: str
    streams: list[Stream]
    more: bool


def in_flight(everything: bool = False, now: dt.datetime | None = None) -> InFlight:
    """The strip of streams in flight, a few of them or `everything`."""
    moment = now or timezone.now()
    entries = AuditEntry.objects.open().ingress().defer("payloads").order_by("time", "id")[: MOST + 1]
    streams = sorted((_stream(entry, moment) for entry in entries), key=lambda stream: -(stream.silent_ms or 0.0))
    count = f"{MOST}+" if len(streams) > MOST else str(len(streams))
    shown = streams[:MOST] if everything else streams[:SHOWN]
    return InFlight(count, shown, len(streams) > len(shown))


def _stream(entry: AuditEntry, now: dt.datetime) -> Stream:
    evidence = mapping(entry.evidence)
    live = mapping(evidence.get("live"))
    age = max((now - entry.time).total_seconds() * 1000, 0.0)
    silent, limit, seen = (number(live.get(name)) for name in ("silent_ms", "idle_timeout_ms", "seen_ms"))
    events = number(evidence.get("event_count"))
    return Stream(
        entry,
        lasted(age),
        silent,
        lasted(silent),
        f"{min(100 * silent / limit, 100):.2f}%" if silent is not None and limit else "0%",
        (silent or 0.0) > LONG_SILENCE,
        "" if events is None else f"{events:,.0f}",
        size(entry.bytes_out),
        lasted(max(age - seen, 0.0)) if seen is not None else "",
    )
