"""The search of the Errors tab and of the API: words, and `field:value` pairs, into a filter of groups.

`model:gpt-5 cause:eof -fault:client timeout` finds groups that have gpt-5 among their models and eof among their causes,
are not the client's fault, and hold "timeout" in their name, their title or the message of their newest event, or have it
as the request id of any event that is kept. A minus excludes. Messages of older events are not searched: a million of them
would be read for every word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.db.models import Exists, OuterRef, Q, QuerySet

from errorlog import panels
from errorlog.ingest import SOURCES
from errorlog.models import ErrorEvent, ErrorGroup, TopValue
from proxy_project import words

VOCABULARIES: Mapping[str, Collection[str]] = {
    "status": tuple(ErrorGroup.Status.values),
    "source": SOURCES,
}
COLUMNS = ("name", "source", "status")
VALUES = ("cause", "phase", "fault", "model", "upstream", "credential", "client_key", "close_code")
ALIASES = {"provider": "upstream", "key": "client_key", "kind": "name"}
_TERM = re.compile(r'(?P<minus>-?)(?:(?P<field>[a-z_]+):)?(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))')


@dataclass(frozen=True, slots=True)
class Term:
    """One word or pair of a search; `field` is empty for plain text, and `named` what stands before a colon in it."""

    field: str
    value: str
    excludes: bool
    named: str = ""


def terms(text: str) -> Iterator[tuple[Term, str]]:
    """The terms of a search, each with what the search would be without it."""
    text = text[:1000]
    for found in _TERM.finditer(text):
        given = (found["field"] or "").lower()
        field = ALIASES.get(given, given)
        value = found["plain"] if found["quoted"] is None else found["quoted"]
        if field not in (*COLUMNS, *VALUES):
            # a pair whose field is not known is text, so that a pasted message finds what it came from
            value = found[0][len(found["minus"]) :].strip('"') if found["field"] else value
            field, named = "", given
        else:
            named = ""
        rest = " ".join((text[: found.start()] + text[found.end() :]).split())
        yield Term(field, value, bool(found["minus"]), named), rest


def remarks(text: str) -> list[str]:
    """What is to be said of a search whose words no group can have."""
    return [remark for term, _ in terms(text) if term.field and (remark := unknown(term.field, term.value))]


def search(groups: QuerySet[ErrorGroup], text: str) -> QuerySet[ErrorGroup]:
    """The groups that `text` finds."""
    for term, _ in terms(text):
        condition = having(term.field, term.value) if term.field else _plain(term.value)
        groups = groups.exclude(condition) if term.excludes else groups.filter(condition)
    return groups


def unknown(field: str, value: str) -> str:
    """Why nothing has this value, as a sentence without its full stop; "" where it may be had.

    A report may bring words of its own, so a value that a group has is one, whatever the gateway's endings are told in.
    """
    known = VOCABULARIES.get(field) or (panels.ask("vocabulary") or {}).get(field)
    if not known or field not in (*COLUMNS, *VALUES) or value in known:
        return ""
    if field in VALUES and TopValue.objects.filter(field=field, value=value.replace("\0", "")).exists():
        return ""
    return words.unknown(field, value, known)


def having(field: str, value: str) -> Q:
    """Groups in which `field` has, or had among others, this value."""
    value = value.replace("\0", "")
    if field in COLUMNS:
        return Q(**{field: value})
    return Q(Exists(TopValue.objects.filter(group=OuterRef("pk"), field=field, value=value)))


def filtered(groups: QuerySet[ErrorGroup], wanted: Mapping[str, str | None]) -> QuerySet[ErrorGroup]:
    """The groups that have every value that is asked for."""
    for field in (*COLUMNS, *VALUES):
        value = wanted.get(field)
        if value:
            groups = groups.filter(having(field, value))
    return groups


def _plain(text: str) -> Q:
    text = text.replace("\0", "")
    newest = ErrorEvent.objects.filter(sequence=OuterRef("last_sequence"), message__icontains=text)
    of_request = ErrorEvent.objects.filter(request_id=text, group__isnull=False).values("group")
    return Q(name__icontains=text) | Q(title__icontains=text) | Q(pk__in=of_request) | Q(Exists(newest))
