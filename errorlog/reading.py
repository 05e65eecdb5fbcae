"""Who has read what: a cursor over arrival order for each reader, and for each group that was read, its counts then.

Unread events are counted by numbers, not by rows: a group's count less its count when it was read. So retention does
not change what is unread. Where a cursor stopped in the middle of a group there is no such mark, and the number of the
first row after the cursor says it (to the spread of the sample, if just that row was thinned away). The database adds up:
the badge is on every page, and must not read a thousand groups for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import BigIntegerField, F, FilteredRelation, Max, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

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


def _counted(reader: str) -> QuerySet[Any]:
    """Groups with events that `reader` has not read, and how many of theirs are read: `read` and `clients_read`."""
    cursor = cursor_of(reader)
    first = ErrorEvent.objects.filter(group=OuterRef("pk"), sequence__gt=cursor).order_by("sequence")
    groups: QuerySet[Any] = ErrorGroup.objects.filter(last_sequence__gt=cursor).annotate(
        mark=FilteredRelation("marks", condition=Q(marks__reader=reader))
    )
    number = Subquery(first.annotate(before=F("number") - 1).values("before")[:1]) if cursor else Value(0)
    clients = Subquery(first.values("client_before")[:1]) if cursor else Value(0)
    return (
        groups.annotate(
            read=Coalesce("mark__count", number, "count", output_field=BigIntegerField()),
            clients_read=Coalesce("mark__client_count", clients, "client_count", output_field=BigIntegerField()),
        )
        .filter(count__gt=F("read"))
        .order_by()
    )


def unread_by(reader: str, groups: list[int] | None = None) -> dict[int, Unread]:
    """Unread events of `reader`, by group (all, or only `groups`); groups without any are absent."""
    found = _counted(reader) if groups is None else _counted(reader).filter(pk__in=groups)
    rows = found.values_list("pk", "count", "read", "client_count", "clients_read")
    return {group: Unread(count - read, clients - of_clients) for group, count, read, clients, of_clients in rows}


def unread_total(reader: str) -> int:
    """All unread events."""
    return _counted(reader).aggregate(total=Sum(F("count") - F("read")))["total"] or 0


def badge_number(reader: str) -> int:
    """What the navigation shows: unread events, without what clients did to themselves and what somebody silenced."""
    groups = _counted(reader).exclude(status__in=(ErrorGroup.Status.MUTED, ErrorGroup.Status.IGNORED))
    unread = F("count") - F("read")
    if not options.badge_counts_client_fault():
        unread -= F("client_count") - F("clients_read")
    return groups.aggregate(total=Sum(unread))["total"] or 0


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
