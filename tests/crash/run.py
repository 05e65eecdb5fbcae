"""The crash test: requests of all kinds while parts of the gateway are killed at random, then the judge.

    make crash                       10,000 requests on SQLite, a new seed
    python -m tests.crash --requests 2000 --seed 7 --database postgres://me@127.0.0.1/empty_database

The seed decides the requests and the order of the blows; when a blow falls also depends on the machine.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from tqdm import tqdm

from relay.rehearsal.server import FaultServer
from tests.crash.callers import Caller, Told
from tests.crash.havoc import Havoc
from tests.crash.judge import Judgement, judge
from tests.crash.kinds import Request, requests
from tests.gateways import Gateway, usual

AT_ONCE = 48


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one run."""

    judgement: Judgement
    blows: dict[str, int]
    exit_code: int
    journals: list[str]  # what was left of the journals after a clean stop
    seconds: float


def run(count: int, seed: int, folder: Path, database: str = "", small: bool = False) -> Result:
    """One run in `folder`; `database` is the URL of an empty PostgreSQL database, else it is SQLite.

    A `small` one strikes more often, never kills everything at once (which takes seconds), and shows no progress.
    """
    began = time.monotonic()
    with FaultServer().run_in_thread() as upstream, _gateway(upstream.url, folder, database) as gateway:
        dice = random.Random(seed)
        asked = requests(count, dice)
        havoc = Havoc(gateway, database, dice, not small, (0.2, 0.8) if small else (0.5, 2.5))
        told = asyncio.run(_ask_all(gateway.port, asked, havoc, small))
        exit_code = gateway.stop(60)
        judgement = judge(told, lambda query: _rows(gateway, database, query))
        left = [path.name for path in (gateway.data / "journal").iterdir() if path.is_dir() and path.name != "bad"]
    return Result(judgement, dict(havoc.blows), exit_code, left, time.monotonic() - began)


@contextmanager
def _gateway(url: str, folder: Path, database: str) -> Iterator[Gateway]:
    settings = {"WORKERS": "3", "DRAIN_SECONDS": "5"} | ({"DATABASE_URL": database} if database else {})
    gateway = Gateway(folder, usual(url), **settings)
    try:
        yield gateway
    finally:
        gateway.end()


async def _ask_all(port: int, asked: list[Request], havoc: Havoc, quiet: bool) -> list[Told]:
    told: list[Told] = []
    waiting = iter(asked)
    bar = tqdm(total=len(asked), disable=quiet, unit="request", smoothing=0.05)

    async def work() -> None:
        caller = Caller(port)
        for request in waiting:
            told.append(await caller.ask(request))
            bar.update()
            bar.set_postfix(havoc.blows, refresh=False)
        caller.leave()

    striking = asyncio.ensure_future(havoc.run())
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    striking.cancel()
    await asyncio.wait([striking])
    bar.close()
    if not striking.cancelled():
        striking.result()
    return told


def _rows(gateway: Gateway, database: str, query: str) -> list[tuple[Any, ...]]:
    if database:
        with psycopg.connect(database) as server:
            return server.execute(query).fetchall()  # type: ignore[arg-type]
    with closing(sqlite3.connect(gateway.data / "epitaph.sqlite3")) as file:
        return file.execute(query).fetchall()
