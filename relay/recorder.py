"""The recorder: the only door to both logs. It never raises and never waits.

A record is one journal line that holds the audit entry and the error event together, so that neither can be lost alone.
Text is redacted and made safe for a database before it touches the disk. When something that is needed for that fails
(clock, version, encoder, redaction …) a poorer line is written, of closed vocabulary and ids alone, and counted.

Redaction works on every string, which costs more than all the rest together. So a record is first looked through for
anything that redaction could act on (relay/harmless.py), and only when there is something is it walked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from errorlog import redaction
from relay import journal, metrics
from relay.close_record import (
    CLIENT_LEFT_OUTCOMES,
    NO_REQUEST,
    NO_VERDICT,
    NORMAL_COMPLETIONS,
    PLATFORM,
    UUID7,
    Ending,
    close_record,
    part,
    version,
)
from relay.ending import OUTCOMES, Verdict
from relay.harmless import harmless
from relay.record_id import new_record_id

__all__ = [
    "Ending",
    "RecorderState",
    "new_record_id",
    "record_egress",
    "record_error_event",
    "record_live",
    "record_open",
    "record_stream_close",
    "state",
]


@dataclass(slots=True)
class RecorderState:
    """What this process's recorder could not do as it should."""

    degraded: int = 0  # records written as a poorer line
    lost: int = 0  # records that could not be written at all


state = RecorderState()


def record_open(record: str, at: float, entry: Mapping[str, Any]) -> None:
    """A request was accepted. Until its ending is recorded, its process's death makes it `relay-lost`."""
    _record_entry("open", record, at, entry)


def record_live(record: str, at: float, entry: Mapping[str, Any]) -> None:
    """An open request, longer than a second, and what is known of it now."""
    _record_entry("live", record, at, entry)


def record_egress(record: str, at: float, entry: Mapping[str, Any]) -> None:
    """A call that no client asked for, such as trying a credential: an audit entry, whatever came of it."""
    _record_entry("close", record, at, {**entry, "id": record, "direction": "egress"})


def record_stream_close(ending: object) -> None:
    """A request ended: the only door for endings. Takes an `Ending`, or whatever there is of one."""
    try:
        target = journal.current()
        if target is None:
            return
        try:
            line = close_record(ending, time.time(), version())
            data = _looked_through(line)
            record, outcome = line["id"], line["entry"]["outcome"]
        except Exception:  # noqa: BLE001 - a record that is poorer beats none
            state.degraded += 1
            line = _poorer_close(_known_id(ending), ending)
            record, outcome = line["id"], line["entry"]["outcome"]
            data = _encode_anyhow(line)
        target.close(record, data, str(outcome), outcome in NORMAL_COMPLETIONS, line["entry"])
    except Exception:  # noqa: BLE001 - the caller is a stream that must not notice
        state.lost += 1


def record_error_event(event: Mapping[str, Any]) -> None:
    """An exception, an operational event or a report: an error event that is no ending."""
    try:
        target = journal.current()
        if target is None:
            return
        record = event.get("id") if isinstance(event, Mapping) else None
        if not (isinstance(record, str) and UUID7.match(record)):
            record = new_record_id()
        try:
            whole = {
                "time": _clock(),
                "name": "Error",
                "message": "",
                "stack": "",
                "source": "main",
                "version": version(),
                "platform": PLATFORM,
                **event,
                "id": record,
            }
            data = _walked({"t": "error", "id": record, "at": whole["time"], "event": whole})
        except Exception:  # noqa: BLE001 - as above
            state.degraded += 1
            poorer = {"id": record, "time": _clock(), "name": "UnreadableErrorEvent", "message": "", "source": "main"}
            data = _encode_anyhow({"t": "error", "id": record, "at": poorer["time"], "event": poorer})
        target.error(data)
    except Exception:  # noqa: BLE001 - reporting never raises
        state.lost += 1


def _record_entry(kind: str, record: str, at: float, entry: Mapping[str, Any]) -> None:
    try:
        target = journal.current()
        if target is None:
            return
        try:
            data = _looked_through({"t": kind, "id": record, "at": at, "entry": entry})
        except Exception:  # noqa: BLE001 - a record that is poorer beats none
            state.degraded += 1
            poorer = {"id": str(record), "time": _clock(), "direction": "ingress"}
            data = _encode_anyhow({"t": kind, "id": str(record), "at": poorer["time"], "entry": poorer})
        if kind == "open":
            target.open(record, data)
        elif kind == "live":
            target.live(record, data)
        else:
            target.close(record, data)
    except Exception:  # noqa: BLE001 - the caller is a stream that must not notice
        state.lost += 1


# from a value to a line


def _looked_through(line: dict[str, Any]) -> bytes:
    """The encoded line, walked only where the look finds anything to do for the walk."""
    if harmless(line):
        try:
            return orjson.dumps(line)
        except TypeError:  # a lone surrogate, a number of more than 64 bits
            pass
    return _walked(line)


def _walked(line: dict[str, Any]) -> bytes:
    """The encoded line: nulls left out, secrets taken out, every text one that a database takes."""
    clean = dict(line)
    if "entry" in line:
        clean["entry"] = _clean(line["entry"])
    if "egress" in line:
        clean["egress"] = [_clean(item) for item in line["egress"]]
    if "event" in line:
        clean["event"] = _clean(line["event"])
    return orjson.dumps(clean)


def _clean(value: Mapping[str, Any]) -> Any:
    return redaction.storable(redaction.redact(_plain(value)))


def _plain(value: Any) -> Any:
    """Only what JSON has, without nulls: other objects by their text, numbers beyond 64 bits too."""
    kind = type(value)
    if kind is str or kind is bool or kind is float or value is None:
        return value
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return str(value)


# the poorer line


def _clock() -> float:
    try:
        return time.time()
    except Exception:  # noqa: BLE001 - without a clock the ids still tell the order
        return 0.0


def _known_id(ending: object) -> str:
    try:
        record = part(ending, "record_id") or part(part(ending, "entry"), "id")
    except Exception:  # noqa: BLE001 - a broken ending
        record = None
    return record if isinstance(record, str) and UUID7.match(record) else new_record_id()


def _poorer_close(record: str, ending: object) -> dict[str, Any]:
    """Closed vocabulary and ids of our own alone: there is nothing in it to redact."""
    now = _clock()
    try:
        given, known = part(ending, "verdict"), part(ending, "entry")
        minted = part(known, "request_id") or part(part(ending, "evidence"), "request_id")
        received = part(known, "time")
    except Exception:  # noqa: BLE001 - a broken ending
        given = minted = received = None
    verdict = given if isinstance(given, Verdict) else NO_VERDICT
    plain = isinstance(minted, str) and minted.isascii() and minted.replace("_", "").isalnum()
    request = minted if plain else NO_REQUEST
    rule = OUTCOMES[verdict.outcome]
    words = {
        "outcome": verdict.outcome.value,
        "phase": verdict.phase.value,
        "cause": verdict.cause.value if verdict.cause else None,
        "fault": verdict.fault.value if verdict.fault else None,
    }
    words = {name: word for name, word in words.items() if word is not None}
    entry: dict[str, Any] = {
        "id": record,
        "request_id": request,
        "time": received if isinstance(received, float) else now,
        "direction": "egress" if request == NO_REQUEST else "ingress",
        "path": "",
        **words,
        "evidence": {"kind": verdict.outcome.value, "request_id": request, "notes": ["evidence-lost"]},
    }
    if verdict.outcome in CLIENT_LEFT_OUTCOMES:
        entry["status"] = 499
    line: dict[str, Any] = {"t": "close", "id": record, "at": now, "entry": entry}
    if rule.abnormal:
        entry["error"] = rule.message
        line["event"] = {
            "id": record,
            "time": now,
            "name": rule.name,
            "message": rule.message,
            "stack": "",
            "source": "server",
            "version": "unknown",
            "platform": PLATFORM,
            "context": {**entry["evidence"], **words},
            "request_id": request,
            "drill": False,
            "fingerprint": [rule.name, words.get("cause", ""), "", "", "before first byte"],
        }
    return line


def _encode_anyhow(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line)
    except Exception:  # noqa: BLE001 - the fast encoder is what broke
        return json.dumps(line).encode()


def _look() -> None:
    """The journal's and the recorder's figures, for /metrics."""
    kept = journal.state()
    metrics.keep("journal_dropped", kept.dropped)
    metrics.keep("journal_refused", kept.refused)
    metrics.keep("journal_lost", kept.lost)
    metrics.keep("records_degraded", state.degraded)
    metrics.keep("records_lost", state.lost)
    metrics.gauge("journal_backlog_bytes", kept.backlog_bytes)
    metrics.gauge("journal_bytes", kept.total_bytes)


metrics.lookers.append(_look)
