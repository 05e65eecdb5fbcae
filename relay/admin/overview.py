"""What the first page says: in flight, how requests ended and whose fault, what needs a look, how the upstreams stand.

Everything comes from counters by the hour and from small tables, never from counting requests; so the page costs the same
with a thousand entries as with ten million.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum
from django.utils import timezone
from django.utils.safestring import SafeString

from auditlog import inflight
from auditlog.models import AuditEntry, HourlyCount, RecordingState
from proxy_project.charts import Counts, shares
from proxy_project.figures import lasted, share
from relay import panels
from relay.ending import OUTCOMES, Fault, Outcome
from relay.models import InstanceLease

FAULTS = tuple(fault.value for fault in (Fault.UPSTREAM, Fault.RELAY, Fault.OPERATOR, Fault.UNKNOWN, Fault.CLIENT))
ABNORMAL = frozenset(outcome.value for outcome, rule in OUTCOMES.items() if rule.abnormal)
OURS = frozenset((Outcome.RELAY_SHUTDOWN.value, Outcome.RELAY_ERROR.value, Outcome.RELAY_LOST.value))
NO_UPSTREAM = "no upstream asked"


@dataclass(frozen=True, slots=True)
class Period:
    """So many hours up to now, drawn in columns of `step` hours, every `ticks`-th of them named."""

    key: str
    hours: int
    step: int
    ticks: int
    words: str
    before: str

    @property
    def label(self) -> str:
        return f"{self.key[:-1]} {self.key[-1]}"

    def start(self, now: datetime) -> datetime:
        """The start of the first column; the hour that runs is part of the last one."""
        hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return hour - timedelta(hours=self.hours)


PERIODS = {
    period.key: period
    for period in (
        Period("24h", 24, 1, 4, "the last 24 hours", "the 24 hours before"),
        Period("7d", 168, 6, 4, "the last 7 days", "the 7 days before"),
        Period("28d", 672, 24, 7, "the last 28 days", "the 28 days before"),
    )
}


@dataclass(slots=True)
class Standing:
    """Requests of an upstream that say something of it: all but those that clients or this gateway ended."""

    judged: int = 0
    failed: int = 0


@dataclass(slots=True)
class Traffic:
    """Endings in a period: by column, by outcome and by upstream, each by fault."""

    total: int = 0
    columns: list[Counter[str]] = field(default_factory=list)  # abnormal ones by fault
    wholes: list[int] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    upstreams: dict[str, list[Counter[str]]] = field(default_factory=dict)  # its own fault, by column
    asked: Counter[str] = field(default_factory=Counter)  # requests by upstream
    standing: dict[str, Standing] = field(default_factory=lambda: defaultdict(Standing))
    lately: dict[str, Standing] = field(default_factory=lambda: defaultdict(Standing))  # in this hour and the last

    @property
    def abnormal(self) -> int:
        return sum(self.faults.values())


def traffic(period: Period, now: datetime) -> Traffic:
    """What ended in the period."""
    start, number = period.start(now), period.hours // period.step
    lately = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    found = Traffic(columns=[Counter() for _ in range(number)], wholes=[0] * number)
    rows = HourlyCount.objects.filter(hour__gte=start).values_list("hour", "provider", "outcome", "fault")
    for hour, provider, outcome, fault, count in rows.annotate(total=Sum("count")).order_by():
        place = min(int((hour - start) / timedelta(hours=period.step)), number - 1)
        found.total += count
        found.wholes[place] += count
        found.outcomes[outcome][fault or Fault.UNKNOWN.value] += count
        found.asked[provider] += count
        if outcome not in ABNORMAL or (outcome not in OURS and fault not in (Fault.CLIENT, Fault.RELAY)):
            for standing in (found.standing, found.lately) if hour >= lately else (found.standing,):
                standing[provider].judged += count
                standing[provider].failed += count if outcome in ABNORMAL else 0
        if outcome in ABNORMAL:
            found.columns[place][fault or Fault.UNKNOWN.value] += count
            found.faults[fault or Fault.UNKNOWN.value] += count
            if fault == Fault.UPSTREAM:
                mine = found.upstreams.setdefault(provider, [Counter() for _ in range(number)])
                mine[place][fault] += count
    return found


def rate_before(period: Period, now: datetime) -> tuple[int, int]:
    """Abnormal endings and all of them, in the period of the same length before this one, up to the same minute's hour."""
    end = period.start(now)
    rows = HourlyCount.objects.filter(hour__gte=end - timedelta(hours=period.hours), hour__lt=end)
    counts = dict(rows.values_list("outcome").annotate(total=Sum("count")).order_by())
    return sum(count for outcome, count in counts.items() if outcome in ABNORMAL), sum(counts.values())


@dataclass(frozen=True, slots=True)
class InFlight:
    """Requests that have not ended, by upstream."""

    total: int
    instances: int
    by_upstream: list[tuple[str, int, float]]  # name, number, share of the busiest
    oldest: str
    oldest_upstream: str
    silence: str  # the longest one now, when it is long
    silent_upstream: str


def in_flight(now: datetime) -> InFlight:
    """Counted from the rows that are open, which an index of their own keeps few."""
    rows = AuditEntry.objects.filter(outcome__isnull=True, direction="ingress", drill=False)
    # Counted here: asked to group them, SQLite would rather go through all entries in the order of their upstreams.
    opened = list(rows.order_by("time", "id").values_list("provider", "time"))
    counts = Counter(provider for provider, _ in opened).most_common()
    most = max((number for _, number in counts), default=1)
    first = next(iter(opened), None)
    silent = next((stream for stream in inflight.in_flight(now=now).streams if stream.long), None) if counts else None
    return InFlight(
        total=len(opened),
        instances=InstanceLease.objects.filter(expires_at__gt=now).count(),
        by_upstream=[(name or NO_UPSTREAM, number, 100 * number / most) for name, number in counts],
        oldest=lasted((now - first[1]).total_seconds() * 1000) if first else "",
        oldest_upstream=(first[0] or NO_UPSTREAM) if first else "",
        silence=silent.silent if silent else "",
        silent_upstream=(silent.entry.provider or NO_UPSTREAM) if silent else "",
    )


def recording() -> dict[str, Any]:
    """Whether requests are recorded, what was left out, and how far the rows are behind."""
    state = RecordingState.current()
    lag = panels.journal_lag()
    return {
        "on": state.enabled and not state.paused,
        "paused": state.paused,
        "dropped": state.dropped,
        "sampled": state.sampled,
        "sampling": state.sampling,
        "journal_lag": None if lag is None else lasted(lag * 1000),
        "late": lag is not None and lag > 10,
    }


def endings(found: Traffic) -> list[dict[str, Any]]:
    """One row for each outcome that came: normal ones against all requests, abnormal ones against the abnormal."""
    rows = []
    for outcome in Outcome:
        counts = found.outcomes.get(outcome.value)
        if counts is None:
            continue
        number = sum(counts.values())
        abnormal = outcome.value in ABNORMAL
        whole = found.abnormal if abnormal else found.total
        parts = {name: 100 * counts[name] / whole for name in FAULTS if counts[name]} if abnormal else {}
        rows.append(
            {
                "outcome": outcome.value,
                "count": number,
                "share": share(number, found.total),
                "abnormal": abnormal,
                "fault": max(counts, key=lambda name: counts[name]) if abnormal else "",
                "parts": _placed(parts) if abnormal else [(f"e-{outcome.value}", 0.0, 100 * number / whole)],
                "whole": whole,
            }
        )
    first = next((row for row in rows if row["abnormal"]), None)
    if first:
        first["rule"] = True
    return rows


def _placed(parts: Counts | dict[str, float]) -> list[tuple[str, float, float]]:
    """Class, place and width of each part of a bar, one behind the other."""
    placed, x = [], 0.0
    for name, width in parts.items():
        placed.append((f"f-{name}", x, width))
        x += width
    return placed


def rates_chart(period: Period, found: Traffic, now: datetime) -> SafeString:
    """The share of abnormal endings over time."""
    start = period.start(now)
    pattern = "%H:%M" if period.step == 1 else ("%d %b %H:%M" if period.step < 24 else "%d %b")
    names = [
        timezone.localtime(start + timedelta(hours=period.step * place)).strftime(pattern) for place in range(len(found.columns))
    ]
    columns = list(zip(names, found.columns, found.wholes, strict=True))
    return shares(columns, period.ticks, f"Share of abnormal endings by whose fault it was, over {period.words}")


def comparison(period: Period, found: Traffic, now: datetime) -> dict[str, Any]:
    """The abnormal rate now and before, and which way it went."""
    abnormal, whole = rate_before(period, now)
    here = found.abnormal / found.total if found.total else None
    there = abnormal / whole if whole else None
    way = ""
    if here is not None and there is not None and abs(here - there) > 0.1 * max(here, there):
        way = "up" if here > there else "down"
    return {"now": share(found.abnormal, found.total), "before": share(abnormal, whole), "way": way}
