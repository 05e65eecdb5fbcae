"""What the page of one entry says, beside its columns: attempts, last events, the evidence in groups, things to copy. Pure.

What must stay true: whatever the evidence holds, the page opens. It is read as JSON from outside: a part that is not of
the form it should have is shown in the raw JSON alone. Nothing here makes HTML; the templates escape all of it.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape
from typing import Any

from django.conf import settings
from django.utils.html import strip_tags

from auditlog.flat import as_json, flat
from auditlog.models import AuditEntry
from proxy_project.figures import chunks_of, lasted, money, number, size
from proxy_project.phases import ended_at, mapping, parts_of
from proxy_project.verdict import Verdict, verdict

# What is drawn, has a table, stands in the page's head or is a column under another name.
SHOWN_APART = (
    *("attempts", "timeline", "last_events", "heartbeats", "live", "kind", "detail", "request_id", "path", "model", "tag"),
    *("upstream_model", "client_request_id", "response_id", "finish_reason"),
)
GROUPS = {
    "Ending": ("error_code", "contributing", "notes"),
    "Upstream": (
        *("provider", "credential", "upstream_status", "upstream_request_id", "event_count", "had_reasoning", "gaps"),
        *("close_code", "close_reason", "upstream_body"),
    ),
    "Client": ("client_status", "written_chunks", "written_bytes", "last_sent_event", "sent_terminal", "client_socket"),
    "Relay": ("variant_hash", "relay"),
}
ENDING = ("outcome", "cause", "phase", "fault", "fault_reason", "error")  # columns that belong to the first group
CLIENT = ("client_key", "peer", "user_agent")
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "…"}]},
    "responses": {"input": "…"},
    "messages": {"max_tokens": 1024, "messages": [{"role": "user", "content": "…"}]},
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One of the figures under the timeline."""

    name: str
    value: str
    remark: str = ""


def verdict_of(entry: AuditEntry) -> Verdict:
    """What happened and whose fault it was."""
    return verdict(
        mapping(entry.evidence),
        outcome=entry.outcome,
        cause=entry.cause,
        fault=entry.fault,
        fault_reason=entry.fault_reason,
        client=entry.client_key,
        error=entry.error,
    )


def figures(entry: AuditEntry) -> list[Figure]:
    """First event, duration, tokens, cost, what was written, status: those that are known."""
    evidence = mapping(entry.evidence)
    broken, lost = entry.outcome not in (None, "completed", "incomplete"), entry.outcome == "relay-lost"
    ended = ended_at(evidence)
    silence = sum(part.lasted for part in parts_of(evidence) if part.kind == "silence")
    terminal = {True: "terminal event sent", False: "terminal event not sent", None: ""}.get(evidence.get("sent_terminal"), "")
    tokens = [f"{value:,}" if value is not None else "–" for value in (entry.input_tokens, entry.output_tokens)]
    found = [
        Figure("First event", lasted(entry.ttft_ms)),
        Figure("Duration", lasted(entry.duration_ms), f"{100 * silence / ended:.0f} % silence" if silence and ended else ""),
        Figure(
            "Tokens seen" if broken else "Tokens",
            " / ".join(tokens) if tokens != ["–", "–"] else "",
            f"in / out{f', {entry.reasoning_tokens:,} reasoning' if entry.reasoning_tokens else ''}",
        ),
        Figure("Speed", f"{entry.tokens_per_second:.1f} tok/s" if entry.tokens_per_second else "", "while it streamed"),
        Figure("Cost", _cost(entry), "of what was seen" if broken else ""),
        Figure("Written", _written(entry), "when it was last heard of" if lost else terminal if entry.stream else ""),
        Figure(
            "Status",
            str(entry.status or entry.client_status or ""),
            f"upstream {entry.upstream_status}" if entry.upstream_status else "",
        ),
    ]
    return [figure for figure in found if figure.value]


def _cost(entry: AuditEntry) -> str:
    return f"{money(entry.cost)} {settings.CURRENCY}" if entry.cost is not None else ""


def _written(entry: AuditEntry) -> str:
    if entry.bytes_out is None:
        return ""
    chunks = f"{chunks_of(entry.chunks_out)}, " if entry.chunks_out is not None else ""
    return chunks + size(entry.bytes_out)


def attempts(entry: AuditEntry) -> list[dict[str, Any]]:
    """Every attempt, numbered, with what was said about the next one."""
    rows = [row for row in _list(entry.evidence, "attempts") if isinstance(row, dict)]
    shown = []
    for place, row in enumerate(rows, 1):
        connection = {True: "Reused connection.", False: "New connection.", None: ""}.get(row.get("reused"), "")
        normal = row.get("outcome") in ("completed", "incomplete")
        shown.append({**row, "number": place, "took": lasted(row.get("ms")), "connection": connection, "normal": normal})
    return shown


def last_events(entry: AuditEntry) -> list[dict[str, Any]]:
    """The last events that the upstream sent, and how far apart they came."""
    rows = [row for row in _list(entry.evidence, "last_events") if isinstance(row, dict)]
    shown = []
    before: float | None = None
    for row in rows:
        at = number(row.get("at"))
        after = f"+{lasted(at - before)}" if at is not None and before is not None else ""
        shown.append({**row, "offset": lasted(at), "after": after, "much": size(row.get("size"))})
        before = at
    return shown


def evidence(entry: AuditEntry) -> list[tuple[str, list[tuple[str, str]]]]:
    """The evidence in groups of names and texts; what lies in objects is named by its path."""
    fields = {name: value for name, value in mapping(entry.evidence).items() if name not in SHOWN_APART}
    groups = []
    for title, names in GROUPS.items():
        rows = [(name, getattr(entry, name)) for name in {"Ending": ENDING, "Client": CLIENT}.get(title, ())]
        rows += [(name, fields.pop(name)) for name in names if name in fields]
        groups.append((title, [(name, _said(name, value)) for name, value in rows if value is not None]))
    groups.append(("Other", [(name, _said(name, value)) for name, value in fields.items()]))
    said = ((title, [(name, text) for name, text in rows if text]) for title, rows in groups)
    return [(title, rows) for title, rows in said if rows]


def summary(entry: AuditEntry) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was asked and what was answered, as far as it is kept without any content."""
    asked = {
        "model": entry.model,
        "protocol": entry.tag,
        "size": size(entry.request_bytes),
        "stream": entry.stream,
        "client's id": entry.client_request_id,
    }
    answered = {
        "model": entry.upstream_model,
        "response id": entry.response_id,
        "from upstream": size(entry.bytes_in) if entry.bytes_in else "",
        "finish reason": mapping(entry.evidence).get("finish_reason"),
        "input tokens": entry.input_tokens,
        "cached tokens": entry.cached_tokens,
        "output tokens": entry.output_tokens,
        "reasoning tokens": entry.reasoning_tokens,
    }
    groups = (("Asked", asked), ("Answered", answered))
    found = [(title, [(name, _text(value)) for name, value in rows.items() if value not in (None, "")]) for title, rows in groups]
    return [(title, rows) for title, rows in found if rows]


def payloads(entry: AuditEntry) -> list[tuple[str, str]]:
    """The captured payloads by name, JSON made readable."""
    return [(name, _readable(value)) for name, value in mapping(entry.payloads).items()]


def raw(entry: AuditEntry) -> str:
    """The entry as the API gives it."""
    return as_json(flat(entry), indent=2)


def markdown(entry: AuditEntry) -> str:
    """The entry to paste into a ticket."""
    said = verdict_of(entry)
    spent = " · ".join(f"{part.kind} {lasted(part.lasted)}" for part in parts_of(mapping(entry.evidence)))
    client = f" (client: `{_tick(entry.client_request_id)}`)" if entry.client_request_id else ""
    rows = {
        "request": f"`{_tick(entry.request_id)}`{client}",
        "time": entry.time.isoformat(),
        "asked": f"{entry.method or ''} {entry.path or ''}".strip(),
        "model": _arrow(entry.model, entry.upstream_model),
        "upstream / credential": " / ".join(filter(None, (entry.provider, entry.credential))),
        "attempts": entry.attempt_count,
        "client key": entry.client_key,
        "status": entry.status,
        "timeline": f"{spent}{' · ' if spent else ''}{lasted(entry.duration_ms)} in all" if entry.duration_ms else spent,
        "client got": _written(entry),
        "error": entry.error,
    }
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows.items() if value not in (None, ""))
    fault = f" **Fault: {said.fault}.**" if said.fault else ""
    title = " · ".join(filter(None, (entry.outcome or "in flight", entry.cause)))
    # The sentence is markup for the page; in Markdown its words alone.
    return f"## {_cell(title)}\n{_cell(_plain(said.sentence))}{fault} {_cell(said.remark)}\n\n| | |\n| --- | --- |\n{table}\n"


def curl(entry: AuditEntry, origin: str, captured: str = "") -> str:
    """A command that asks again: what was `captured`, or the same model with words that are the reader's to fill in."""
    body: dict[str, Any] = dict(BODIES.get(entry.tag or "", {}))
    if entry.model:
        body = {"model": entry.model, **body}
    if entry.stream:
        body["stream"] = True
    words = ["curl", "-N", f"{origin}{entry.path or '/'}", "-H", "Authorization: Bearer $CLIENT_KEY"]
    line = " ".join(_quote(word) for word in words)
    if (entry.method or "POST") != "POST":
        return f"{line} -X {shlex.quote(str(entry.method))}"
    data = shlex.quote(captured or json.dumps(body, ensure_ascii=False))
    return f"{line} \\\n  -H 'Content-Type: application/json' \\\n  -d {data}"


def _quote(word: str) -> str:
    # The one word in which a variable is meant to be one is a text of ours.
    return f'"{word}"' if word == "Authorization: Bearer $CLIENT_KEY" else shlex.quote(word)


def _plain(markup: str) -> str:
    return unescape(strip_tags(markup))


def _tick(text: Any) -> str:
    return str(text).replace("`", "'")


def _arrow(asked: str | None, sent: str | None) -> str:
    return f"{asked} → {sent}" if asked and sent and asked != sent else asked or sent or ""


def _cell(value: Any) -> str:
    return " ".join(str(value).split()).replace("|", "\\|").replace("<", "&lt;")


def _said(name: str, value: Any) -> str:
    """A value of the evidence as people say it; one that is not of its known form as it is."""
    known = SAID.get(name)
    if known and isinstance(value, dict):
        return known(value)
    return (size(value) if name == "written_bytes" else "") or _text(value)


def _parts(value: dict[str, Any], *parts: tuple[str, str, Any]) -> str:
    """The parts that are there, joined; `parts` are a name, a text with a hole, and what words a figure."""
    found = [text.format(word(value[name])) for name, text, word in parts if value.get(name) not in (None, 0, "")]
    return ", ".join(part for part in found if part)


def _gaps(value: dict[str, Any]) -> str:
    return _parts(
        value,
        *(("longest_ms", "longest {}", lasted), ("median_ms", "median {}", lasted)),
        *(("blocked_ms", "blocked writing {}", lasted), ("loop_lag_ms", "loop lag {}", lasted)),
    )


def _socket(value: dict[str, Any]) -> str:
    return _parts(
        value,
        *(("closed", "{}", str), ("peer", "{}", str), ("write_buffer", "{} unsent", size)),
        *(("send_queue", "{} unacknowledged", size), ("blocked_ms", "blocked {}", lasted)),
        *(("rtt_ms", "round trip {}", lasted), ("retransmits", "{} retransmits", str)),
    )


SAID: dict[str, Callable[[dict[str, Any]], str]] = {
    "upstream_body": lambda value: _parts(value, ("size", "{}", size), ("excerpt", "{}", str)),
    "gaps": _gaps,
    "client_socket": _socket,
    "credential": lambda value: " · ".join(str(value[name]) for name in ("id", "label") if value.get(name) is not None),
    "relay": lambda value: _parts(
        value,
        *(("instance", "{}", str), ("process", "pid {}", str), ("version", "version {}", str)),
        ("in_flight", "{} others in flight", str),
    ),
}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _readable(value: Any) -> str:
    if isinstance(value, str):
        try:
            return json.dumps(json.loads(value), indent=2, ensure_ascii=False)
        except ValueError:
            return value
    return json.dumps(value, indent=2, ensure_ascii=False)


def _list(evidence: Any, name: str) -> list[Any]:
    value = evidence.get(name) if isinstance(evidence, dict) else None
    return value if isinstance(value, list) else []
