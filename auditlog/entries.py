"""Questions asked of the audit entries, and how a page of them is found.

What must stay true: no page is found by counting or skipping rows. A page begins after a *place*, the (time, id) of the
row before it, which the cursor carries; so the ten-millionth row costs what the first does. And no page looks for longer
than it may (`looking`): a search for what hardly ever happens says how far it looked, and goes on from there when asked.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import uuid
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import TYPE_CHECKING, Any

from django.db import models, router
from django.db.models import Q

from auditlog.looking import FIRST, Stretch, look

if TYPE_CHECKING:
    from auditlog.models import AuditEntry

NORMAL_OUTCOMES = ("completed", "incomplete", "rejected")  # every other ending is abnormal
# One by one: in a list SQLite would not see that its index of abnormal entries has just these.
ABNORMAL = reduce(and_, (~Q(outcome=outcome) for outcome in NORMAL_OUTCOMES), Q(outcome__isnull=False))
LOOK = 0.25  # seconds that a page looks for what no index finds …
FAR = 2.0  # … and where somebody asked to look further
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
        return self.filter(ABNORMAL)

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

    def page(
        self,
        size: int,
        before: Place | None = None,
        after: Place | None = None,
        walk: AuditEntryQuerySet | None = None,
        seconds: float = LOOK,
    ) -> Page:
        """`size` entries older than `before`, or those just newer than `after`, or the newest.

        `walk` holds what the conditions narrow: it is gone through for so many seconds, and a page that is not full by
        then says so in `edge` and leads on from there. Without it an index finds what is asked for.
        """
        ascending = after is not None
        asked, edge = self.beyond(before, after)._ordered(ascending), None
        if walk is None:
            rows = list(asked[: size + 1])
        else:
            rows, edge = asked._found_in(walk.beyond(before, after), size + 1, ascending, seconds)
        more, rows = len(rows) > size, rows[:size]
        onward = Place.of(rows[-1]) if more else edge
        if ascending:
            rows.reverse()
            older = Place.of(rows[-1]) if rows else after
            return Page(rows, _cursor(older), _cursor(onward), None if more else edge)
        newer = None if before is None else Place.of(rows[0]) if rows else before
        return Page(rows, _cursor(onward), _cursor(newer), None if more else edge)

    def _found_in(
        self, walk: AuditEntryQuerySet, most: int, ascending: bool, seconds: float
    ) -> tuple[list[AuditEntry], Place | None]:
        """The first of these, and how far in `walk` was looked where that was not far enough for so many."""
        times = walk._ordered(ascending).values_list("time", flat=True)
        near = list(times[:FIRST])
        if not near:
            return [], None
        far = next(iter(walk._ordered(not ascending).values_list("time", flat=True)[:1]), near[-1])
        rows: list[AuditEntry] = []

        def found(stretch: Stretch) -> bool:
            rows.extend(self._within(stretch, ascending)[: most - len(rows)])
            return len(rows) >= most

        using = router.db_for_read(self.model)
        reached = look(near[0], abs(near[-1] - near[0]), far, seconds, found, using)
        beyond = uuid.UUID(int=0 if ascending else 2**128 - 1)
        return rows, None if reached is None else Place(reached, beyond)

    def _within(self, stretch: Stretch, ascending: bool) -> AuditEntryQuerySet:
        from_there, to_there = ("time__gte", "time__lt") if ascending else ("time__lte", "time__gt")
        bounds = {from_there: stretch.begin, to_there: stretch.end}
        return self.filter(**{name: at for name, at in bounds.items() if at is not None})

    def beyond(self, before: Place | None, after: Place | None) -> AuditEntryQuerySet:
        """Those on the far side of a page's place."""
        if after is not None:
            return self.newer_than(after)
        return self if before is None else self.older_than(before)

    def _ordered(self, ascending: bool) -> AuditEntryQuerySet:
        return self.order_by("time", "id") if ascending else self.newest_first()


def _cursor(place: Place | None) -> str | None:
    return None if place is None else place.cursor()
