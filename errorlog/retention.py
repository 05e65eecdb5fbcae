"""Which events stay. Counts never change here: an event's number in its group says how many are missing between two.

A group keeps all of its events up to a quota, then a sample: the first, the latest, and an even spread over its numbers,
so that a flood of one group leaves the rare ones alone. The writer lets a group grow a tenth over its quota before it
thins it, so that a storm is not thinned at every batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import pairwise

from django.db import transaction
from django.db.models import F, QuerySet

from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount

BATCH = 1000
DRAWN = timedelta(days=35)  # pages draw 28 days of hourly counts


def keep_to_quota(group: ErrorGroup, quota: int) -> None:
    """Thins `group` when it holds more than it may, and sets its `kept`. The caller saves it."""
    if group.kept <= quota + quota // 10:
        return
    held = list(ErrorEvent.objects.filter(group=group).order_by("number").values_list("sequence", "number"))
    kept = sample([number for _, number in held], quota)
    gone = [sequence for sequence, number in held if number not in kept]
    for start in range(0, len(gone), BATCH):
        ErrorEvent.objects.filter(sequence__in=gone[start : start + BATCH]).delete()
    group.kept = len(held) - len(gone)


def sample(numbers: Sequence[int], quota: int) -> set[int]:
    """`quota` of `numbers` (ascending): the first, the latest, and an even spread between them.

    Again and again the number goes whose absence leaves the smallest gap, so that what was thinned before and what is
    new end up equally sparse, however often a flood is thinned.
    """
    if quota < 2:
        return set(numbers[-1:])
    kept = set(numbers)
    before = dict(zip(numbers[1:], numbers, strict=False))
    after = dict(pairwise(numbers))
    gaps = [(after[number] - before[number], number) for number in numbers[1:-1]]
    heapify(gaps)
    while len(kept) > quota:
        gap, number = heappop(gaps)
        if number not in kept or gap != after[number] - before[number]:
            continue  # its neighbours have changed since; it stands in the heap again with what it is now
        kept.remove(number)
        older, newer = before[number], after[number]
        after[older], before[newer] = newer, older
        for side in (older, newer):
            if side in before and side in after:
                heappush(gaps, (after[side] - before[side], side))
    return kept


def prunable(before: datetime, keep_per_group: int) -> Iterator[QuerySet[ErrorEvent]]:
    """For each group, and last for drills, the events that may go: older than `before` and not of the newest few."""
    for group in ErrorGroup.objects.order_by("pk").values_list("pk", flat=True):
        newest = ErrorEvent.objects.filter(group=group).order_by("-sequence").values_list("sequence", flat=True)
        edge = next(iter(newest[max(keep_per_group, 1) - 1 :][:1]), None)
        mine = ErrorEvent.objects.filter(group=group, time__lt=before)
        yield mine.none() if edge is None else mine.filter(sequence__lt=edge)
    yield ErrorEvent.objects.filter(group=None, time__lt=before)


def delete_in_batches(events: QuerySet[ErrorEvent]) -> Iterator[int]:
    """Deletes in short transactions, so that the writer never waits for long; yields the size of each."""
    while True:
        with transaction.atomic():
            batch = list(events.order_by("sequence").values_list("sequence", "group")[:BATCH])
            if not batch:
                return
            deleted = ErrorEvent.objects.filter(sequence__in=[sequence for sequence, _ in batch]).delete()[0]
            ErrorGroup.objects.filter(pk=batch[0][1]).update(kept=F("kept") - deleted)
        yield deleted


def delete_old_hours(before: datetime) -> int:
    """Deletes some of the hourly counts that no page draws any more, and says how many went; call again until none does."""
    gone = 0
    for table in (HourlyCount, KindCount):
        old = table._default_manager.filter(hour__lt=before).order_by("hour").values_list("pk", flat=True)
        gone += table._default_manager.filter(pk__in=list(old[:BATCH])).delete()[0]
    return gone
