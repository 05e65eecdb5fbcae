"""A secret that a model spread over several events of its answer, masked in each of them. Pure.

Redaction reads one text at a time, and half a key is no key. So the texts that stand in the same place of successive events
are read as the one text that they make (the deltas of a choice, a block, a tool's arguments), and what is a secret in it is
taken out of the events that carry it: the first keeps the mask, the others lose their part. Only those events are written
anew; all else stays byte for byte. Works on whatever holds JSON objects one after the other: SSE, lines, an array, frames.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from errorlog.redaction import mask, secret_spans

DEEPEST = 10  # levels of an event that are read
MOST_FAILURES = 100  # places that look like an object and are none, before the rest is left alone
TELLS_APART = frozenset({"output_index", "content_index", "item_id"})  # as `index` does: two texts of one place are two by these
TORN = 8  # characters that one value may lack: an error so near to the end is the end's (`fals`, `\u00e`, `-Infinit`)


@dataclass(slots=True)
class Event:
    """One object of the answer, and where it stands."""

    start: int
    end: int
    value: Any
    changed: bool = False


Piece = tuple[Event, Any, str | int]  # a text of an event: the holder and the key under which it stands


def without_spread_secrets(answer: str, *, cut: bool = False) -> str:
    """The answer, as it was but for secrets that two or more of its events share.

    One that was cut goes as far as its last whole event: the half of a secret may stand in the event that was torn. Without
    any event it goes as far as its last line.
    """
    events = list(_events(answer))
    if cut:
        answer = answer[: events[-1].end if events else answer.rfind("\n") + 1 or None]
    if len(events) < 2:
        return answer
    places: dict[tuple[Any, ...], list[Piece]] = defaultdict(list)
    for event in events:
        _gather(event.value, _place(event.value, 0), event, places, DEEPEST)
    for pieces in places.values():
        if len(pieces) > 1:
            _mask(pieces)
    return _written(answer, events)


def _events(answer: str) -> Iterator[Event]:
    decode = json.JSONDecoder().raw_decode
    at, failures = answer.find("{"), 0
    while at >= 0 and failures < MOST_FAILURES:
        try:
            value, end = decode(answer, at)
        except (ValueError, RecursionError) as error:
            if _is_torn(error, answer):
                return  # what stands within it are parts of an event, and no events
            failures += 1
            end = answer.find("\n", at)
            if end < 0:
                return
        else:
            yield Event(at, end, value)
        at = answer.find("{", end)


def _is_torn(error: Exception, answer: str) -> bool:
    """Whether an object was right as far as it goes, and the answer's end is what it failed at."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(answer) - TORN


def _gather(value: Any, where: tuple[Any, ...], event: Event, places: dict[tuple[Any, ...], list[Piece]], levels: int) -> None:
    """Puts every text of an event among those of its place."""
    in_list = isinstance(value, list)
    # An item of a list is the one that its index says, wherever it stands. Who writes no zero leaves out the first one's.
    indexed = in_list and len(value) > 1 and any(isinstance(item, dict) and "index" in item for item in value)
    for key, item in enumerate(value) if in_list else value.items():
        if isinstance(item, str):
            places[(*where, key)].append((event, value, key))
        elif levels and isinstance(item, dict):
            place = _place(item, 0 if indexed else key) if in_list else (key, *_place(item, 0))
            _gather(item, (*where, *place), event, places, levels - 1)
        elif levels and isinstance(item, list):
            _gather(item, (*where, key), event, places, levels - 1)


def _place(value: dict[str, Any], unsaid: int) -> tuple[Any, ...]:
    """What tells an object apart from others that stand where it stands."""
    index = value.get("index", unsaid)
    if not isinstance(index, str | int):
        index = unsaid
    if TELLS_APART.isdisjoint(value):
        return (index,)
    return (index, *[value[name] for name in value if name in TELLS_APART and isinstance(value[name], str | int)])


def _mask(pieces: list[Piece]) -> None:
    whole = "".join([holder[key] for _, holder, key in pieces])
    spans = secret_spans(whole)
    if not spans:
        return
    ends = list(accumulate(len(holder[key]) for _, holder, key in pieces))
    shared = [(start, end) for start, end in spans if bisect_right(ends, start) != bisect_left(ends, end)]
    first = 0
    for (event, holder, key), last in zip(pieces, ends, strict=True):
        kept, at = "", first
        for start, end in shared:
            if start < last and end > first:
                kept += whole[at : max(start, first)] + (mask(whole[start:end]) if start >= first else "")
                at = min(end, last)
        if at > first:
            holder[key] = kept + whole[at:last]
            event.changed = True
        first = last


def _written(answer: str, events: list[Event]) -> str:
    parts, at = [], 0
    for event in events:
        if event.changed:
            parts += [answer[at : event.start], json.dumps(event.value, ensure_ascii=False, separators=(",", ":"))]
            at = event.end
    return "".join([*parts, answer[at:]])
