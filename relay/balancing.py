"""Which of a route's candidates is tried first, and how many requests use each of them.

All of it is this process's own: no lock, no database, nothing that waits. What a limit allows is shared out among the
workers, so that together they keep it; a limit below their number still allows each of them one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import orjson
from django.conf import settings

from relay.snapshot import CredentialSpec, RouteSpec, UpstreamSpec

Key = tuple[int, int | None]  # an upstream and one of its credentials
Countable = Key | tuple[str, int]  # or ("client", a client key's id)

_in_use: dict[Countable, int] = {}
_turns: dict[int, dict[int, int]] = {}  # by route, how far each upstream's turn is; see _next_turn
_credential_turns: dict[int, int] = {}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One thing to try. `cooling`: it failed lately, and is here because all that is better may fail too."""

    upstream: UpstreamSpec
    credential: CredentialSpec
    cooling: bool = False
    weight: int = 1

    @property
    def key(self) -> Key:
        return self.upstream.id, self.credential.id


class Place:
    """One request's use of a candidate, or of what its client key may use, until the first `leave`."""

    __slots__ = ("_key",)

    def __init__(self, key: Countable) -> None:
        self._key: Countable | None = key
        _in_use[key] = _in_use.get(key, 0) + 1

    def leave(self) -> None:
        """The request is done with it. A second call does nothing."""
        key, self._key = self._key, None
        if key is not None:
            left = _in_use[key] - 1
            if left:
                _in_use[key] = left
            else:
                del _in_use[key]


def take(candidate: Candidate) -> Place | None:
    """A place at the candidate; None when as many requests use it as may."""
    return take_within(candidate.credential.max_concurrency, candidate.key)


def take_within(limit: int | None, key: Countable) -> Place | None:
    """A place, while there are fewer of this process than its share of the limit."""
    if limit is not None and taken(key) >= max(1, limit // settings.WORKERS):
        return None
    return Place(key)


def in_use(candidate: Candidate) -> int:
    """How many requests of this process use it now."""
    return taken(candidate.key)


def taken(key: Countable) -> int:
    """How many places of this process there are for it now."""
    return _in_use.get(key, 0)


def conversation(body: Mapping[str, Any], variant_hash: str | None) -> str:
    """What tells one conversation from another: the client's own name for it, else its instructions and how it opens."""
    metadata = body.get("metadata")
    named = (body.get("prompt_cache_key"), body.get("conversation"), isinstance(metadata, dict) and metadata.get("user_id"))
    for name in named:
        if isinstance(name, dict):
            name = name.get("id")
        if isinstance(name, str) and name:
            return name
    turns = next((body[field] for field in ("messages", "input", "contents") if body.get(field)), "")
    if isinstance(turns, list):
        asked = (turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "user")
        turns = next(asked, turns[0])
    return f"{variant_hash} {orjson.dumps(turns, default=str).decode()}"


def ranked(route: RouteSpec, found: list[Candidate], affinity: str) -> list[Candidate]:
    """The candidates in the order that the route's strategy gives; `affinity` tells conversations apart."""
    if len(found) < 2:
        return found
    if route.strategy == "least-busy":
        return sorted(found, key=lambda item: (in_use(item) + 1) / item.weight)
    if route.strategy == "sticky" and affinity:
        return sorted(found, key=_drawn(affinity), reverse=True)
    if route.strategy == "round-robin":
        return _in_turn(route, found)
    return found


def _drawn(affinity: str) -> Callable[[Candidate], float]:
    """Rendezvous hashing by weight: when a candidate comes or goes, only the conversations that it had move."""

    def score(item: Candidate) -> float:
        text = f"{affinity}\0{item.upstream.id}\0{item.credential.id}".encode("utf-8", "surrogatepass")
        drawn = (int.from_bytes(blake2b(text, digest_size=8).digest()) + 1) / (2**64 + 1)
        return -item.weight / math.log(drawn)

    return score


def _in_turn(route: RouteSpec, found: Sequence[Candidate]) -> list[Candidate]:
    """The upstream whose turn it is first, then those after it; within each, its credentials in turn."""
    weights = {item.upstream.id: item.weight for item in found}
    first = _next_turn(_turns.setdefault(route.id, {}), weights)
    order = list(weights)
    start = order.index(first)
    ranked: list[Candidate] = []
    for upstream in order[start:] + order[:start]:
        own = [item for item in found if item.upstream.id == upstream]
        turn = _credential_turns.get(upstream, 0)
        if upstream == first:
            _credential_turns[upstream] = turn + 1
        turn %= len(own)
        ranked += own[turn:] + own[:turn]
    return ranked


def _next_turn(standing: dict[int, int], weights: dict[int, int]) -> int:
    """Smooth weighted round robin: each gains its weight, the highest goes and pays what all gained together."""
    for gone in standing.keys() - weights.keys():
        del standing[gone]
    for upstream, weight in weights.items():
        standing[upstream] = standing.get(upstream, 0) + weight
    first = max(weights, key=lambda upstream: standing[upstream])
    standing[first] -= sum(weights.values())
    return first
