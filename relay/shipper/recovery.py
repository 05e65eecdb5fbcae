"""Ends what nobody else can end: requests whose process died without a close line become `relay-lost`.

What their open and live lines told is all that is known of them; the moment of death is not, so no duration is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.close_record import Ending, close_record, pruned
from relay.ending import Cause, Fault, Outcome, Phase, Verdict
from relay.shipper.segments import OpenRecord
from relay.shipper.storing import Item

TOLD = ("event_count", "attempts", "timeline", "heartbeats")  # of its evidence, by a request that was open for a while
UNTOLD = ("bytes_in", "chunks_in", "bytes_out", "chunks_out", "request_bytes", "attempt_count")
EVIDENCE = ("request_id", "client_request_id", "tag", "provider", "path", "model", "upstream_model", "client_status")


def lost(record: str, known: OpenRecord, process: Mapping[str, Any], now: float, version: str) -> Item:
    """Both records of a request whose process is gone. `process` is the `begin` line of its journal."""
    pid = process.get("pid")
    entry = known.entry
    if known.last_seen <= known.at:  # its figures are those of the moment when it began, which are no figures
        entry = {name: value for name, value in entry.items() if name not in UNTOLD}
    seen = known.last_seen - known.at
    verdict = Verdict(
        Outcome.RELAY_LOST,
        Cause.CRASH,
        _phase(entry.get("phase")),
        Fault.RELAY,
        f"process {pid or 'unknown'} died with the request open, last heard of {max(seen, 0.0):.1f} s after receipt",
    )
    evidence = _evidence(entry, seen, process)
    return item_of_ending(Ending(verdict=verdict, evidence=evidence, entry=entry, record_id=record), now, version)


def lost_elsewhere(record: str, entry: Mapping[str, Any], reason: str, now: float, version: str) -> Item:
    """Both records of a request whose journal is out of reach: its row in the audit log is all that is known."""
    verdict = Verdict(
        Outcome.RELAY_LOST,
        Cause.CRASH,
        _phase(entry.get("phase")),
        Fault.RELAY,
        reason,
    )
    evidence = {"kind": verdict.outcome.value, "relay": {"instance": entry.get("instance")}}
    evidence |= {name: entry[name] for name in EVIDENCE if entry.get(name) is not None}
    return item_of_ending(Ending(verdict=verdict, evidence=evidence, entry=entry, record_id=record), now, version)


def item_of_ending(ending: Ending, now: float, version: str) -> Item:
    """As the recorder would have written it. What comes from journal or database is redacted already."""
    line = pruned(close_record(ending, now, version))
    return Item([line["entry"]], [line["event"]] if "event" in line else [])


def _phase(word: Any) -> Phase:
    try:
        return Phase(word)
    except ValueError:
        return Phase.RECEIVING


def _evidence(entry: Mapping[str, Any], seen: float, process: Mapping[str, Any]) -> dict[str, Any]:
    """`seen`: seconds from receipt to when it was last heard of."""
    evidence: dict[str, Any] = {"kind": Outcome.RELAY_LOST.value}
    told = entry.get("evidence")
    if isinstance(told, Mapping):
        evidence |= {name: told[name] for name in TOLD if told.get(name) is not None}
    evidence |= {name: entry[name] for name in EVIDENCE if entry.get(name) is not None}
    if entry.get("credential") is not None:
        evidence["credential"] = {"id": entry.get("credential_id"), "label": entry["credential"]}
    for name, column in (("written_bytes", "bytes_out"), ("written_chunks", "chunks_out")):
        if entry.get(column) is not None:
            evidence[name] = entry[column]
    moments = evidence.get("timeline")
    evidence["timeline"] = {
        **(moments if isinstance(moments, Mapping) else {}),
        "last_known": round(max(seen, 0.0) * 1000, 3),
    }
    evidence["relay"] = {
        "process": process.get("pid"),
        "instance": process.get("instance"),
        "version": process.get("version") or "unknown",
    }
    return evidence
