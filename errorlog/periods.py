"""The periods over which the pages count, in whole hours, since that is how events are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, QuerySet, Sum, Value, When
from django.utils import timezone

from errorlog.counting import start_of_hour
from errorlog.models import HourlyCount, KindCount

Buckets = list[Counter[str]]


@dataclass(frozen=True, slots=True)
class Period:
    """So many hours, the running one included, drawn in bars of `step` hours."""

    key: str
    words: str
    hours: int
    drawn: int
    step: int

    @property
    def label(self) -> str:
        """`1 h`, `24 h`, `7 d`, `28 d`."""
        return f"{self.key[:-1]} {self.key[-1]}"

    def since(self, now: datetime) -> datetime:
        """The start of its first hour."""
        return start_of_hour(now) - timedelta(hours=self.hours - 1)

    def drawn_since(self, now: datetime) -> datetime:
        """The start of its first bar. Days are whole days, of whoever reads."""
        if self.step == 24:
            return start_of_hour(timezone.localtime(now)).replace(hour=0) - timedelta(days=self.drawn // 24 - 1)
        return start_of_hour(now) - timedelta(hours=self.drawn - 1)

    def buckets_of(self, counts: QuerySet[HourlyCount] | QuerySet[KindCount], key: str, now: datetime) -> dict[Any, Buckets]:
        """Events by fault in each bar, for each value of the column `key`."""
        first, number = self.drawn_since(now), self.drawn // self.step
        # The database adds up, since a busy month has tens of thousands of hours; and it is told where each bar begins,
        # since days of the reader's zone are not all of one length.
        begins = [first + timedelta(hours=self.step) * place for place in range(1, number)]
        earlier = [When(hour__lt=begin, then=Value(place)) for place, begin in enumerate(begins)]
        bar = Case(*earlier, default=Value(number - 1))
        rows = counts.filter(hour__gte=first).annotate(bar=bar).values_list(key, "bar", "fault").annotate(total=Sum("count"))
        found: dict[Any, Buckets] = {}
        for value, place, fault, total in rows.order_by():
            if value not in found:
                found[value] = [Counter() for _ in range(number)]
            found[value][place][fault] = total
        return found


PERIODS = {
    period.key: period
    for period in (
        Period("1h", "this hour and the last", 2, 24, 1),
        Period("24h", "the last 24 hours", 24, 24, 1),
        Period("7d", "the last 7 days", 168, 168, 6),
        Period("28d", "the last 28 days", 672, 672, 24),
    )
}
DAY = PERIODS["24h"]


def total(bars: Iterable[Counter[str]]) -> int:
    """All events in some bars."""
    return sum(sum(bar.values()) for bar in bars)
