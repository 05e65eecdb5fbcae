"""One row of the list: each cell's words, marks and links. Pure; the template writes them down and escapes them.

What must stay true: colour says whose fault, never which outcome; a row opens and reads whatever its evidence holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from django.utils.safestring import SafeString

from auditlog.entries import NORMAL_OUTCOMES
from auditlog.listing import Listing
from auditlog.models import EGRESS, AuditEntry
from proxy_project.drawing import phases_bar
from proxy_project.figures import lasted, money, number
from proxy_project.phases import mapping

FAULTS = ("upstream", "client", "relay", "operator", "unknown")
CELLS = ("outcome", "cause", "fault", "model", "provider", "credential", "client_key")
LONG_GAP = 10_000.0  # ms; a silence inside a completed stream that is worth a word


@dataclass(frozen=True, slots=True)
class Mark:
    """The sign of an ending: the shape's id, the class that colours it, and the fault that the row is coloured by."""

    shape: str
    css: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the list."""

    entry: AuditEntry
    mark: Mark
    day: str  # where it is not today
    remark: str  # a few words under the ending
    ttft: str
    took: str
    bar: SafeString
    cost: str
    only: dict[str, str]  # by column: the address that filters by this row's value
    without: dict[str, str]  # by column: the address that excludes it


def row(view: Listing, entry: AuditEntry) -> Row:
    """The row of `entry`, with links into `view`."""
    known = [(name, value) for name in CELLS if (value := getattr(entry, name))]
    evidence = mapping(entry.evidence)
    at = timezone.localtime(entry.time)
    return Row(
        entry,
        mark(entry),
        "" if at.date() == timezone.localdate() else f"{at:%-d %b %Y}",
        _remark(entry, evidence),
        lasted(entry.ttft_ms),
        lasted(entry.duration_ms),
        phases_bar(evidence, outcome=entry.outcome or "", fault=mark(entry).fault) if entry.outcome else SafeString(""),
        money(entry.cost) if entry.cost is not None else "",
        {name: view.only(name, value) for name, value in known},
        {name: view.without(name, value) for name, value in known},
    )


def mark(entry: AuditEntry) -> Mark:
    """Round marks for normal endings, the fault's sign for all others, none while it is open."""
    if entry.outcome is None:
        return Mark("", "")
    if entry.outcome in NORMAL_OUTCOMES:
        return Mark(f"outcome-{entry.outcome}", f"o-{entry.outcome}")
    fault = entry.fault if entry.fault in FAULTS else "unknown"
    return Mark(f"fault-{fault}", f"t-{fault}", fault)


def _remark(entry: AuditEntry, evidence: Any) -> str:
    """What a normal ending has beneath it; an abnormal one has its cause and fault there."""
    if entry.outcome is None:
        return entry.phase or ""
    if entry.outcome == "rejected":
        return str(entry.client_status or entry.status or "")
    if entry.outcome == "incomplete":
        return str(evidence.get("finish_reason") or "").replace("_", " ").lower()[:40]
    if entry.outcome != "completed":
        return ""
    longest = number(mapping(evidence.get("gaps")).get("longest_ms")) or 0.0
    if longest >= LONG_GAP:
        return f"longest gap {lasted(longest)}"
    if entry.stream is False:
        return "not streamed"
    return f"cached {entry.cached_tokens:,}" if entry.cached_tokens else ""


def attempts_label(entry: AuditEntry) -> str:
    """`×2` where there was more than one attempt."""
    return f"×{entry.attempt_count}" if (entry.attempt_count or 0) > 1 and entry.direction != EGRESS else ""
