"""Who has read what: a cursor over arrival order for each reader, and for each group that was read, its counts then.

Unread events are counted by numbers, not by rows: a group's count less its count when it was read. So retention does
not change what is unread. Where a cursor stopped in the middle of a group there is no such mark, and the number of the
first row after the cursor says it (to the spread of the sample, if just that row was thinned away).
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Max, OuterRef, Subquery, Sum

from errorlog import options
from errorlog.models import ErrorEvent, ErrorGroup, ReadCursor, ReadMark


@dataclass(frozen=True, slots=True)
class Unread:
    """Unread events of a group: all, and those that were the client's own fault."""

    events: int
    of_clients: int


def cursor_of(reader: str) -> int:
    """The sequence up to which `reader` has read; 0 when nothing."""
    return ReadCursor.objects.filter(reader=reader).values_list("sequence", flat=True).first() or 0


def unread_by(reader: str, groups: list[int] | None = None) -> dict[int, Unread]:
    """Unread events of `reader`, by group (all, or only `groups`); groups without any are absent."""
    cursor = cursor_of(reader)
    found = ErrorGroup.objects.filter(last_sequence__gt=cursor)
    if groups is not None:
        found = found.filter(pk__in=groups)
    marked = {mark.group_id: mark for mark in ReadMark.objects.filter(reader=reader, group__in=found.order_by().values("pk"))}
    first = ErrorEvent.objects.filter(group=OuterRef("pk"), sequence__gt=cursor).order_by("sequence")
    rows = found.annotate(
        first_number=Subquery(first.values("number")[:1]), clients_before=Subquery(first.values("client_before")[:1])
    ).values_list("pk", "count", "client_count", "first_number", "clients_before")
    result = {}
    for group, count, clients, number, before in rows.order_by():
        if group in marked:
            unread = Unread(count - marked[group].count, clients - marked[group].client_count)
        elif number is None:
            continue
        else:
            unread = Unread(count - number + 1, clients - before)
        if unread.events > 0:
            result[group] = unread
    return result


def unread_total(reader: str) -> int:
    """All unread events."""
    return sum(unread.events for unread in unread_by(reader).values())


def badge_number(reader: str) -> int:
    """What the navigation shows: unread events, without what clients did to themselves and what somebody silenced."""
    unread = unread_by(reader)
    silent = (ErrorGroup.Status.MUTED, ErrorGroup.Status.IGNORED)
    silenced = set(ErrorGroup.objects.filter(status__in=silent).order_by().values_list("pk", flat=True))
    counts_clients = options.badge_counts_client_fault()
    return sum(
        item.events - (0 if counts_clients else item.of_clients) for group, item in unread.items() if group not in silenced
    )


def total() -> int:
    """All events that ever fell into a group that still exists."""
    return ErrorGroup.objects.aggregate(total=Sum("count"))["total"] or 0


def mark_read(reader: str, up_to: int | None = None) -> int:
    """Moves the reader's cursor, to `up_to` or to the newest event, and returns where it is now."""
    with transaction.atomic():
        newest = ErrorEvent.objects.aggregate(newest=Max("sequence"))["newest"] or 0
        sequence = newest if up_to is None else max(0, min(up_to, newest))
        before = cursor_of(reader)
        if sequence == newest:
            unread = ErrorGroup.objects.filter(last_sequence__gt=before)
            mark_groups_read(reader, list(unread.order_by().values_list("pk", flat=True)))
        else:
            # those beyond both are of groups that were read alone, and hold
            ReadMark.objects.filter(reader=reader, sequence__lte=max(before, sequence)).delete()
        ReadCursor.objects.update_or_create(reader=reader, defaults={"sequence": sequence})
    return sequence


def mark_groups_read(reader: str, groups: list[int]) -> None:
    """Reads these groups alone: whatever is in them now is read, the rest stays as it is."""
    rows = ErrorGroup.objects.filter(pk__in=groups).values_list("pk", "last_sequence", "count", "client_count")
    ReadMark.objects.bulk_create(
        [
            ReadMark(reader=reader, group_id=group, sequence=sequence, count=count, client_count=clients)
            for group, sequence, count, clients in rows
        ],
        update_conflicts=True,
        unique_fields=["reader", "group"],
        update_fields=["sequence", "count", "client_count"],
    )
