"""The page of one group: which of its events it shows, and everything that is said of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString

from errorlog import panels, presenting
from errorlog.comparing import compare
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, SeenVersion
from errorlog.periods import DAY, PERIODS, total
from proxy_project.charts import days, fault_class, meter
from proxy_project.drawing import timeline
from proxy_project.figures import ago, day_and_time, lasted, number, size
from proxy_project.phases import attempts, ended_at, mapping
from proxy_project.verdict import verdict

TOPS_SHOWN = 5
DRAWN = ("timeline", "attempts", "last_events")  # of the context: what the page shows better than as a row
LINKED = {"model": "model", "provider": "upstream", "credential": "credential", "client_key": "client_key"}
LINKED |= {"cause": "cause", "phase": "phase", "fault": "fault", "close_code": "close_code"}
SIGNATURE_OF_ENDINGS = ("name", "cause", "provider", "status", "client")


def page_of(group: ErrorGroup, event: ErrorEvent | None, reader: str) -> dict[str, Any]:
    """The template's context."""
    now = timezone.now()
    requests = panels.ask("requests_by_upstream", DAY.since(now)) if group.upstream else None
    return {
        "figures": presenting.figures_of([group], reader, DAY, requests)[group.pk],
        "first_on": day_and_time(timezone.localtime(group.first_seen), timezone.localtime(now)),
        "last_ago": ago(group.last_seen, now),
        "signature": _signature(group),
        "comparison": compare(group),
        "tops": _tops(group),
        **_month(group),
        **(_of_event(group, event) if event else {}),
    }


def _of_event(group: ErrorGroup, event: ErrorEvent) -> dict[str, Any]:
    context = mapping(event.context)
    outcome, cause = str(context.get("outcome") or context.get("kind") or ""), str(context.get("cause") or "")
    older, newer = neighbours(event)
    fault = fault_class(event.fault)
    said = verdict(
        context,
        outcome=outcome or event.name,
        cause=cause,
        fault=fault,
        fault_reason=str(context.get("fault_reason") or ""),
        client=str(context.get("client_key") or ""),
        error=event.message,
    )
    return {
        "older": older,
        "newer": newer,
        "instance": mapping(context.get("relay")).get("instance", ""),
        "verdict": said,
        "fault": fault,
        "drawing": timeline(
            context, outcome=outcome, cause=cause, fault=fault, ident="ep-tl", subject=event.request_id or event.name
        ),
        "attempts": list(_attempts(context)),
        "last_events": list(_last_events(context)),
        "ended": lasted(ended_at(context)),
        "end_of_stream": cause or outcome,
        "context_rows": list(_context_rows(event)),
        "entry": panels.ask("entry_of_error", event.request_id) if event.request_id else None,
        "markdown": as_markdown(group, event),
        "json": as_json(event),
    }


def neighbours(event: ErrorEvent) -> tuple[int | None, int | None]:
    """The sequences of the older and the newer event of the same group."""
    mine = ErrorEvent.objects.filter(group=event.group_id)
    older = mine.filter(sequence__lt=event.sequence).order_by("-sequence").values_list("sequence", flat=True).first()
    newer = mine.filter(sequence__gt=event.sequence).order_by("sequence").values_list("sequence", flat=True).first()
    return older, newer


def _attempts(context: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for attempt in attempts(context):
        reused = attempt.get("reused")
        yield {
            **{name: attempt.get(name) or "" for name in ("upstream", "credential", "status", "outcome", "cause", "detail")},
            "took": lasted(attempt.get("ms")),
            "connection": {True: "Reused connection.", False: "New connection."}.get(reused, "")
            if isinstance(reused, bool)
            else "",
            "next": _sentence(str(attempt.get("next") or "")),
        }


def _sentence(text: str) -> str:
    text = text.strip()
    return f"{text[0].upper()}{text[1:].rstrip('.')}." if text else ""


def _last_events(context: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    given = context.get("last_events")
    before: float | None = None
    for event in given if isinstance(given, list) else ():
        at = number(mapping(event).get("at"))
        after = f"+{lasted(at - before)}" if at is not None and before is not None and at >= before else ""
        before = at if at is not None else before
        yield {
            "at": lasted(at),
            "after": after,
            "type": str(mapping(event).get("type") or ""),
            "size": size(mapping(event).get("size")),
        }


# the context as a table


def _context_rows(event: ErrorEvent) -> Iterator[tuple[str, str, str]]:
    """Name, text and, where the group list can be filtered by it, the filter's parameter and value as a query."""
    own = {"source": event.source, "version": event.version, "platform": event.platform}
    if not event.context.get("request_id") and event.request_id:
        own = {"request_id": event.request_id, **own}
    for name, value in {**event.context, **own}.items():
        said = name == "outcome" and value == event.context.get("kind")
        if name not in DRAWN and value != "" and not said and not _is_no_credential(name, value):
            link = LINKED.get(str(name), "") if not isinstance(value, Mapping) or value.get("label") else ""
            yield str(name), text_of(str(name), value), link


def _is_no_credential(name: Any, value: Any) -> bool:
    """Whether it tells that an upstream was asked without one: then there is nothing to name."""
    return name == "credential" and not (any(value.values()) if isinstance(value, Mapping) else value)


def text_of(name: str, value: Any) -> str:
    """A value of the context in words; what is nested and not known is JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        known = {"gaps": _gaps, "heartbeats": _heartbeats, "client_socket": _socket, "relay": _relay}.get(name)
        if name == "credential" and value.get("label"):
            return str(value["label"])
        if known:
            return known(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if name.endswith(("bytes", "chunks", "count")) else str(value)
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, dict | list) else None)


def _listed(pairs: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in pairs.items() if value not in (None, ""))


def _gaps(gaps: Mapping[str, Any]) -> str:
    names = {"longest": "longest_ms", "at": "longest_began", "median": "median_ms", "blocked writing": "blocked_ms"}
    return _listed({word: lasted(gaps.get(name)) for word, name in {**names, "loop lag": "loop_lag_ms"}.items()})


def _heartbeats(beats: Mapping[str, Any]) -> str:
    return _listed({"": beats.get("count"), "first at": lasted(beats.get("first")), "last at": lasted(beats.get("last"))})


def _socket(socket: Mapping[str, Any]) -> str:
    words = {"": socket.get("closed") or socket.get("peer"), "blocked": lasted(socket.get("blocked_ms"))}
    for name in ("write_buffer", "send_queue", "not_sent"):
        words[name.replace("_", " ")] = size(socket.get(name))
    return _listed({**words, "rtt": lasted(socket.get("rtt_ms")), "retransmits": socket.get("retransmits")})


def _relay(relay: Mapping[str, Any]) -> str:
    words = {"": relay.get("instance"), "process": relay.get("process"), "version": relay.get("version")}
    return _listed({**words, "in flight": relay.get("in_flight")})


# the group


def _signature(group: ErrorGroup) -> list[tuple[str, str]]:
    """The parts of the signature under their names."""
    if group.cause and len(group.parts) == len(SIGNATURE_OF_ENDINGS):
        names: tuple[str, ...] = SIGNATURE_OF_ENDINGS
    else:
        names = ("name", "place", *("part" for _ in group.parts[2:]))
    return [(name, part) for name, part in zip(names, group.parts, strict=False) if part]


def _tops(group: ErrorGroup) -> list[tuple[str, list[tuple[str, int, SafeString]]]]:
    """The most frequent values of each property, with a bar; a property with one value only is no news."""
    tops = presenting.top_values([group.pk], presenting.PROPERTIES)[group.pk]
    shown = []
    for name in presenting.PROPERTIES:
        values = tops[name][:TOPS_SHOWN]
        if values and (len(values) > 1 or name in ("model", "credential", "client_key")):
            bars = [(value, count, meter(count, group.count, group.fault)) for value, count in values]
            shown.append((name.replace("_", " "), bars))
    return shown


def _month(group: ErrorGroup) -> dict[str, Any]:
    """The chart of 28 days."""
    period, now = PERIODS["28d"], timezone.now()
    first = period.drawn_since(now)
    counts = HourlyCount.objects.filter(group=group)
    bars = period.buckets_of(counts, "group", now).get(group.pk, [Counter() for _ in range(period.drawn // period.step)])
    names = [first + timedelta(days=place) for place in range(len(bars))]
    versions = SeenVersion.objects.filter(first_seen__gte=first).order_by("first_seen")
    lines = [(row.version, (row.first_seen - first) / timedelta(days=1)) for row in versions[:12]]
    columns = [(f"{day.day} {day:%b}", bar) for day, bar in zip(names, bars, strict=True)]
    label = f"Events by day over 28 days, today so far {sum(bars[-1].values()):,}"
    return {"month": days(columns, lines, label), "month_total": total(bars)}


# to copy


def as_markdown(group: ErrorGroup, event: ErrorEvent) -> str:
    """The event to paste into a ticket."""
    rows = [("time", event.time.isoformat()), ("request", event.request_id)]
    rows += [(name, text) for name, text, _ in _context_rows(event) if name != "request_id"]
    moments = mapping(event.context).get("timeline")
    if isinstance(moments, Mapping):
        rows.append(("timeline", _listed({str(name): lasted(at) for name, at in moments.items()})))
    table = "\n".join(f"| {_cell(name)} | {_cell(text)} |" for name, text in rows if text)
    fence = "`" * max(3, _longest_run(event.stack) + 1)
    stack = f"\n{fence}\n{event.stack}\n{fence}\n" if event.stack else ""
    since = f"{group.count:,} events since {group.first_seen:%Y-%m-%d}"
    return f"## {_cell(group.title)}\n\n{event.message}\n\n| | |\n| --- | --- |\n{table}\n{stack}\n{since}\n"


def _longest_run(text: str) -> int:
    """The longest run of backticks: a fence must be longer."""
    longest = run = 0
    for letter in text:
        run = run + 1 if letter == "`" else 0
        longest = max(longest, run)
    return longest


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def as_json(event: ErrorEvent) -> str:
    """The event as it is kept."""
    names = ("name", "message", "stack", "source", "version", "platform", "request_id", "context")
    whole = {"id": str(event.id), "time": event.time.isoformat(), **{name: getattr(event, name) for name in names}}
    return json.dumps(whole, ensure_ascii=False, indent=2)
