"""Questions asked of the audit entries, and how a page of them is found.

What must stay true: no page is found by counting or skipping rows. A page begins after a *place*, the (time, id) of the
row before it, which the cursor carries; so the ten-millionth row costs what the first does.
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

    def page(self, size: int, before: Place | None = None, after: Place | None = None) -> Page:
        """`size` entries older than `before`, or those just newer than `after`, or the newest."""
        if after is not None:
            rows = list(self.newer_than(after).order_by("time", "id")[: size + 1])
            more, rows = len(rows) > size, rows[:size][::-1]
            older: bool = bool(rows)
            newer = more
        else:
            asked = self if before is None else self.older_than(before)
            rows = list(asked.newest_first()[: size + 1])
            older, rows = len(rows) > size, rows[:size]
            newer = before is not None and bool(rows)
        return Page(
            rows,
            Place.of(rows[-1]).cursor() if older else None,
            Place.of(rows[0]).cursor() if newer else None,
        )
