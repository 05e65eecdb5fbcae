"""The search of the Errors tab and of the API: words, and `field:value` pairs, into a filter of groups.

`model:gpt-5 cause:eof -fault:client timeout` finds groups that have gpt-5 among their models and eof among their causes,
are not the client's fault, and hold "timeout" in a name, title, message or request id. A minus excludes. A pair whose
field is not known is plain text, so that a pasted message finds what it came from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from django.db.models import Exists, OuterRef, Q, QuerySet

from errorlog.models import ErrorEvent, ErrorGroup, TopValue

COLUMNS = ("name", "source", "status")
VALUES = ("cause", "phase", "fault", "model", "upstream", "credential", "client_key", "close_code")
ALIASES = {"provider": "upstream", "key": "client_key", "kind": "name"}
_TERM = re.compile(r'(?P<minus>-?)(?:(?P<field>[a-z_]+):)?(?:"(?P<quoted>[^"]*)"|(?P<plain>\S+))')


def search(groups: QuerySet[ErrorGroup], text: str) -> QuerySet[ErrorGroup]:
    """The groups that `text` finds."""
    for term in _TERM.finditer(text[:1000]):
        field = ALIASES.get(term["field"] or "", term["field"] or "")
        value = term["plain"] if term["quoted"] is None else term["quoted"]
        if not field or field not in (*COLUMNS, *VALUES):
            value = term[0][len(term["minus"]) :].strip('"') if term["field"] else value
            condition = _plain(value)
        else:
            condition = having(field, value)
        groups = groups.exclude(condition) if term["minus"] else groups.filter(condition)
    return groups


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
    in_event = ErrorEvent.objects.filter(group=OuterRef("pk")).filter(Q(request_id=text) | Q(message__icontains=text))
    return Q(name__icontains=text) | Q(title__icontains=text) | Q(Exists(in_event))
