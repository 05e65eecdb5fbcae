"""One page, asked for as a browser would, in this process: how long it took, and what it asked of the database."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.test import Client

LARGE = ("auditlog_auditentry", "errorlog_errorevent")
COUNTS = re.compile(r"^SELECT COUNT\([^)]*\)[^?]*FROM \"(?P<table>\w+)\"(?P<rest>.*)", re.DOTALL)


@dataclass(slots=True)
class Queries:
    """Collects the statements of one page."""

    found: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.found.append((time.perf_counter() - began, sql))

    def faults(self) -> list[str]:
        """What no page may do: count a large table whole, or skip rows."""
        found = []
        for _, sql in self.found:
            counted = COUNTS.match(sql)
            if counted and counted["table"] in LARGE and " WHERE " not in counted["rest"]:
                found.append("COUNT")
            if re.search(r" OFFSET [1-9]", sql):
                found.append("OFFSET")
        return sorted(set(found))


@dataclass(frozen=True, slots=True)
class Measure:
    """What a page took, in milliseconds: its best and median time, this process's CPU, its queries and the slowest of them.

    On a machine that does other things too the best time is the one that says something of the page.
    """

    name: str
    best: float
    median: float
    cpu: float
    queries: int
    database: float
    slowest: float
    sql: str
    faults: list[str]


def measure(client: Client, name: str, address: str, times: int, **headers: str) -> Measure:
    """Asks `times` times, after once for warming up.

    Raises:
        RuntimeError: the answer is not a 200.
    """
    taken: list[float] = []
    used: list[float] = []
    asked: list[float] = []
    queries = Queries()
    for turn in range(times + 1):
        queries = Queries()
        began, cpu = time.perf_counter(), time.process_time()
        with connection.execute_wrapper(queries):
            response = client.get(address, headers=headers)
            if response.streaming:
                _first(response.streaming_content)
        if response.status_code != 200:
            raise RuntimeError(f"{name}: {address} answered {response.status_code}")
        if turn:
            taken.append((time.perf_counter() - began) * 1000)
            used.append((time.process_time() - cpu) * 1000)
            asked.append(sum(took for took, _ in queries.found) * 1000)
    slowest, sql = max(queries.found, default=(0.0, ""))
    return Measure(
        name,
        best=min(taken),
        median=statistics.median(taken),
        cpu=min(used),
        queries=len(queries.found),
        database=min(asked),
        slowest=slowest * 1000,
        sql=sql,
        faults=queries.faults(),
    )


def _first(content: Any) -> None:
    """The first block of a download: what the person waits for."""
    if hasattr(content, "__aiter__"):

        async def one(blocks: AsyncIterator[bytes]) -> None:
            async for _ in blocks:
                break

        asyncio.run(one(content))
    else:
        next(iter(content), b"")
