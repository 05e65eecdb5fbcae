"""Where the time of one request went: evidence (docs/endings.md) in, stretches of the upstream's lane out. Pure.

Evidence may lack any field or hold nonsense (it may have been redacted, or cut): every field is read with care, and what
cannot be placed is left out. All times are milliseconds from receipt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from proxy_project.figures import number

GAP_LEAST = 1000.0  # ms; a gap inside the stream stands out when it is longer …
GAP_TIMES = 5.0  # … and so many times the stream's median gap


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the upstream's lane, in ms from receipt. `kind`: failed, connect, wait, stream, gap or silence."""

    kind: str
    start: float
    end: float
    label: str

    @property
    def lasted(self) -> float:
        return self.end - self.start


def ended_at(evidence: Mapping[str, Any]) -> float:
    """When the request ended, in ms from receipt; the latest offset known if that is missing, 0 if none is."""
    at = offsets(evidence)
    return at.get("ended") or max(at.values(), default=0.0)


def parts_of(evidence: Mapping[str, Any]) -> list[Part]:
    """What the upstream's lane shows, from left to right."""
    at = offsets(evidence)
    ended = ended_at(evidence)
    parts = list(_failed_attempts(evidence, at, ended))
    free_from = parts[-1].end if parts else at.get("routed", 0.0)
    start = at.get("connect_start", at.get("connected"))
    connected = at.get("connected")
    first = at.get("first_event", at.get("first_upstream_byte"))
    if start is not None:
        reused = _last_attempt(evidence).get("reused") is True
        parts.append(Part("connect", start, connected or first or ended, "connect (reused)" if reused else "connect"))
        free_from = parts[-1].end
    asked = connected is not None or "request_sent" in at or first is not None
    if asked:
        label = "waiting for the first event" if first is not None else "waiting; nothing came"
        parts.append(Part("wait", max(free_from, min(connected or free_from, ended)), ended if first is None else first, label))
    if first is not None:
        parts += _streaming(evidence, at, first, ended)
    return [part for part in parts if part.end > part.start or part.kind == "stream"]  # one burst is a stream of no length


def _failed_attempts(evidence: Mapping[str, Any], at: Mapping[str, float], ended: float) -> Iterator[Part]:
    """Every attempt but the last, one after the other: attempts carry how long they took, not when they began."""
    limit = at.get("connect_start", at.get("connected", ended))
    start = at.get("routed", 0.0)
    for place, attempt in enumerate(attempts(evidence)[:-1], 1):
        end = min(start + (number(attempt.get("ms")) or 0.0), limit)
        why = attempt.get("status") if number(attempt.get("status")) is not None else attempt.get("cause")
        yield Part("failed", start, end, f"attempt {place}: {why or 'failed'}")
        start = end


def _streaming(evidence: Mapping[str, Any], at: Mapping[str, float], first: float, ended: float) -> Iterator[Part]:
    """From the first event: streaming, the longest gap if it stands out, and the silence that came before the end."""
    last = max(first, at.get("terminal_event", at.get("last_upstream_byte", first)))
    gaps = mapping(evidence.get("gaps"))
    longest, began = number(gaps.get("longest_ms")), number(gaps.get("longest_began"))
    if longest and began is not None and first <= began and began + longest <= last + 1:
        if longest > GAP_LEAST and longest > GAP_TIMES * (number(gaps.get("median_ms")) or 0.0):
            if began > first:
                yield Part("stream", first, began, "streaming")
            yield Part("gap", began, began + longest, "longest gap inside the stream")
            first = began + longest
    yield Part("stream", first, last, "streaming")
    silence = ended - last
    if "terminal_event" not in at and silence > max(0.02 * ended, 50.0):
        yield Part("silence", last, ended, "silence until the end")


# evidence, read with care


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def offsets(evidence: Mapping[str, Any]) -> dict[str, float]:
    """The timeline's moments, none before receipt and none after the end."""
    given = {name: number(value) for name, value in mapping(evidence.get("timeline")).items()}
    known = {name: max(value, 0.0) for name, value in given.items() if value is not None}
    ended = known.get("ended")
    return known if not ended else {name: min(value, ended) for name, value in known.items()}


def attempts(evidence: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = evidence.get("attempts")
    return [mapping(item) for item in given] if isinstance(given, list | tuple) else []


def _last_attempt(evidence: Mapping[str, Any]) -> Mapping[str, Any]:
    made = attempts(evidence)
    return made[-1] if made else {}
