"""Applies a parsed search to the entries.

What must stay true: each condition is one that an index serves, or one that only narrows what an index found; text is
looked for among the ids first, which cost a look-up each, and only then in the messages of entries that have one.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from django.db.models import Q

from auditlog import globbing as globbing  # registers the look-up
from auditlog.entries import NORMAL_OUTCOMES, AuditEntryQuerySet
from auditlog.query import Literal, Op, Query, Term, Text

COLUMNS = {"ttft": "ttft_ms", "duration": "duration_ms", "attempts": "attempt_count"}
LOOKUPS = {Op.IS: "", Op.MORE: "__gt", Op.AT_LEAST: "__gte", Op.LESS: "__lt", Op.AT_MOST: "__lte"}
INDEXED = ("request_id", "client_request_id", "response_id", "client_key", "cause", "model", "fault", "outcome", "provider")
IDS = ("request_id", "client_request_id", "response_id")
OPEN_WORD = "open"  # how a null outcome is written


def find(entries: AuditEntryQuerySet, query: Query) -> AuditEntryQuerySet:
    """The entries for which every part of `query` holds."""
    for part in query.parts:
        condition = _text(part, entries) if isinstance(part, Text) else _term(part)
        entries = entries.filter(~condition if part.negated else condition)
    return entries


def walk(entries: AuditEntryQuerySet, query: Query) -> AuditEntryQuerySet | None:
    """What an index finds of `query`, for `page` to count how far it looks; None where that is all there is to look at."""
    narrowing = []
    for part in query.parts:
        if isinstance(part, Term) and part.field == "time" and not part.negated:
            entries = entries.filter(_term(part))
        else:
            narrowing.append(part)
    known = [part for part in narrowing if _indexed(part, entries)]
    if known == narrowing[:1] == narrowing:  # nothing else, or one look-up
        return None
    terms = [part for part in known if isinstance(part, Term)]
    if terms:
        return entries.filter(_term(terms[0]))
    if any(not part.negated and (isinstance(part, Text) or part.field == "error") for part in narrowing):
        return entries.filter(error__isnull=False)
    return entries


def _indexed(part: Term | Text, entries: AuditEntryQuerySet) -> bool:
    """Whether one look into an index finds exactly this, in the order of the list."""
    if part.negated:
        return False
    if isinstance(part, Text):
        return bool(_ids(part, entries))
    if part.op is not Op.IS or len(part.values) > 1 or part.field not in INDEXED:
        return False
    return isinstance(part.values[0], Literal) or "*" not in part.values[0]


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
    return Q(outcome__isnull=False) & ~Q(outcome__in=NORMAL_OUTCOMES)


def _text(part: Text, entries: AuditEntryQuerySet) -> Q:
    """An id when it is one of an entry that we have; else something that an error message says."""
    return _any(_ids(part, entries)) or Q(error__isnull=False, error__icontains=part.text)


def _ids(part: Text, entries: AuditEntryQuerySet) -> list[Q]:
    """The ways in which the text is the id of an entry that we have."""
    if " " in part.text:
        return []
    by_id = [Q(**{name: part.text}) for name in IDS]
    try:
        by_id.append(Q(pk=uuid.UUID(part.text)))
    except ValueError:
        pass
    return [condition for condition in by_id if entries.model._default_manager.filter(condition).exists()]
