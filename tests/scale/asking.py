"""One page, asked for as a browser would, in this process: how long it took, and what it asked of the database."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
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
    """What a page took, in milliseconds: its best and median time, the CPU of this process and of the database's, its queries.

    On a machine that does other things too the two CPU times are what say something of the page: together they are about
    what it takes when the machine is idle.
    """

    name: str
    best: float
    median: float
    cpu: float
    server: float
    queries: int
    database: float
    slowest: float
    sql: str
    faults: list[str]
    bounded: bool  # the search was not over when its time was: the page says how far it looked


def measure(client: Client, name: str, address: str, times: int, **headers: str) -> Measure:
    """Asks `times` times, after once for warming up.

    Raises:
        RuntimeError: the answer is not a 200.
    """
    taken: list[float] = []
    used: list[float] = []
    served: list[float] = []
    asked: list[float] = []
    queries = Queries()
    for turn in range(times + 1):
        queries = Queries()
        began, cpu, server = time.perf_counter(), time.process_time(), _server_cpu()
        with connection.execute_wrapper(queries):
            response = client.get(address, headers=headers)
            if response.streaming:
                _first(response.streaming_content)
        if response.status_code != 200:
            raise RuntimeError(f"{name}: {address} answered {response.status_code}")
        if turn:
            taken.append((time.perf_counter() - began) * 1000)
            used.append((time.process_time() - cpu) * 1000)
            served.append(_server_cpu() - server)
            asked.append(sum(took for took, _ in queries.found) * 1000)
    slowest, sql = max(queries.found, default=(0.0, ""))
    return Measure(
        name,
        best=min(taken),
        median=statistics.median(taken),
        cpu=min(used),
        server=min(served),
        queries=len(queries.found),
        database=min(asked),
        slowest=slowest * 1000,
        sql=sql,
        faults=queries.faults(),
        bounded=not response.streaming and b"look=further" in response.content,
    )


def _server_cpu() -> float:
    """What PostgreSQL's process for this connection has used, in milliseconds; 0 where it is on another machine, or SQLite."""
    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    used = Path(f"/proc/{connection.connection.info.backend_pid}/schedstat")
    return int(used.read_text().split()[0]) / 1e6 if used.exists() else 0.0


def _first(content: Any) -> None:
    """The first block of a download: what the person waits for."""
    if hasattr(content, "__aiter__"):

        async def one(blocks: AsyncIterator[bytes]) -> None:
            async for _ in blocks:
                break

        asyncio.run(one(content))
    else:
        next(iter(content), b"")
