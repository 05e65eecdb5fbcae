"""Questions asked of the audit entries, and how a page of them is found.

What must stay true: no page is found by counting or skipping rows. A page begins after a *place*, the (time, id) of the
row before it, which the cursor carries; so the ten-millionth row costs what the first does. And no page looks at more
than `WALKED` entries: a search for what hardly ever happens says how far it looked, and goes on from there when asked.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from auditlog.models import AuditEntry

NORMAL_OUTCOMES = ("completed", "incomplete", "rejected")  # every other ending is abnormal
WALKED = 100_000  # entries that one page looks at, at most: some tenths of a second
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)


class BadCursor(ValueError):
    """A cursor that we did not make."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: just beyond this row."""

    time: dt.datetime
    id: uuid.UUID

    def cursor(self) -> str:
        """The place as an opaque word for addresses."""
        micros = (self.time - EPOCH) // MICROSECOND
        return base64.urlsafe_b64encode(micros.to_bytes(8, "big", signed=True) + self.id.bytes).decode().rstrip("=")

    @classmethod
    def of(cls, entry: AuditEntry) -> Place:
        return cls(entry.time, entry.pk)

    @classmethod
    def read(cls, cursor: str) -> Place:
        """The place that `cursor` names.

        Raises:
            BadCursor: it is none of ours.
        """
        try:
            raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            if len(raw) != 24:
                raise BadCursor(cursor)
            time = EPOCH + int.from_bytes(raw[:8], "big", signed=True) * MICROSECOND
            return cls(time, uuid.UUID(bytes=raw[8:]))
        except (binascii.Error, UnicodeEncodeError, OverflowError):
            raise BadCursor(cursor) from None


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries, newest first, and the cursors that lead on; None where nothing follows."""

    items: list[AuditEntry]
    older: str | None
    newer: str | None
    edge: Place | None = None  # how far was looked, where that was not far enough to fill the page


class AuditEntryQuerySet(models.QuerySet[Any]):
    """Entries, and what can be asked of them."""

    def ingress(self) -> AuditEntryQuerySet:
        return self.filter(direction="ingress")

    def open(self) -> AuditEntryQuerySet:
        """Requests that have not ended yet."""
        return self.filter(outcome__isnull=True)

    def abnormal(self) -> AuditEntryQuerySet:
        return self.filter(outcome__isnull=False).exclude(outcome__in=NORMAL_OUTCOMES)

    def closed_before(self, moment: dt.datetime) -> AuditEntryQuerySet:
        """What ended and was received before `moment`: what may be let go."""
        return self.filter(outcome__isnull=False, time__lt=moment)

    def newest_first(self) -> AuditEntryQuerySet:
        return self.order_by("-time", "-id")

    def older_than(self, place: Place) -> AuditEntryQuerySet:
        # The first condition says nothing new, but it is the one that an index understands as a range.
        return self.filter(time__lte=place.time).filter(Q(time__lt=place.time) | Q(id__lt=place.id))

    def newer_than(self, place: Place) -> AuditEntryQuerySet:
        return self.filter(time__gte=place.time).filter(Q(time__gt=place.time) | Q(id__gt=place.id))

    def not_beyond(self, place: Place, ascending: bool = False) -> AuditEntryQuerySet:
        """Those up to this place, and the entry there."""
        if ascending:
            return self.filter(time__lte=place.time).filter(Q(time__lt=place.time) | Q(id__lte=place.id))
        return self.filter(time__gte=place.time).filter(Q(time__gt=place.time) | Q(id__gte=place.id))

    def page(
        self, size: int, before: Place | None = None, after: Place | None = None, walk: AuditEntryQuerySet | None = None
    ) -> Page:
        """`size` entries older than `before`, or those just newer than `after`, or the newest.

        `walk` holds what an index finds and the other conditions narrow: at most `WALKED` of it is looked at, and a page
        that is not full by then says so in `edge` and leads on from there.
        """
        ascending = after is not None
        edge = None if walk is None else walk.beyond(before, after)._ordered(ascending)._edge()
        asked = self.beyond(before, after)
        if edge is not None:
            asked = asked.not_beyond(edge, ascending)
        rows = list(asked._ordered(ascending)[: size + 1])
        more, rows = len(rows) > size, rows[:size]
        onward = Place.of(rows[-1]) if more else edge
        if ascending:
            rows.reverse()
            older = Place.of(rows[-1]) if rows else after
            return Page(rows, _cursor(older), _cursor(onward), None if more else edge)
        newer = None if before is None else Place.of(rows[0]) if rows else before
        return Page(rows, _cursor(onward), _cursor(newer), None if more else edge)

    def beyond(self, before: Place | None, after: Place | None) -> AuditEntryQuerySet:
        """Those on the far side of a page's place."""
        if after is not None:
            return self.newer_than(after)
        return self if before is None else self.older_than(before)

    def _ordered(self, ascending: bool) -> AuditEntryQuerySet:
        return self.order_by("time", "id") if ascending else self.newest_first()

    def _edge(self) -> Place | None:
        """The last place that is looked at; None when there is no more than that."""
        found = self.values_list("time", "id")[WALKED - 1 : WALKED + 1]
        return Place(*found[0]) if len(found) > 1 else None


def _cursor(place: Place | None) -> str | None:
    return None if place is None else place.cursor()
