"""Whether the words that a search asks for can be found at all: the gateway says which words an ending is told in.

A word of an earlier version, which entries still have, is as good as any; where no index would tell, the gateway's word counts.
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

from auditlog import neighbours
from auditlog.finding import INDEXED, OPEN_WORD
from auditlog.models import EGRESS, INGRESS, AuditEntry
from auditlog.query import Literal, Op, Query, QueryError, Term
from proxy_project.words import unknown


def check(query: Query) -> None:
    """Refuses a word that its field never has.

    Raises:
        QueryError: there is no such word; names the field, and the nearest words that there are.
    """
    terms = [part for part in query.parts if isinstance(part, Term) and part.op is Op.IS]
    if not terms:
        return
    vocabulary = neighbours.vocabulary() | {"direction": (INGRESS, EGRESS)}
    for part in terms:
        if known := vocabulary.get(part.field):
            for word in part.values:
                if not _is_one(part.field, word, known):
                    raise QueryError(unknown(part.field, word, known))


def _is_one(field: str, word: str, known: Collection[str]) -> bool:
    if field == "outcome" and word == OPEN_WORD:
        return True
    if "*" in word and not isinstance(word, Literal):
        return any(fnmatchcase(one, word.replace("[", "[[]").replace("?", "[?]")) for one in known)
    return word in known or (field in INDEXED and AuditEntry.objects.filter(**{field: word}).exists())
