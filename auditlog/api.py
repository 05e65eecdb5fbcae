"""The audit log's part of the management API. The project mounts it, guards it and gives errors their form.

What must stay true: an entry reads the same in a list and alone; a parameter or field that does not exist is refused by
name, because a filter that silently does nothing would be believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from django.http import Http404, HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.errors import HttpError
from pydantic import ConfigDict

from auditlog import knowing, neighbours, retention
from auditlog.changing import change
from auditlog.entries import BadCursor, Place
from auditlog.finding import find
from auditlog.flat import flat
from auditlog.models import MOST_CAPACITY, MOST_DAYS, AuditEntry, RecordingState
from auditlog.query import Op, QueryError, Term, parse, term
from auditlog.query import Query as Search

router = Router()
EXACT = ("outcome", "cause", "fault", "phase", "model", "provider", "credential", "client_key", "request_id", "drill")
FILTERED_TEXT = Annotated[str | None, Field(None, max_length=500)]


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class EntryQuery(Strict):
    """Which entries."""

    direction: Literal["ingress", "egress", "all"] = "ingress"
    search: str | None = Field(None, description="As in the Audit view: model:gpt-5 ttft:>2s -cause:fin, or any id or error text")
    outcome: FILTERED_TEXT
    cause: FILTERED_TEXT
    fault: FILTERED_TEXT
    phase: FILTERED_TEXT
    model: FILTERED_TEXT
    provider: FILTERED_TEXT
    credential: FILTERED_TEXT
    client_key: FILTERED_TEXT
    request_id: FILTERED_TEXT
    drill: bool | None = None
    since: datetime | None = Field(None, description="Received at this time or later")
    until: datetime | None = Field(None, description="Received before this time")
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, description="`next` of the page before")


class StateChange(Strict):
    """What to change; what is not named stays."""

    enabled: bool = Field(True, description="Whether requests are recorded at all; true also ends a pause")
    paused: bool = False
    sampling: float = Field(1.0, ge=0, le=1, description="The share of normal completions that is kept")
    capacity: int | None = Field(None, ge=1, le=MOST_CAPACITY, description="How many entries are kept; null for no limit")
    keep_days: int | None = Field(None, ge=1, le=MOST_DAYS, description="How many days entries are kept; null for no limit")
    capture: bool = Field(False, description="Whether what clients ask and are sent is kept, redacted and bounded")
    payload_days: int = Field(7, ge=1, le=MOST_DAYS, description="How many days captured payloads are kept")


@router.get("/entries", summary="Entries, newest first")
def entries(request: HttpRequest, query: Query[EntryQuery]) -> dict[str, Any]:
    """`items` and `next`, the cursor of the page that follows, null on the last one.

    A call looks for a quarter of a second at most: one that filters for what hardly ever happens may have fewer items than
    `limit`, or none, and a `next` from where it goes on.
    """
    _only(request, EntryQuery)
    try:
        search = parse(query.search or "")
        knowing.check(search)
    except QueryError as error:
        raise HttpError(422, f"search: {error}") from None
    try:
        before = None if query.cursor is None else Place.read(query.cursor)
    except BadCursor:
        raise HttpError(422, "cursor: not one that this API gave") from None
    asked = tuple(_asked(query))
    for part in asked:
        try:
            knowing.check(Search((part,)))
        except QueryError as error:
            raise HttpError(422, f"{part.field}: {error}") from None
    found = find(Search((*asked, *search.parts)), None if query.direction == "all" else query.direction)
    page = found.page(query.limit, before)
    return {"items": [flat(entry) for entry in page.items], "next": page.older}


@router.get("/entries/{request_id}", summary="The entry of one request, with its evidence")
def entry(request: HttpRequest, request_id: str) -> dict[str, Any]:
    found = AuditEntry.objects.ingress().filter(request_id=_stored(request_id)).defer("payloads").newest_first().first()
    if found is None:
        raise Http404("there is no entry of that request")
    return flat(found)


@router.delete("/entries", summary="Deletes all entries, and resets what was counted as left out")
def clear(request: HttpRequest) -> dict[str, int]:
    return {"deleted": retention.clear()}


@router.get("/state", summary="What is recorded, and what was left out")
def state(request: HttpRequest) -> dict[str, Any]:
    return _state(RecordingState.current())


@router.patch("/state", summary="Changes what is recorded")
def change_state(request: HttpRequest, body: StateChange) -> dict[str, Any]:
    """The new state, and `trimmed`: how many entries a lower capacity made go."""
    given = body.dict(exclude_unset=True)
    trimmed = change(given)
    return _state(RecordingState.current()) | {"trimmed": trimmed}


def _asked(query: EntryQuery) -> Iterator[Term]:
    """What the parameters ask for, as the search would say it."""
    for name in EXACT:
        value = getattr(query, name)
        if value is not None:
            yield term(name, _stored(value)) if isinstance(value, str) else Term(name, Op.IS, (value,), str(value))
    for op, moment in ((Op.AT_LEAST, query.since), (Op.LESS, query.until)):
        if moment is not None:
            yield Term("time", op, (_aware(moment),), moment.isoformat())


def _only(request: HttpRequest, query: type[Schema]) -> None:
    for name in request.GET:
        if name not in query.model_fields:
            raise HttpError(422, f"{name}: there is no such parameter")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _stored(value: Any) -> Any:
    """No stored text has a NUL, and PostgreSQL would refuse the question."""
    return value.replace("\0", "\\u0000") if isinstance(value, str) else value


def _state(state: RecordingState) -> dict[str, Any]:
    names = ("enabled", "paused", "sampling", "capacity", "keep_days", "capture", "payload_days", "size", "dropped", "sampled")
    return {name: getattr(state, name) for name in names} | {"journal_lag": neighbours.journal_lag()}
