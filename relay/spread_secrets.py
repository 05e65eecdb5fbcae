"""A secret that a model spread over several events of its answer, masked in each of them. Pure.

Redaction reads one text at a time, and half a key is no key. So the texts that stand in the same place of successive events
are read as the one text that they make (the deltas of a choice, a block, a tool's arguments), and what is a secret in it is
taken out of the events that carry it: the first keeps the mask, the others lose their part. Only those events are written
anew; all else stays byte for byte. Works on whatever holds JSON objects one after the other: SSE, lines, an array, frames.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from errorlog.redaction import mask, secret_spans

DEEPEST = 10  # levels of an event that are read
MOST_FAILURES = 100  # places that look like an object and are none, before the rest is left alone
TELLS_APART = ("index", "output_index", "content_index", "item_id")  # two texts of one event's place are two by these

Path = tuple[str | int, ...]


@dataclass(slots=True)
class Event:
    """One object of the answer, and where it stands."""

    start: int
    end: int
    value: Any
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Piece:
    """A text of an event: the holder and the key under which it stands, and where it begins in the text that all make."""

    event: Event
    holder: Any
    key: str | int
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def without_spread_secrets(answer: str) -> str:
    """The answer, as it was but for secrets that two or more of its events share."""
    events = list(_events(answer))
    if len(events) < 2:
        return answer
    places: dict[tuple[Any, ...], list[Piece]] = defaultdict(list)
    for event in events:
        for where, holder, key in _texts(event.value, (), 0):
            pieces = places[where]
            pieces.append(Piece(event, holder, key, holder[key], pieces[-1].end if pieces else 0))
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
        except (ValueError, RecursionError):
            failures += 1
            end = answer.find("\n", at)
            if end < 0:
                return
        else:
            yield Event(at, end, value)
        at = answer.find("{", end)


def _texts(value: Any, where: tuple[Any, ...], depth: int) -> Iterator[tuple[tuple[Any, ...], Any, str | int]]:
    """Every text of an event: its place, and how to get at it."""
    if depth > DEEPEST:
        return
    if isinstance(value, dict):
        where = (*where, *(value[name] for name in TELLS_APART if isinstance(value.get(name), str | int)))
        pairs: Any = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)
    else:
        return
    for key, item in list(pairs):
        if isinstance(item, str):
            yield (*where, key), value, key
        else:
            yield from _texts(item, (*where, key), depth + 1)


def _mask(pieces: list[Piece]) -> None:
    whole = "".join(piece.text for piece in pieces)
    shared = [
        (start, end)
        for start, end in secret_spans(whole)
        if not any(piece.start <= start and end <= piece.end for piece in pieces)
    ]
    if not shared:
        return
    for piece in pieces:
        kept, at = "", piece.start
        for start, end in shared:
            if start < piece.end and end > piece.start:
                kept += whole[at : max(start, piece.start)]
                kept += mask(whole[start:end]) if start >= piece.start else ""
                at = min(end, piece.end)
        if at > piece.start:
            piece.holder[piece.key] = kept + whole[at : piece.end]
            piece.event.changed = True


def _written(answer: str, events: list[Event]) -> str:
    parts, at = [], 0
    for event in events:
        if event.changed:
            parts += [answer[at : event.start], json.dumps(event.value, ensure_ascii=False, separators=(",", ":"))]
            at = event.end
    return "".join([*parts, answer[at:]])
