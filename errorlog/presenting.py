"""What a row of the list says of a group beside its own columns, gathered in a few queries for a whole page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString

from errorlog import counting, panels, reading
from errorlog.models import ErrorGroup, HourlyCount, KindCount, TopValue
from errorlog.periods import DAY, Buckets, Period, total
from proxy_project.charts import fault_class, sparkline
from proxy_project.figures import ago, day_and_time, share

NEW_FOR = timedelta(hours=24)
ESCALATING_LEAST = 10  # events in this and the last hour …
ESCALATING_TIMES = 4  # … and so many times what two hours of the day before had: escalating
SECOND_LINE = ("model", "phase")
PROPERTIES = counting.FIELDS
NOTHING = SafeString("")
CHIPS = {"new": "●", "regressed": "↩", "escalating": "↗"}


@dataclass(slots=True)
class GroupFigures:
    """One row's figures."""

    unread: int = 0
    count: int = 0  # in the period
    of: int | None = None  # requests of its upstream in the period, None when that is not known or it is no stream's
    chips: list[tuple[str, str, str]] = field(default_factory=list)  # class, sign, word
    trend: SafeString = NOTHING
    fault: str = "unknown"
    cause: str = ""  # with the status or the close code
    model: str = ""
    more_models: int = 0
    phase: str = ""
    extra: str = ""
    seen: str = ""
    since: str = ""

    @property
    def rate(self) -> str:
        return share(self.count, self.of) if self.of else ""


def figures_of(
    groups: Sequence[ErrorGroup], reader: str, period: Period = DAY, requests: Mapping[str, int] | None = None
) -> dict[int, GroupFigures]:
    """The figures of a page of groups; `requests` by upstream are the denominators of the rates."""
    now = timezone.now()
    keys = [group.pk for group in groups]
    unread = reading.unread_by(reader, keys)
    counts = HourlyCount.objects.filter(group__in=keys)
    day = DAY.buckets_of(counts, "group", now)
    bars = day if period.drawn == DAY.drawn else period.buckets_of(counts, "group", now)
    tops = top_values(keys, SECOND_LINE)
    result = {}
    for group in groups:
        drawn = bars.get(group.pk, [Counter() for _ in range(period.drawn // period.step)])
        result[group.pk] = figures = GroupFigures(
            unread=unread[group.pk].events if group.pk in unread else 0,
            count=_within(drawn, period),
            of=(requests or {}).get(group.upstream) if group.upstream and group.cause else None,
            chips=[(state, CHIPS.get(state, ""), state.upper()) for state in _states(group, day.get(group.pk, []), now)],
            fault=fault_class(group.fault),
            cause=cause_of(group),
            extra=_extra(group),
            seen=ago(group.last_seen, now),
            since=day_and_time(timezone.localtime(group.first_seen), timezone.localtime(now)),
        )
        figures.trend = sparkline(drawn, f"{total(drawn):,} in {_words(period)}, by bars of {period.step} h")
        if models := tops[group.pk]["model"]:
            figures.model, figures.more_models = models[0][0], len(models) - 1
        if phases := tops[group.pk]["phase"]:
            figures.phase = phases[0][0]
    return result


def _words(period: Period) -> str:
    return period.words if period.hours == period.drawn else DAY.words


def cause_of(group: ErrorGroup) -> str:
    """The cause with the upstream's status or close code, where that says more than that it was fine."""
    code = group.parts[3] if len(group.parts) > 3 else ""
    return f"{group.cause} {code}" if group.cause and code not in ("", "200") else group.cause


def _extra(group: ErrorGroup) -> str:
    """Where an exception came from, or whether the client had something of the answer."""
    if not group.cause:
        place = " · ".join(part for part in group.parts[1:] if part)
        return place or {"renderer": "reported by a browser", "external": "reported from outside"}.get(group.source, "")
    last = group.parts[-1] if group.parts else ""
    return last.replace("first byte", "the first byte")


def _states(group: ErrorGroup, hours: Buckets, now: datetime) -> Iterable[str]:
    if group.regressed:
        yield "regressed"
    elif group.first_seen >= now - NEW_FOR and group.status == ErrorGroup.Status.UNRESOLVED:
        yield "new"
    latest = total(hours[-2:])
    before = total(hours[:-2])
    if latest >= ESCALATING_LEAST and group.first_seen < now - timedelta(hours=3) and latest > ESCALATING_TIMES * before / 11:
        yield "escalating"
    if group.status != ErrorGroup.Status.UNRESOLVED:
        yield group.status


def top_values(keys: Iterable[int], names: Sequence[str]) -> dict[int, dict[str, list[tuple[str, int]]]]:
    """The values of properties by group, most frequent first."""
    result: dict[int, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    rows = TopValue.objects.filter(group__in=keys, field__in=names).order_by("-count", "value")
    for group, name, value, count in rows.values_list("group", "field", "value", "count"):
        result[group][name].append((value, count))
    return result


# the head of the page


@dataclass(slots=True)
class Kind:
    """A tile: one name, or what is no stream's ending, together."""

    name: str
    value: str  # what the filter is set to
    lines: tuple[str, str]
    count: int
    rate: str
    trend: SafeString


@dataclass(slots=True)
class Head:
    """What the list says before any group: how many, whose fault, of which kinds."""

    endings: int
    others: int
    requests: int | None
    faults: dict[str, int]
    kinds: list[Kind]

    @property
    def rate(self) -> str:
        return share(self.endings, self.requests) if self.requests else ""

    @property
    def events(self) -> int:
        return self.endings + self.others


OTHER_KINDS = "-"  # the filter's value for everything that is no stream's ending
TILES = 8


def head_of(period: Period, requests: Mapping[str, int] | None) -> Head:
    """The roll-up by kind and by fault over a period, whatever the groups' states."""
    now = timezone.now()
    known = requests if requests is not None else panels.ask("requests_by_upstream", period.since(now))
    whole = sum(known.values()) if known is not None else None
    every = period.buckets_of(KindCount.objects.all(), "name", now)
    endings = set(ErrorGroup.objects.filter(name__in=every).exclude(cause="").order_by().values_list("name", flat=True))
    of_names = {name: bars for name, bars in every.items() if name in endings}
    of_others = {name: bars for name, bars in every.items() if name not in endings}
    counted = {name: _within(bars, period) for name, bars in every.items()}
    faults: Counter[str] = Counter()
    for bars in every.values():
        for bar in _drawn(bars, period):
            for fault, count in bar.items():
                faults[fault_class(fault)] += count
    order = sorted((name for name in of_names if counted[name]), key=lambda name: (-counted[name], name))
    kinds = [_kind(name, name, of_names[name], period, whole) for name in order]
    rest = sorted((name for name in of_others if counted[name]), key=lambda name: (-counted[name], name))
    if len(kinds) + len(rest) <= TILES:
        kinds += [_kind(name, name, of_others[name], period, None) for name in rest]
    else:
        merged: Buckets = [sum(bars, Counter()) for bars in zip(*(of_others[name] for name in rest), strict=True)]
        kinds = [*kinds[: TILES - 1], _kind("Exceptions and reports", OTHER_KINDS, merged, period, None)]
    return Head(
        endings=sum(counted[name] for name in of_names),
        others=sum(counted[name] for name in of_others),
        requests=whole,
        faults={fault: faults[fault] for fault in ("upstream", "relay", "operator", "unknown", "client")},
        kinds=kinds,
    )


def recent_by_name(period: Period, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each name its events in a period, by fault, and their share of all requests (None where that is not known)."""
    now = timezone.now()
    requests = panels.ask("requests_by_upstream", period.since(now))
    whole = sum(requests.values()) if requests else 0
    bars = period.buckets_of(KindCount.objects.filter(name__in=names), "name", now)
    result = {}
    for name in names:
        faults: Counter[str] = Counter()
        for bar in _drawn(bars.get(name, []), period):
            faults += bar
        count = faults.total()
        rate = round(count / whole, 6) if whole else None
        result[name] = {"period": period.key, "recent": count, "rate": rate, "faults": dict(faults)}
    return result


def _drawn(bars: Buckets, period: Period) -> Buckets:
    """The bars of the period itself: a short one is drawn within a day."""
    return bars[-period.hours :] if period.step == 1 else bars


def _within(bars: Buckets, period: Period) -> int:
    return total(_drawn(bars, period))


def _kind(name: str, value: str, bars: Buckets, period: Period, requests: int | None) -> Kind:
    count = _within(bars, period)
    return Kind(
        name,
        value,
        _two_lines(name),
        count,
        share(count, requests) if requests else "",
        sparkline(bars, f"{name}: {count:,} in {period.words}", height=26, fluid=True),
    )


def _two_lines(name: str) -> tuple[str, str]:
    """`StreamUpstreamPrematureClose` in two lines of about the same length, broken before a capital or at a blank."""
    breaks = [
        index for index in range(1, len(name)) if name[index] == " " or (name[index].isupper() and name[index - 1].islower())
    ]
    at = min(breaks, key=lambda index: abs(index - len(name) / 2), default=len(name))
    return name[:at], name[at:].lstrip()
