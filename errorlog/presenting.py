"""What the pages show of groups and events, gathered in a few queries for a whole page. Writes nothing, formats nothing."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.db import Error as DatabaseError
from django.db.models import Sum
from django.utils import timezone

from errorlog import counting, options, reading
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, TopValue

NEW_FOR = timedelta(hours=24)
ESCALATING_LEAST = 10  # events in this and the last hour …
ESCALATING_TIMES = 4  # … and so many times what two hours of the day before had: escalating
SECOND_LINE = ("upstream", "model", "phase")
PROPERTIES = counting.FIELDS


@dataclass(slots=True)
class GroupFigures:
    """What the list says of a group beside its own columns."""

    unread: int = 0
    day: int = 0
    chips: list[str] = field(default_factory=list)
    where: list[str] = field(default_factory=list)  # upstream, model, phase: the most frequent of each


def figures_of(groups: Sequence[ErrorGroup], reader: str) -> dict[int, GroupFigures]:
    """The figures of a page of groups."""
    keys = [group.pk for group in groups]
    result = {key: GroupFigures() for key in keys}
    for key, unread in reading.unread_by(reader, keys).items():
        result[key].unread = unread.events
    hours = _hours(keys)
    tops = top_values(keys, SECOND_LINE)
    now = timezone.now()
    for group in groups:
        figures = result[group.pk]
        figures.day = sum(hours[group.pk].values())
        figures.chips = list(_chips(group, hours[group.pk], now))
        figures.where = [_most(tops[group.pk][name]) for name in SECOND_LINE if tops[group.pk][name]]
    return result


def _hours(keys: Iterable[int]) -> dict[int, dict[int, int]]:
    """Events of the last 24 hours, by group and by how many hours ago."""
    edge = counting.start_of_hour(timezone.now())
    rows = HourlyCount.objects.filter(group__in=keys, hour__gt=edge - NEW_FOR).values_list("group", "hour")
    result: dict[int, dict[int, int]] = defaultdict(dict)
    for group, hour, count in rows.annotate(total=Sum("count")).order_by():
        result[group][int((edge - hour).total_seconds() // 3600)] = count
    return result


def _chips(group: ErrorGroup, hours: Mapping[int, int], now: Any) -> Iterable[str]:
    if group.regressed:
        yield "REGRESSED"
    elif group.first_seen >= now - NEW_FOR:
        yield "NEW"
    latest = hours.get(0, 0) + hours.get(1, 0)
    before = sum(hours.values()) - latest
    if latest >= ESCALATING_LEAST and group.first_seen < now - timedelta(hours=3) and latest > ESCALATING_TIMES * before / 11:
        yield "ESCALATING"
    if group.status != ErrorGroup.Status.UNRESOLVED:
        yield group.status


def _most(values: Sequence[tuple[str, int]]) -> str:
    more = len(values) - 1
    return values[0][0] + (f" and {more} more" if more else "")


def top_values(keys: Iterable[int], names: Sequence[str]) -> dict[int, dict[str, list[tuple[str, int]]]]:
    """The values of properties by group, most frequent first."""
    result: dict[int, dict[str, list[tuple[str, int]]]] = defaultdict(lambda: defaultdict(list))
    rows = TopValue.objects.filter(group__in=keys, field__in=names).order_by("-count", "value")
    for group, name, value, count in rows.values_list("group", "field", "value", "count"):
        result[group][name].append((value, count))
    return result


def neighbours(event: ErrorEvent) -> tuple[int | None, int | None]:
    """The sequences of the older and the newer event of the same group."""
    mine = ErrorEvent.objects.filter(group=event.group_id)
    older = mine.filter(sequence__lt=event.sequence).order_by("-sequence").values_list("sequence", flat=True).first()
    newer = mine.filter(sequence__gt=event.sequence).order_by("sequence").values_list("sequence", flat=True).first()
    return older, newer


def context_rows(event: ErrorEvent) -> list[tuple[str, str]]:
    """The context as a table: names and texts, what is nested as JSON."""
    return [(str(name), _text(value)) for name, value in event.context.items()]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict | list) else None)


def as_markdown(group: ErrorGroup, event: ErrorEvent) -> str:
    """The event to paste into a ticket."""
    rows = [("time", event.time.isoformat()), ("request", event.request_id), ("version", event.version), *context_rows(event)]
    table = "\n".join(f"| {name} | {_cell(text)} |" for name, text in rows if text)
    stack = f"\n```\n{event.stack.replace('```', '` ` `')}\n```\n" if event.stack else ""
    since = f"{group.count} events since {group.first_seen:%Y-%m-%d}"
    return f"## {group.title}\n{event.message}\n\n| | |\n| --- | --- |\n{table}\n{stack}\n{since}\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def as_json(event: ErrorEvent) -> str:
    """The event as it is kept."""
    names = ("name", "message", "stack", "source", "version", "platform", "request_id", "context")
    whole = {"id": str(event.id), "time": event.time.isoformat(), **{name: getattr(event, name) for name in names}}
    return json.dumps(whole, ensure_ascii=False, indent=2)


def entry_of(event: ErrorEvent) -> dict[str, Any] | None:
    """The audit entry of the same request, from the module that the project names; None when that cannot tell."""
    name = options.panels()
    if not name or not event.request_id:
        return None
    try:
        panel = getattr(import_module(name), "entry_of_error", None)
        return panel(event.request_id) if panel else None
    except (ImportError, DatabaseError):
        return None
