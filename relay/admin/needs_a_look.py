"""Which groups of errors deserve an operator's first look: what came back, what is new or rising, then what happens most.

What clients did to themselves is left out, as it is from the badge.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Case, IntegerField, Q, Sum, Value, When

from errorlog.models import ErrorGroup
from errorlog.periods import PERIODS as ERROR_PERIODS
from errorlog.presenting import GroupFigures, figures_of
from relay.admin.overview import Period, Traffic

MOST = 6
LOOKED_AT = 40  # groups of which the figures are gathered, so that a rising one is found behind frequent ones
NEW_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A group as the first page shows it."""

    group: ErrorGroup
    figures: GroupFigures

    @property
    def urgency(self) -> tuple[bool, bool, int]:
        states = {state for state, _, _ in self.figures.chips}
        return "regressed" in states, bool(states & {"new", "escalating"}), self.figures.count


def suspects(period: Period, found: Traffic, reader: str, now: datetime) -> tuple[list[Suspect], int]:
    """The groups, the most urgent first, and how many unresolved ones there are."""
    start = period.start(now)
    unresolved = ErrorGroup.objects.filter(status=ErrorGroup.Status.UNRESOLVED)
    urgency = Case(
        When(regressed=True, then=Value(2)),
        When(first_seen__gte=now - NEW_FOR, then=Value(1)),
        default=Value(0),
        output_field=IntegerField(),
    )
    counted = Sum("hours__count", filter=Q(hours__hour__gte=start))
    groups = unresolved.filter(last_seen__gte=start).exclude(fault="client").annotate(here=counted).filter(here__gt=0)
    looked_at = list(groups.order_by(urgency.desc(), "-here", "-last_seen")[:LOOKED_AT])
    figures = figures_of(looked_at, reader, ERROR_PERIODS[period.key], found.asked)
    chosen = [Suspect(group, figures[group.pk]) for group in looked_at]
    return sorted(chosen, key=lambda suspect: suspect.urgency, reverse=True)[:MOST], unresolved.count()
