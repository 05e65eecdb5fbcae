"""From an ending to what both logs keep of it: the audit entry and, for an abnormal one, the error event.

Pure but for the clock and the version it is given. The recorder writes its result to the journal; the shipper uses the
same function for requests whose process died, so that no second place knows what a record looks like. Any field of the
ending may be missing or wrong: what is known is used, and what is not is left out, never guessed.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import proxy_project
from relay.ending import Cause, Fault, Outcome, Phase, Verdict
from relay.record_id import new_record_id

NO_REQUEST = "stream-close"  # the request id of a record that was made with no request at hand
CLIENT_LEFT = 499
CLIENT_LEFT_OUTCOMES = frozenset({Outcome.CLIENT_ABORT, Outcome.CLIENT_WRITE_FAILED})
NORMAL_COMPLETIONS = frozenset({Outcome.COMPLETED, Outcome.INCOMPLETE})
PLATFORM = f"{sys.platform} {platform.release()} python {platform.python_version()}"
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
NO_VERDICT = Verdict(Outcome.RELAY_ERROR, Cause.BUG, Phase.RECEIVING, Fault.RELAY, "the ending was recorded without a verdict")


@dataclass(frozen=True, slots=True)
class Ending:
    """One ending, as `record_stream_close` takes it. Every field may be missing."""

    verdict: Verdict | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)  # endings.md, "Evidence"
    entry: Mapping[str, Any] = field(default_factory=dict)  # further columns of the audit entry
    egress: Sequence[Mapping[str, Any]] = ()  # audit entries of attempts that the next one saved
    stack: str = ""
    record_id: str = ""


def close_record(ending: object, now: float, version: str) -> dict[str, Any]:
    """The `close` line of `ending`, not redacted yet; evidence may still hold nulls."""
    evidence = _mapping(part(ending, "evidence"))
    known = _mapping(part(ending, "entry"))
    verdict = part(ending, "verdict")
    if not isinstance(verdict, Verdict):
        verdict = NO_VERDICT
    record = part(ending, "record_id") or known.get("id") or new_record_id()
    entry = _entry(record, verdict, evidence, known, now)
    line = {"t": "close", "id": record, "at": now, "entry": entry}
    if verdict.abnormal:
        line["event"] = _event(entry, verdict, evidence, str(part(ending, "stack") or ""), now, version)
    if egress := part(ending, "egress"):
        line["egress"] = [
            {"time": now, **item, "id": item.get("id") or new_record_id(), "direction": "egress"} for item in egress
        ]
    return line


def version() -> str:
    """The running version, `unknown` when it cannot be read."""
    try:
        return str(proxy_project.VERSION) or "unknown"
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return "unknown"


def part(ending: object, name: str) -> Any:
    """A field of an ending that may be an `Ending`, a mapping, or something broken."""
    if isinstance(ending, Mapping):
        return ending.get(name)
    return getattr(ending, name, None)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _entry(record: str, verdict: Verdict, evidence: Mapping[str, Any], known: Mapping[str, Any], now: float) -> dict[str, Any]:
    request = known.get("request_id") or evidence.get("request_id")
    upstream_status = number(_first(known, evidence, "upstream_status"))
    client_status = number(_first(known, evidence, "client_status"))
    status = client_status if upstream_status is None else upstream_status
    if status is None and (verdict.outcome in CLIENT_LEFT_OUTCOMES or verdict.cause is Cause.REQUEST_INCOMPLETE):
        status = CLIENT_LEFT
    entry = {
        **known,
        "id": record,
        "request_id": request or NO_REQUEST,
        "time": known.get("time") or now,
        "direction": known.get("direction") or ("ingress" if request else "egress"),
        "path": _first(known, evidence, "path") or "",
        "provider": _first(known, evidence, "provider") or _last_upstream(evidence),
        "status": status,
        "upstream_status": upstream_status,
        "client_status": client_status,
        "outcome": verdict.outcome,
        "cause": verdict.cause,
        "phase": verdict.phase,
        "fault": verdict.fault,
        "fault_reason": verdict.fault_reason or None,
        "error": verdict.message or known.get("error"),
        "evidence": evidence,
    }
    for name in ("client_request_id", "model", "upstream_model", "tag"):
        if entry.get(name) is None:
            entry[name] = evidence.get(name)
    return {name: value for name, value in entry.items() if value is not None}


def _event(
    entry: Mapping[str, Any], verdict: Verdict, evidence: Mapping[str, Any], stack: str, now: float, version: str
) -> dict[str, Any]:
    status = entry.get("upstream_status")
    close_code = evidence.get("close_code")
    return {
        "id": entry["id"],
        "time": now,
        "name": verdict.error_name,
        "message": verdict.message,
        "stack": stack,
        "source": "server",
        "version": version,
        "platform": PLATFORM,
        "context": {
            **evidence,
            "outcome": verdict.outcome,
            "cause": verdict.cause,
            "phase": verdict.phase,
            "fault": verdict.fault,
            "fault_reason": verdict.fault_reason,
            "client_key": entry.get("client_key"),
        },
        "request_id": entry["request_id"],
        "drill": bool(entry.get("drill")),
        "fingerprint": [
            verdict.error_name,
            verdict.cause.value if verdict.cause else "",
            str(entry.get("provider") or ""),
            str(status if close_code is None else close_code) if status or close_code is not None else "",
            "after first byte" if _reached_client(entry, evidence) else "before first byte",
        ],
    }


def _reached_client(entry: Mapping[str, Any], evidence: Mapping[str, Any]) -> bool:
    """Whether the client had a byte of the answer (an error answer is none). Counts decide: a timeline may be missing."""
    if (number(entry.get("client_status")) or 0) >= 400:
        return False
    return bool(evidence.get("written_bytes") or evidence.get("written_chunks") or entry.get("bytes_out"))


def _first(known: Mapping[str, Any], evidence: Mapping[str, Any], name: str) -> Any:
    value = known.get(name)
    return evidence.get(name) if value is None else value


def _last_upstream(evidence: Mapping[str, Any]) -> Any:
    attempts = evidence.get("attempts")
    if isinstance(attempts, Sequence) and attempts and isinstance(attempts[-1], Mapping):
        return attempts[-1].get("upstream")
    return None


def number(value: Any) -> int | None:
    """A status as a number, where it is one."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9:
        return int(value)
    return None


def pruned(value: Any) -> Any:
    """Without the nulls of any depth; `False`, `0` and `""` stay."""
    if isinstance(value, Mapping):
        return {name: pruned(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [pruned(item) for item in value]
    return value
