"""The error log's part of the management API. Mounted, and guarded, by the project."""

from __future__ import annotations

import time
import uuid
from collections import deque
from datetime import datetime
from importlib import import_module
from typing import Any, Literal

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.http import Http404, HttpRequest
from ninja import Field, Query, Router, Schema
from ninja.errors import HttpError
from pydantic import ConfigDict, field_validator
from pydantic import ValidationError as PydanticError

from errorlog.models import ErrorEvent, ErrorGroup, ReadCursor

router = Router()
REPORTS_PER_MINUTE = 120
CONTEXT_LIMIT = 16 * 1024
_reports: deque[float] = deque(maxlen=REPORTS_PER_MINUTE)


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class GroupQuery(Strict):
    by: Literal["name"] | None = None
    name: str | None = None
    status: str | None = None
    fault: str | None = None
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = None


class EventQuery(Strict):
    request_id: str | None = None
    group: int | None = None
    since: datetime | None = None
    limit: int = Field(50, ge=1, le=500)
    cursor: int | None = None


class Seen(Strict):
    up_to: int | None = None


class Report(Strict):
    name: str = Field(min_length=1, max_length=200)
    message: str = Field("", max_length=4000)
    stack: str = Field("", max_length=10000)
    source: Literal["main", "server", "external", "renderer"] = "external"
    context: dict[str, Any] = {}

    @field_validator("context")
    @classmethod
    def small(cls, context: dict[str, Any]) -> dict[str, Any]:
        if len(orjson.dumps(context)) > CONTEXT_LIMIT:
            raise ValueError(f"larger than {CONTEXT_LIMIT} bytes of JSON")
        return context


class GroupChange(Strict):
    status: Literal["unresolved", "resolved", "muted", "ignored"]


def only(request: HttpRequest, query: type[Schema]) -> None:
    """Refuses a query with a parameter that does not exist: it would be a filter that silently does nothing."""
    for name in request.GET:
        if name not in query.model_fields:
            raise HttpError(422, f"{name}: there is no such parameter")


def read_up_to(reader: str) -> int:
    """The sequence up to which `reader` has read; 0 when nothing."""
    return ReadCursor.objects.filter(reader=reader).values_list("sequence", flat=True).first() or 0


@router.get("/groups", summary="Groups, newest first; `by=name` rolls them up")
def groups(request: HttpRequest, query: Query[GroupQuery]) -> dict[str, Any]:
    only(request, GroupQuery)
    found = ErrorGroup.objects.all()
    for field in ("name", "status", "fault"):
        value = getattr(query, field)
        if value is not None:
            found = found.filter(**{field: value})
    if query.by == "name":
        rolled = found.values("name").annotate(
            count=Sum("count"), groups=Count("id"), first_seen=Min("first_seen"), last_seen=Max("last_seen")
        )
        return {"items": list(rolled.order_by("-last_seen")[: query.limit]), "next": None}
    if query.cursor:
        found = _after(found, query.cursor)
    rows = list(found.select_related("sample").order_by("-last_seen", "-id")[: query.limit + 1])
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    unread = _unread(request.reader, rows)  # type: ignore[attr-defined]
    return {
        "items": [_group(row, unread.get(row.pk, 0)) for row in rows],
        "next": f"{rows[-1].last_seen.isoformat()}_{rows[-1].pk}" if more else None,
    }


def _after(found: QuerySet[ErrorGroup], cursor: str) -> QuerySet[ErrorGroup]:
    moment, _, key = cursor.rpartition("_")
    try:
        when, last = datetime.fromisoformat(moment), int(key)
    except ValueError:
        raise HttpError(422, "cursor: not one that this API gave") from None
    return found.filter(Q(last_seen__lt=when) | Q(last_seen=when, id__lt=last))


def _unread(reader: str, rows: list[ErrorGroup]) -> dict[int, int]:
    found = ErrorEvent.objects.filter(group__in=rows, sequence__gt=read_up_to(reader))
    return dict(found.values_list("group").annotate(number=Count("sequence")).order_by())


def _group(row: ErrorGroup, unread: int) -> dict[str, Any]:
    sample = row.sample
    return {
        "id": row.pk,
        "signature": row.signature,
        "name": row.name,
        "title": row.title,
        "message": sample.message if sample else "",
        "source": row.source,
        "fault": row.fault or None,
        "count": row.count,
        "unread": unread,
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
        "sample_stack": sample.stack if sample else "",
        "sample_context": sample.context if sample else {},
        "status": row.status,
        "regressed": row.regressed,
    }


@router.get("/events", summary="Events, newest first")
def events(request: HttpRequest, query: Query[EventQuery]) -> dict[str, Any]:
    only(request, EventQuery)
    found = ErrorEvent.objects.all()
    if query.request_id is not None:
        found = found.filter(request_id=query.request_id)
    if query.group is not None:
        found = found.filter(group=query.group)
    if query.since is not None:
        found = found.filter(time__gte=query.since)
    if query.cursor is not None:
        found = found.filter(sequence__lt=query.cursor)
    rows = list(found.order_by("-sequence")[: query.limit + 1])
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    return {"items": [_event(row) for row in rows], "next": rows[-1].sequence if more else None}


def _event(row: ErrorEvent) -> dict[str, Any]:
    names = ("sequence", "time", "name", "message", "stack", "source", "version", "platform", "context", "request_id")
    return {"id": str(row.id), "group": row.group_id, "drill": row.drill} | {name: getattr(row, name) for name in names}


@router.get("/count", summary="How many events there are, and how many the caller has not read")
def count(request: HttpRequest) -> dict[str, int]:
    cursor = read_up_to(request.reader)  # type: ignore[attr-defined]
    total = ErrorGroup.objects.aggregate(total=Sum("count"))["total"] or 0
    return {"total": total, "unread": ErrorEvent.objects.filter(sequence__gt=cursor, drill=False).count()}


@router.post("/seen", summary="Moves the caller's cursor, to `up_to` or to the newest event")
def seen(request: HttpRequest) -> dict[str, int]:
    try:
        body = Seen.model_validate_json(request.body) if request.body.strip() else Seen()
    except PydanticError as error:
        first = error.errors()[0]
        raise HttpError(422, f"{'.'.join(str(part) for part in first['loc']) or 'body'}: {first['msg']}") from None
    last = ErrorEvent.objects.aggregate(last=Max("sequence"))["last"] or 0
    up_to = last if body.up_to is None else max(0, min(body.up_to, last))
    ReadCursor.objects.update_or_create(reader=request.reader, defaults={"sequence": up_to})  # type: ignore[attr-defined]
    return {"up_to": up_to}


@router.delete("", summary="Deletes all events and groups, and resets the cursors")
def clear(request: HttpRequest) -> dict[str, int]:
    with transaction.atomic():
        deleted = ErrorEvent.objects.count()
        ErrorGroup.objects.update(sample=None)
        ErrorEvent.objects.all()._raw_delete("default")  # type: ignore[attr-defined]
        ErrorGroup.objects.all().delete()
        ReadCursor.objects.all().delete()
    return {"deleted": deleted}


@router.post("/report", response={202: dict}, summary="A report from outside")
def report(request: HttpRequest, body: Report) -> tuple[int, dict[str, str]]:
    now = time.monotonic()
    if len(_reports) == REPORTS_PER_MINUTE and now - _reports[0] < 60:
        raise HttpError(429, f"more than {REPORTS_PER_MINUTE} reports in a minute")
    _reports.append(now)
    identity = str(uuid.uuid4())
    event = {"id": identity, "time": time.time(), **body.dict()}
    module, _, name = settings.ERRORLOG["WRITER"].rpartition(".")
    getattr(import_module(module), name)(event)
    return 202, {"id": identity}


@router.patch("/groups/{group_id}", summary="Changes a group's status")
def change(request: HttpRequest, group_id: int, body: GroupChange) -> dict[str, Any]:
    row = ErrorGroup.objects.select_related("sample").filter(pk=group_id).first()
    if row is None:
        raise Http404("there is no such group")
    row.status, row.regressed = body.status, False
    row.save(update_fields=["status", "regressed"])
    return _group(row, _unread(request.reader, [row]).get(row.pk, 0))  # type: ignore[attr-defined]
