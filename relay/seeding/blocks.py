"""How a sample of requests becomes any number of them: block by block, each a stretch of the sample moved to its own time.

Inventing a request takes longer than storing it, so some tens of thousands are invented, and the database makes
the rest of them (`audit`). Times and ids are whole numbers here, so that the database and Python come to the same ones.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from relay.seeding.traffic import Request, when

SAMPLE = 40_000
BLOCK = 10_000


@dataclass(frozen=True, slots=True)
class Block:
    """`size` requests of the sample from its place `first`, which begin at `start` and take `width` (microseconds)."""

    number: int  # requests before it
    first: int
    size: int
    start: int
    width: int

    def time(self, place: int) -> int:
        """When the request at a place of the sample comes, in microseconds."""
        return self.start + self.width * (place - self.first) // self.size

    def copy(self, request: Request, place: int) -> Request:
        """The request at a place of the sample, as it is in this block."""
        micros = self.time(place)
        return replace(request, id=self.id(request, place), time=micros / 1e6)

    def id(self, request: Request, place: int) -> str:
        """A UUIDv7: the time, the number of the request, and the noise of the sample's own."""
        number = self.number + place - self.first
        return f"{self.time(place) // 1000:012x}{request.id[12:16]}8{number:07x}{request.id[24:]}"


def blocks(count: int, sample: int, days: float, until: float, seed: int) -> Iterator[Block]:
    """The blocks of `count` requests over `days` until then, oldest first."""
    chance = random.Random(seed)  # noqa: S311 - invented traffic
    size = max(min(BLOCK, sample), 1)
    start = int(when(0.0, days, until) * 1e6)
    for number in range(0, count, size):
        taken = min(size, count - number)
        end = max(int(when((number + taken) / count, days, until) * 1e6), start)
        yield Block(number, chance.randrange(sample - taken + 1), taken, start, end - start)
        start = end
