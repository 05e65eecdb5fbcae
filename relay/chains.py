"""Which credential made a response: `previous_response_id` belongs to it alone, and must not be shown to another.

In memory, for this process, bounded: an id that is not known here goes where the route leads, and the upstream refuses it
when it is not its own. It is never replaced.
"""

from __future__ import annotations

from relay.balancing import Candidate
from relay.wire.question import Question

KEPT = 100_000
_makers: dict[str, tuple[int, int | None]] = {}  # by the response's id: upstream and credential


def remember(response_id: str, upstream_id: int, credential_id: int | None) -> None:
    """The credential has made this response."""
    _makers.pop(response_id, None)
    _makers[response_id] = (upstream_id, credential_id)
    if len(_makers) > KEPT:
        del _makers[next(iter(_makers))]


def named_by(question: Question) -> str | None:
    """The earlier response that a question goes on with, or asks for."""
    if question.dialect.tag != "responses":
        return None
    named = (question.body or {}).get("previous_response_id")
    if named is None and question.path.startswith("/v1/responses/"):
        named = question.path.split("/")[3]
    return named if isinstance(named, str) else None


def bound(candidates: list[Candidate], question: Question) -> list[Candidate]:
    """Those candidates that made what the question names; all of them when it names nothing that is known here."""
    named = named_by(question)
    maker = _makers.get(named) if named is not None else None
    if maker is None:
        return candidates
    return [item for item in candidates if item.key == maker]
