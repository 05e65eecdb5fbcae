"""The audit log's part of the management API. Mounted, and guarded, by the project."""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.errors import HttpError
from pydantic import ConfigDict

from auditlog.models import AuditEntry, RecordingState

router = Router()
COLUMNS = [field.name for field in AuditEntry._meta.fields]


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class EntryQuery(Strict):
    direction: Literal["ingress", "egress"] = "ingress"
    search: str | None = None
    outcome: str | None = None
    cause: str | None = None
    fault: str | None = None
    model: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = None


class StateChange(Strict):
    enabled: bool | None = None
    paused: bool | None = None
    capacity: int | None = Field(None, ge=1)
    sampling: float | None = Field(None, ge=0, le=1)


def only(request: HttpRequest, query: type[Schema]) -> None:
    """Refuses a query with a parameter that does not exist: it would be a filter that silently does nothing."""
    for name in request.GET:
        if name not in query.model_fields:
            raise HttpError(422, f"{name}: there is no such parameter")


SEARCHABLE = {"model", "outcome", "cause", "fault", "phase", "provider", "credential", "tag", "status", "upstream_status"}
ALIASES = {"upstream": "provider", "key": "client_key"}


def searched(found: QuerySet[AuditEntry], text: str) -> QuerySet[AuditEntry]:
    """`field:value` words filter, `-field:value` excludes, plain words look in ids, model and error text."""
    for word in text.split():
        exclude = word.startswith("-")
        name, colon, value = word.lstrip("-").partition(":")
        name = ALIASES.get(name, name)
        if colon and (name in SEARCHABLE or name == "client_key"):
            if name.endswith("status") and not value.isdigit():
                raise HttpError(422, f"search: {name} is {value!r}; expected a number")
            condition = Q(**{name: value})
        else:
            condition = (
                Q(request_id__icontains=word)
                | Q(client_request_id__icontains=word)
                | Q(evidence__response_id=word)
                | Q(error__icontains=word)
                | Q(model__icontains=word)
            )
            exclude = False
        found = found.exclude(condition) if exclude else found.filter(condition)
    return found


@router.get("/entries", summary="Entries, newest first")
def entries(request: HttpRequest, query: Query[EntryQuery]) -> dict[str, Any]:
    only(request, EntryQuery)
    found = AuditEntry.objects.filter(direction=query.direction)
    for name in ("outcome", "cause", "fault", "model"):
        value = getattr(query, name)
        if value is not None:
            found = found.filter(**{name: value})
    if query.since is not None:
        found = found.filter(time__gte=query.since)
    if query.until is not None:
        found = found.filter(time__lt=query.until)
    if query.search:
        found = searched(found, query.search)
    if query.cursor:
        moment, _, key = query.cursor.rpartition("_")
        try:
            when = datetime.fromisoformat(moment)
            found = found.filter(Q(time__lt=when) | Q(time=when, id__lt=key))
        except (ValueError, TypeError):
            raise HttpError(422, "cursor: not one that this API gave") from None
    rows = list(found.order_by("-time", "-id")[: query.limit + 1])
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    return {
        "items": [_entry(row) for row in rows],
        "next": f"{rows[-1].time.isoformat()}_{rows[-1].id}" if more else None,
    }


@router.get("/entries/{request_id}", summary="The entry of one request, with its evidence")
def entry(request: HttpRequest, request_id: str) -> dict[str, Any]:
    found = AuditEntry.objects.filter(request_id=request_id, direction="ingress").order_by("-time").first()
    if found is None:
        raise Http404(f"there is no entry of the request {request_id}")
    return _entry(found)


def _entry(row: AuditEntry) -> dict[str, Any]:
    entry = {name: getattr(row, name) for name in COLUMNS if name != "payloads"}
    return entry | {"id": str(row.id)}


@router.delete("/entries", summary="Deletes all entries, and resets the counters")
def clear(request: HttpRequest) -> dict[str, int]:
    with transaction.atomic():
        deleted, _ = AuditEntry.objects.all().delete()
        RecordingState.objects.filter(pk=1).update(dropped=0, sampled=0)
    return {"deleted": deleted}


@router.get("/state", summary="What is recorded, and what was left out")
def state(request: HttpRequest) -> dict[str, Any]:
    return _state(RecordingState.current())


@router.patch("/state", summary="Changes what is recorded")
def change_state(request: HttpRequest, body: StateChange) -> dict[str, Any]:
    current = RecordingState.current()
    given = body.dict(exclude_unset=True)
    for name, value in given.items():
        if value is not None or name == "capacity":
            setattr(current, name, value)
    if given.get("enabled"):
        current.paused = False
    current.save()
    trimmed = _trim(current.capacity)
    return _state(current) | {"trimmed": trimmed}


def _trim(capacity: int | None) -> int:
    if capacity is None:
        return 0
    last = AuditEntry.objects.order_by("-time", "-id").values_list("time", "id")[capacity - 1 : capacity]
    for moment, key in last:
        older = AuditEntry.objects.filter(Q(time__lt=moment) | Q(time=moment, id__lt=key))
        return older.delete()[0]
    return 0


def _state(current: RecordingState) -> dict[str, Any]:
    panels: Any = import_module(settings.AUDITLOG["PANELS"]) if settings.AUDITLOG.get("PANELS") else None
    lag = getattr(panels, "journal_lag", None)
    return {
        "enabled": current.enabled,
        "paused": current.paused,
        "capacity": current.capacity,
        "sampling": current.sampling,
        "size": AuditEntry.objects.count(),
        "dropped": current.dropped,
        "sampled": current.sampled,
        "journal_lag": lag() if lag is not None else None,
    }
