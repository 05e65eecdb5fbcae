"""Applies a parsed search to the entries.

What must stay true: where no index has just what is asked for, a page looks for so long and no longer; text is looked
for among the ids first, which cost a look-up each, and only then in the messages of entries that have one.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from django.db import router
from django.db.models import Q

from auditlog import globbing as globbing  # registers the look-up
from auditlog.entries import ABNORMAL, LOOK, NORMAL_OUTCOMES, AuditEntryQuerySet, Page, Place
from auditlog.looking import LEAST, TooLong, hurried
from auditlog.models import INGRESS, AuditEntry
from auditlog.query import Literal, Op, Query, Term, Text

COLUMNS = {"ttft": "ttft_ms", "duration": "duration_ms", "attempts": "attempt_count"}
LOOKUPS = {Op.IS: "", Op.MORE: "__gt", Op.AT_LEAST: "__gte", Op.LESS: "__lt", Op.AT_MOST: "__lte"}
INDEXED = ("request_id", "client_request_id", "response_id", "client_key", "cause", "model", "fault", "outcome", "provider")
IDS = ("request_id", "client_request_id", "response_id")
OPEN_WORD = "open"  # how a null outcome is written


@dataclass(frozen=True, slots=True)
class Found:
    """The entries that a search finds, and what a page of them goes through; None where an index has just these.

    `likely`: an index has these and others, which are few unless something is amiss. So it is asked first, for half the
    time.
    """

    entries: AuditEntryQuerySet
    walk: AuditEntryQuerySet | None
    likely: bool = False

    def page(self, size: int, before: Place | None = None, after: Place | None = None, seconds: float = LOOK) -> Page:
        """Some of them (`AuditEntryQuerySet.page`)."""
        if self.likely:
            began = time.monotonic()
            try:
                with hurried(router.db_for_read(AuditEntry), max(seconds / 2, LEAST)):
                    return self.entries.page(size, before, after)
            except TooLong:
                seconds -= time.monotonic() - began
        return self.entries.page(size, before, after, self.walk, seconds)


def find(query: Query, direction: str | None = None) -> Found:
    """The entries for which every part of `query` holds; `direction` None: both. Captured payloads are left where they lie."""
    entries, times = AuditEntry.objects.defer("payloads"), AuditEntry.objects.all()
    served = []
    for part in query.parts:
        condition, is_served = _text(part) if isinstance(part, Text) else (_term(part), _is_served(part))
        entries = entries.filter(~condition if part.negated else condition)
        if isinstance(part, Term) and part.field == "time" and not part.negated:
            times = times.filter(condition)
        else:
            served.append(is_served and not part.negated)
    if direction is not None:
        entries = entries.filter(direction=direction)
    indexed = all(served) and len(served) < 2
    # No index knows the direction of what has, say, a cause: most are what clients asked for, but not those of an
    # upstream that only calls of our own use.
    at_once = indexed and (direction is None or not served)
    return Found(entries, None if at_once else times, likely=indexed and direction == INGRESS)


def _is_served(part: Term) -> bool:
    """Whether an index has exactly what this finds, in the order of the list or, being an id, a few of them."""
    if part.op is not Op.IS or len(part.values) > 1:
        return False
    if part.field == "is":
        return part.values[0] != "normal"
    return part.field in INDEXED and (isinstance(part.values[0], Literal) or "*" not in part.values[0])


def _term(term: Term) -> Q:
    if term.field == "is":
        return _any(_state(value) for value in term.values)
    column = COLUMNS.get(term.field, term.field)
    if term.op is not Op.IS:
        return Q(**{column + LOOKUPS[term.op]: term.values[0]})
    return _any(_equal(column, value) for value in term.values)


def _any(conditions: Iterable[Q]) -> Q:
    whole = Q()
    for condition in conditions:
        whole |= condition
    return whole


def _equal(column: str, value: object) -> Q:
    if column == "outcome" and value == OPEN_WORD:
        return Q(outcome__isnull=True)
    if column == "error":
        return Q(error__isnull=False, error__icontains=value)
    if isinstance(value, str) and not isinstance(value, Literal) and "*" in value:
        return Q(**{f"{column}__glob": value})
    return Q(**{column: value})


def _state(word: str) -> Q:
    if word == "open":
        return Q(outcome__isnull=True)
    if word == "normal":
        return Q(outcome__in=NORMAL_OUTCOMES)
    return ABNORMAL


def _text(part: Text) -> tuple[Q, bool]:
    """An id when it is one of an entry that we have (that is served); else something that an error message says."""
    if ids := _ids(part):
        return _any(ids), True
    return Q(error__isnull=False, error__icontains=part.text), False


def _ids(part: Text) -> list[Q]:
    """The ways in which the text is the id of an entry that we have."""
    if " " in part.text:
        return []
    by_id = [Q(**{name: part.text}) for name in IDS]
    try:
        by_id.append(Q(pk=uuid.UUID(part.text)))
    except ValueError:
        pass
    return [condition for condition in by_id if AuditEntry.objects.filter(condition).exists()]
