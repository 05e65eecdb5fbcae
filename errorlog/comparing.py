"""What differs: the events of a group, beside completed streams of the same upstream in the same time.

A share of 87 % means little until one knows that it is 30 % among streams that went well. The completed ones are a sample
that the project's panels give; without it, or with too few, there is no comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString

from errorlog import panels
from errorlog.models import ErrorEvent, ErrorGroup
from proxy_project.charts import differs
from proxy_project.figures import lasted, number
from proxy_project.phases import attempts, mapping, parts_of

LOOKED_AT = 300  # events of the group, of the last day …
FEW = 30  # … or its newest, when the day had fewer
FEWEST = 5  # completed streams that make a comparison
ROWS = 6
LEAST = 0.05  # a smaller difference of shares is chance
SAME_SILENCE = 0.03  # durations within this share of their median are one figure
OFTEN = 0.6  # … and when so many events have it, somebody set it


@dataclass(frozen=True, slots=True)
class Difference:
    """A property, the value that most of the group's events have, and its share here and in completed streams."""

    name: str
    value: str
    here: float
    there: float
    bar: SafeString

    @property
    def percent_here(self) -> str:
        return f"{100 * self.here:.0f} %"

    @property
    def percent_there(self) -> str:
        return f"{100 * self.there:.0f} %"


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences, largest first, of how many events and how many completed streams, and what the silences say."""

    rows: list[Difference]
    events: int
    completed: int
    since: datetime
    silence: str


def compare(group: ErrorGroup) -> Comparison | None:
    """The comparison of a group's newest events, None when there is nothing to compare them with."""
    if not group.upstream:
        return None
    events = _newest(group)
    if not events:
        return None
    since = min(at for at, _ in events)
    given = panels.ask("completed_sample", group.upstream, since)
    completed = [_flat(row) for row in given or ()]
    if len(completed) < FEWEST:
        return None
    contexts = [context for _, context in events]
    return Comparison(
        rows=_differences(contexts, completed, group.fault),
        events=len(contexts),
        completed=len(completed),
        since=since,
        silence=_silence(contexts, completed),
    )


def _newest(group: ErrorGroup) -> list[tuple[datetime, Mapping[str, Any]]]:
    """Events of the last day, or the newest when those are too few to say anything; each with its time."""
    rows = ErrorEvent.objects.filter(group=group).order_by("-sequence").values_list("time", "context")[:LOOKED_AT]
    events = [(at, mapping(context)) for at, context in rows]
    day = [item for item in events if item[0] >= timezone.now() - timedelta(hours=24)]
    return day if len(day) >= FEW else events[:FEW]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A completed stream in the shape of an event's context."""
    evidence = mapping(row.get("evidence"))
    return {**evidence, **{name: row.get(name) for name in ("model", "credential", "client_key", "tag")}}


def properties_of(context: Mapping[str, Any]) -> dict[str, str]:
    """What can be compared of one stream."""
    credential = context.get("credential")
    made = attempts(context)
    reasoning, reused = context.get("had_reasoning"), made[-1].get("reused") if made else None
    given = {
        "credential": credential.get("label") if isinstance(credential, Mapping) else credential,
        "client key": context.get("client_key"),
        "model": context.get("model"),
        "protocol": context.get("tag"),
        "instance": mapping(context.get("relay")).get("instance"),
        "reasoning seen": {True: "yes", False: "no"}.get(reasoning) if isinstance(reasoning, bool) else None,
        "connection": {True: "reused", False: "new"}.get(reused) if isinstance(reused, bool) else None,
        "attempts": "more than one" if len(made) > 1 else "one" if made else None,
    }
    return {name: str(value) for name, value in given.items() if value not in (None, "")}


def _differences(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]], fault: str) -> list[Difference]:
    ours, theirs = _counted(here), _counted(there)
    rows = []
    for name, values in ours.items():
        value, count = values.most_common(1)[0]
        other = theirs.get(name, Counter())
        share, share_there = count / values.total(), other[value] / max(other.total(), 1)
        if other.total() < FEWEST or len({*values, *other}) < 2:
            continue  # nothing to compare with, or the same everywhere
        label = f"{name} {value}: {100 * share:.0f} % here, {100 * share_there:.0f} % of completed streams"
        rows.append(Difference(name, value, share, share_there, differs(share, share_there, fault, label)))
    rows.sort(key=lambda row: row.there - row.here)
    return [row for row in rows if row.here - row.there >= LEAST][:ROWS]


def _counted(contexts: Iterable[Mapping[str, Any]]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for context in contexts:
        for name, value in properties_of(context).items():
            counts.setdefault(name, Counter())[value] += 1
    return counts


def _silence(here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> str:
    """A silence before the end that is nearly always the same length, in words; empty when it is not."""
    silences = [part.lasted for context in here for part in parts_of(context) if part.kind == "silence"]
    if not silences:
        return ""
    usual = median(silences)
    same = sum(abs(silence - usual) <= SAME_SILENCE * usual for silence in silences)
    if same < 2 or same < OFTEN * len(here) or usual < 1000:
        return ""
    gaps = [number(mapping(context.get("gaps")).get("longest_ms")) for context in there]
    known = [gap for gap in gaps if gap is not None]
    against = f", {lasted(median(known))} (median of the longest) where streams completed" if known else ""
    return f"{lasted(usual)} in {same:,} of {len(here):,} events{against}."
