"""Which groups of errors deserve an operator's first look: what came back, what is new, then what happens most.

What clients did to themselves is left out, as it is from the badge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, IntegerField, Q, Sum, Value, When
from django.utils.safestring import SafeString

from errorlog.models import ErrorGroup, HourlyCount, TopValue
from proxy_project.charts import sparkline
from proxy_project.figures import share
from relay.admin.overview import Period, Traffic

MOST = 6
NEW_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A group as the first page shows it."""

    group: ErrorGroup
    chip: str  # new, regressed or nothing
    model: str
    count: int
    rate: str
    chart: SafeString


def suspects(period: Period, found: Traffic, now: datetime) -> tuple[list[Suspect], int]:
    """The groups, and how many unresolved ones there are."""
    start = period.start(now)
    unresolved = ErrorGroup.objects.filter(status=ErrorGroup.Status.UNRESOLVED)
    urgency = Case(
        When(regressed=True, then=Value(2)),
        When(first_seen__gte=now - NEW_FOR, then=Value(1)),
        default=Value(0),
        output_field=IntegerField(),
    )
    counted = Sum("hours__count", filter=Q(hours__hour__gte=start))
    groups = unresolved.filter(last_seen__gte=start).exclude(fault="client").annotate(urgency=urgency, here=counted)
    chosen = list(groups.filter(here__gt=0).order_by("-urgency", "-here", "-last_seen")[:MOST])
    charts, models = _columns(chosen, period, start), _models(chosen)
    return [
        Suspect(
            group=group,
            chip={2: "regressed", 1: "new"}.get(group.urgency, ""),
            model=models.get(group.pk, ""),
            count=group.here,
            rate=share(group.here, found.asked[group.upstream]) if group.upstream else "",
            chart=sparkline(charts[group.pk], f"{group.here:,} in {period.words}"),
        )
        for group in chosen
    ], unresolved.count()


def _columns(groups: Sequence[ErrorGroup], period: Period, start: datetime) -> dict[int, list[Counter[str]]]:
    number = period.hours // period.step
    columns: dict[int, list[Counter[str]]] = defaultdict(lambda: [Counter() for _ in range(number)])
    rows = HourlyCount.objects.filter(group__in=groups, hour__gte=start)
    for group, hour, fault, count in rows.values_list("group", "hour", "fault", "count"):
        place = min(int((hour - start) / timedelta(hours=period.step)), number - 1)
        columns[group][place][fault] += count
    return columns


def _models(groups: Sequence[ErrorGroup]) -> dict[int, str]:
    """The model that each group hits most."""
    rows = TopValue.objects.filter(group__in=groups, field="model").order_by("count")
    return dict(rows.values_list("group", "value"))  # the last one, the most frequent, stays
