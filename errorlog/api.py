"""The error log's part of the management API. Mounted, and guarded, by the project.

The mount sets `request.reader`: a stable key of who asks, whose cursor the unread numbers are measured against.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from datetime import datetime
from typing import Any, Literal

from django.db.models import Count, Max, Min, Q, QuerySet, Sum
from django.http import Http404, HttpRequest
from django.utils import timezone
from ninja import Body, Field, Query, Router, Schema
from ninja.errors import HttpError
from ninja.responses import Status
from pydantic import ConfigDict, field_validator, model_validator

from errorlog import clearing, presenting, reading, search, writing
from errorlog.models import ErrorEvent, ErrorGroup
from errorlog.periods import PERIODS

router = Router()
REPORTS_PER_MINUTE = 120
CONTEXT_LIMIT = 16 * 1024
LONGEST_CURSOR = 300
_reports: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=REPORTS_PER_MINUTE))


class Strict(Schema):
    model_config = ConfigDict(extra="forbid")


class GroupQuery(Strict):
    by: Literal["name"] | None = Field(None, description="`name` rolls the groups up by kind.")
    period: Literal["1h", "24h", "7d", "28d"] = Field("24h", description="With `by=name`: what `recent` and `rate` are of.")
    name: str | None = None
    status: Literal["unresolved", "resolved", "muted", "ignored"] | None = None
    regressed: bool | None = None
    source: Literal["main", "server", "external", "renderer"] | None = None
    cause: str | None = None
    phase: str | None = None
    fault: str | None = None
    model: str | None = None
    upstream: str | None = None
    credential: str | None = None
    client_key: str | None = None
    since: datetime | None = Field(None, description="Groups seen since then.")
    until: datetime | None = Field(None, description="Groups first seen before then.")
    search: str | None = Field(None, max_length=1000, description="Words, and pairs such as `cause:eof`; a minus excludes.")
    limit: int = Field(50, ge=1, le=200)
    cursor: str | None = Field(None, max_length=LONGEST_CURSOR)


class EventQuery(Strict):
    request_id: str | None = None
    group: int | None = Field(None, ge=1, lt=1 << 63)
    since: datetime | None = None
    until: datetime | None = None
    drill: bool | None = None
    limit: int = Field(50, ge=1, le=500)
    cursor: int | None = Field(None, ge=1, lt=1 << 63)


class NothingAsked(Strict):
    """Nothing can be asked."""


class Seen(Strict):
    up_to: int | None = Field(None, ge=0, lt=1 << 63, description="A `sequence`; nothing: all.")


class Report(Strict):
    name: str = Field(min_length=1, max_length=200)
    message: str = Field("", max_length=4000)
    stack: str = Field("", max_length=10000)
    source: Literal["main", "server", "external", "renderer"] = "external"
    context: dict[str, Any] = {}

    @field_validator("context")
    @classmethod
    def small(cls, context: dict[str, Any]) -> dict[str, Any]:
        if len(json.dumps(context, ensure_ascii=False).encode("utf-8", "surrogatepass")) > CONTEXT_LIMIT:
            raise ValueError(f"larger than {CONTEXT_LIMIT} bytes of JSON")
        return context


class GroupChange(Strict):
    status: Literal["unresolved", "resolved", "muted", "ignored"]
    from_next_version: bool = Field(False, description="resolved: events of the running version do not reopen it.")
    until: datetime | None = Field(None, description="muted: until then.")
    events: int | None = Field(None, ge=1, le=1_000_000, description="muted: until so many events …")
    seconds: int | None = Field(None, ge=60, le=31 * 86400, description="… came within so many seconds.")

    @model_validator(mode="after")
    def fits(self) -> GroupChange:
        if self.from_next_version and self.status != "resolved":
            raise ValueError("from_next_version goes with the status resolved alone")
        if self.status != "muted" and (self.until or self.events or self.seconds):
            raise ValueError("until, events and seconds go with the status muted alone")
        if self.seconds and not self.events:
            raise ValueError("seconds goes with events")
        return self


def only(request: HttpRequest, query: type[Schema]) -> None:
    """Refuses a query with a parameter that does not exist: it would be a filter that silently does nothing."""
    for name in request.GET:
        if name not in query.model_fields:
            raise HttpError(422, f"{name}: there is no such parameter")


@router.get("/groups", summary="Groups, newest first; `by=name` rolls them up")
def groups(request: HttpRequest, query: Query[GroupQuery]) -> dict[str, Any]:
    only(request, GroupQuery)
    _refuse_unknown(query)
    ErrorGroup.objects.wake()
    found = search.filtered(ErrorGroup.objects.all(), query.dict())
    if query.regressed is not None:
        found = found.filter(regressed=query.regressed)
    if query.since is not None:
        found = found.filter(last_seen__gte=_aware(query.since))
    if query.until is not None:
        found = found.filter(first_seen__lt=_aware(query.until))
    if query.search:
        found = search.search(found, query.search)
    if query.by == "name":
        return _by_name(request, found, query)
    if query.cursor:
        found = _after(found, query.cursor)
    rows = list(found.order_by("-last_seen", "-id")[: query.limit + 1])
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    return {
        "items": _shown(request, rows),
        "next": f"{rows[-1].last_seen.isoformat()}_{rows[-1].pk}" if more else None,
    }


def _refuse_unknown(query: GroupQuery) -> None:
    """Refuses a word that its field never has."""
    for field in search.VALUES:
        value = getattr(query, field, None)
        if value and (remark := search.unknown(field, value)):
            raise HttpError(422, f"{field}: {remark}")
    for remark in search.remarks(query.search or ""):
        raise HttpError(422, f"search: {remark}")


def _by_name(request: HttpRequest, found: QuerySet[ErrorGroup], query: GroupQuery) -> dict[str, Any]:
    rolled = (
        found.order_by()
        .values("name")
        .annotate(count=Sum("count"), groups=Count("id"), first_seen=Min("first_seen"), last_seen=Max("last_seen"))
    )
    if query.cursor:
        when, name = _place(query.cursor)
        rolled = rolled.filter(Q(last_seen__lt=when) | Q(last_seen=when, name__gt=name))
    rows = list(rolled.order_by("-last_seen", "name")[: query.limit + 1])
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    named = found.filter(name__in=[row["name"] for row in rows]).values_list("pk", "name")
    names = dict(named)
    unread: dict[str, int] = defaultdict(int)
    for group, item in reading.unread_by(_reader(request)).items():
        if group in names:
            unread[names[group]] += item.events
    recent = presenting.recent_by_name(PERIODS[query.period], [row["name"] for row in rows])
    items = [row | {"unread": unread[row["name"]], **recent[row["name"]]} for row in rows]
    return {"items": items, "next": f"{rows[-1]['last_seen'].isoformat()}_{rows[-1]['name']}" if more else None}


def _place(cursor: str) -> tuple[datetime, str]:
    """The time and the key that a cursor of ours is made of."""
    moment, _, key = cursor.replace("\0", "").partition("_")
    try:
        when = datetime.fromisoformat(moment.replace(" ", "+"))  # a plus that was not encoded arrives as a blank
    except ValueError:
        when = None
    if when is None or timezone.is_naive(when):
        raise HttpError(422, "cursor: not one that this API gave")
    return when, key


def _after(found: QuerySet[ErrorGroup], cursor: str) -> QuerySet[ErrorGroup]:
    when, key = _place(cursor)
    if not (key.isascii() and key.isdigit() and len(key) < 19):
        raise HttpError(422, "cursor: not one that this API gave")
    return found.filter(Q(last_seen__lt=when) | Q(last_seen=when, id__lt=int(key)))


def _shown(request: HttpRequest, rows: list[ErrorGroup]) -> list[dict[str, Any]]:
    unread = reading.unread_by(_reader(request), [row.pk for row in rows])
    newest = ErrorEvent.objects.in_bulk([row.last_sequence for row in rows])
    return [_group(row, newest.get(row.last_sequence), unread[row.pk].events if row.pk in unread else 0) for row in rows]


def _group(row: ErrorGroup, sample: ErrorEvent | None, unread: int) -> dict[str, Any]:
    return {
        "id": row.pk,
        "signature": row.signature,
        "signature_version": row.signature_version,
        "parts": row.parts,
        "name": row.name,
        "title": row.title,
        "message": sample.message if sample else "",
        "source": row.source,
        "cause": row.cause or None,
        "fault": row.fault or None,
        "count": row.count,
        "unread": unread,
        "keys_hit": row.keys_hit,
        "first_seen": row.first_seen,
        "last_seen": row.last_seen,
        "sample_stack": sample.stack if sample else "",
        "sample_context": sample.context if sample else {},
        "status": row.status,
        "regressed": row.regressed,
        "muted_until": row.muted_until,
        "resolved_version": row.resolved_version or None,
    }


@router.get("/events", summary="Events, newest first")
def events(request: HttpRequest, query: Query[EventQuery]) -> dict[str, Any]:
    only(request, EventQuery)
    found = ErrorEvent.objects.all()
    for field in ("request_id", "group", "drill"):
        value = getattr(query, field)
        if value is not None:
            found = found.filter(**{field: value.replace("\0", "") if isinstance(value, str) else value})
    if query.since is not None:
        found = found.filter(time__gte=_aware(query.since))
    if query.until is not None:
        found = found.filter(time__lt=_aware(query.until))
    if query.cursor is not None:
        found = found.filter(sequence__lt=query.cursor)
    rows = list(found.order_by("-sequence")[: query.limit + 1])
    more = len(rows) > query.limit
    rows = rows[: query.limit]
    return {"items": [_event(row) for row in rows], "next": rows[-1].sequence if more else None}


def _event(row: ErrorEvent) -> dict[str, Any]:
    names = ("sequence", "time", "name", "message", "stack", "source", "version", "platform", "context", "request_id")
    shown = {name: getattr(row, name) for name in names}
    return {"id": str(row.id), "group": row.group_id, "fault": row.fault or None, "drill": row.drill, **shown}


@router.get("/count", summary="How many events there are, and how many the caller has not read")
def count(request: HttpRequest) -> dict[str, int]:
    only(request, NothingAsked)
    return {"total": reading.total(), "unread": reading.unread_total(_reader(request))}


@router.get("/badge", summary="The number in the navigation: what the caller has not read and ought to")
def badge(request: HttpRequest) -> dict[str, int]:
    only(request, NothingAsked)
    return {"unread": reading.badge_number(_reader(request))}


@router.post("/seen", summary="Moves the caller's cursor, to `up_to` or to the newest event")
def seen(request: HttpRequest, body: Seen | None = Body(None)) -> dict[str, int]:  # noqa: B008 - Ninja's way to say optional
    return {"up_to": reading.mark_read(_reader(request), body.up_to if body else None)}


@router.delete("", summary="Deletes all events and groups, and resets the cursors")
def clear(request: HttpRequest) -> dict[str, int]:
    return {"deleted": clearing.clear()}


@router.post("/report", response={202: dict}, summary="A report from outside")
def report(request: HttpRequest, body: Report) -> Status[dict[str, str]]:
    if not _may_report(_reader(request), time.monotonic()):
        raise HttpError(429, f"more than {REPORTS_PER_MINUTE} reports in a minute")
    event = writing.new_event(body.name, body.message, stack=body.stack, source=body.source, context=body.context)
    writing.write(event)
    return Status(202, {"id": event["id"]})


def _may_report(reader: str, now: float) -> bool:
    """So many a minute of each reader, in each process."""
    sent = _reports[reader]
    if len(sent) == REPORTS_PER_MINUTE and now - sent[0] < 60:
        return False
    sent.append(now)
    return True


@router.patch("/groups/{group_id}", summary="Changes a group's status")
def change(request: HttpRequest, group_id: int, body: GroupChange) -> dict[str, Any]:
    chosen = ErrorGroup.objects.filter(pk=group_id) if group_id < 1 << 63 else ErrorGroup.objects.none()
    if body.status == "resolved":
        changed = chosen.resolve(next_version=body.from_next_version)
    elif body.status == "muted":
        until = _aware(body.until) if body.until else None
        changed = chosen.mute(until=until, events=body.events, seconds=body.seconds)
    else:
        changed = chosen.ignore() if body.status == "ignored" else chosen.reopen()
    if not changed:
        raise Http404("there is no such group")
    return _shown(request, list(chosen))[0]


@router.post("/groups/{group_id}/seen", summary="Marks one group read for the caller")
def group_seen(request: HttpRequest, group_id: int) -> dict[str, Any]:
    chosen = ErrorGroup.objects.filter(pk=group_id) if group_id < 1 << 63 else ErrorGroup.objects.none()
    if not chosen.exists():
        raise Http404("there is no such group")
    reading.mark_groups_read(_reader(request), [group_id])
    return _shown(request, list(chosen))[0]


def _reader(request: HttpRequest) -> str:
    return request.reader  # type: ignore[attr-defined]


def _aware(moment: datetime) -> datetime:
    """A time without a zone is UTC."""
    return timezone.make_aware(moment, timezone.get_default_timezone()) if timezone.is_naive(moment) else moment
