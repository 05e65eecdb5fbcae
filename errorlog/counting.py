"""What is counted of each group beside its events: how many an hour by fault, and which values its properties had.

Called by errorlog.ingest under its lock, so that counts are read, added to and written without a second writer between.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import F, Sum

from errorlog.models import ErrorEvent, HourlyCount, KindCount, TopValue

VALUES_PER_FIELD = 100  # then new values are counted together
OTHERS = "…"
FIELDS = ("model", "upstream", "credential", "client_key", "cause", "phase", "fault", "close_code")

EventsByGroup = Mapping[int, Sequence[ErrorEvent]]


@dataclass(slots=True)
class GroupValues:
    """The values of one group's properties, with how often each came."""

    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))

    def dominant(self, name: str) -> str:
        """The value that came most often, "" when there is none."""
        top = self.counts[name].most_common(1)
        return top[0][0] if top else ""

    def number_of(self, name: str) -> int:
        """How many values there were."""
        return len(self.counts[name])


def properties_of(event: ErrorEvent) -> dict[str, str]:
    """What can be said of an event in one word each: what groups are summed up and filtered by."""
    context = event.context
    credential = context.get("credential")
    if isinstance(credential, Mapping):
        credential = credential.get("label")
    given: dict[str, Any] = {
        **{name: context.get(name) for name in FIELDS},
        "upstream": context.get("provider"),
        "credential": credential,
        "fault": event.fault,
    }
    return {
        name: str(value)[:200]
        for name, value in given.items()
        if isinstance(value, str | int) and value != "" and not isinstance(value, bool)
    }


def count_hours(events: EventsByGroup) -> None:
    """Adds events to the hours in which they happened, of their groups and of their kinds."""
    added = Counter((group, start_of_hour(row.time), row.fault) for group, rows in events.items() for row in rows)
    if not added:
        return
    hours = {hour for _, hour, _ in added}
    _count_kinds(
        Counter(
            (row.group.name if row.group else row.name, start_of_hour(row.time), row.fault)
            for rows in events.values()
            for row in rows
        ),
        hours,
    )
    known = HourlyCount.objects.filter(group__in=events, hour__in=hours)
    for row in known:
        key = (row.group_id, row.hour, row.fault)
        if key in added:
            added[key] += row.count
    HourlyCount.objects.bulk_create(
        [HourlyCount(group_id=group, hour=hour, fault=fault, count=count) for (group, hour, fault), count in added.items()],
        update_conflicts=True,
        unique_fields=["group", "hour", "fault"],
        update_fields=["count"],
    )


def _count_kinds(added: Counter[tuple[str, datetime, str]], hours: set[datetime]) -> None:
    for row in KindCount.objects.filter(hour__in=hours, name__in={name for name, _, _ in added}):
        key = (row.name, row.hour, row.fault)
        if key in added:
            added[key] += row.count
    KindCount.objects.bulk_create(
        [KindCount(name=name, hour=hour, fault=fault, count=count) for (name, hour, fault), count in added.items()],
        update_conflicts=True,
        unique_fields=["hour", "name", "fault"],
        update_fields=["count"],
    )


def forget_kinds(groups: Sequence[int]) -> None:
    """Takes the hours of groups that are about to go out of the roll-up."""
    rows = HourlyCount.objects.filter(group__in=groups).values_list("group__name", "hour", "fault")
    for name, hour, fault, count in rows.annotate(total=Sum("count")).order_by():
        KindCount.objects.filter(name=name, hour=hour, fault=fault).update(count=F("count") - count)
    KindCount.objects.filter(count=0).delete()


def count_values(events: EventsByGroup) -> dict[int, GroupValues]:
    """Adds events to the values of their groups, and returns all values of these groups."""
    result = {group: GroupValues() for group in events}
    known = TopValue.objects.filter(group__in=events)
    for group, name, value, count in known.values_list("group", "field", "value", "count"):
        result[group].counts[name][value] = count
    changed: set[tuple[int, str, str]] = set()
    for group, rows in events.items():
        for event in rows:
            for name, value in properties_of(event).items():
                counts = result[group].counts[name]
                if value not in counts and len(counts) >= VALUES_PER_FIELD:
                    value = OTHERS
                counts[value] += 1
                changed.add((group, name, value))
    TopValue.objects.bulk_create(
        [
            TopValue(group_id=group, field=name, value=value, count=result[group].counts[name][value])
            for group, name, value in sorted(changed)
        ],
        update_conflicts=True,
        unique_fields=["group", "field", "value"],
        update_fields=["count"],
    )
    return result


def start_of_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
