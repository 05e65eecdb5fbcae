"""The periods over which the pages count, in whole hours, since that is how events are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Sum
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
        first = self.drawn_since(now)
        found: dict[Any, Buckets] = {}
        step = timedelta(hours=self.step)
        # By the hour, days too: SQLite truncates dates in Python, which takes seconds for a busy month.
        rows = counts.filter(hour__gte=first).values_list(key, "hour", "fault").annotate(total=Sum("count"))
        for value, moment, fault, total in rows.order_by():
            bars = found.setdefault(value, [Counter() for _ in range(self.drawn // self.step)])
            place = (timezone.localtime(moment).date() - first.date()).days if self.step == 24 else int((moment - first) / step)
            bars[min(place, len(bars) - 1)][fault] += total
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
