"""What kills parts of a running gateway at random: workers, the shipper, its database connections, and now and then all."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing

import psycopg

from tests.crash.conftest import processes
from tests.gateways import Gateway

LOCKED = (0.2, 3.0)  # seconds for which SQLite's writers are kept out


class Havoc:
    """Strikes until it is cancelled. `blows` counts what was struck."""

    def __init__(
        self, gateway: Gateway, database: str, dice: random.Random, everything: bool, pauses: tuple[float, float]
    ) -> None:
        """`pauses`: the least and the most seconds between two blows; `everything`: whether all may be killed at once."""
        self.gateway = gateway
        self.database = database
        self.dice = dice
        self.pauses = pauses
        self.blows: Counter[str] = Counter()
        self._choices = ["worker"] * 6 + ["shipper"] * 3 + ["database"] * 3 + (["everything"] if everything else [])

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.dice.uniform(*self.pauses))
            what = self.dice.choice(self._choices)
            await getattr(self, f"_{what}")()
            self.blows[what] += 1

    async def _worker(self) -> None:
        self._kill("worker")

    async def _shipper(self) -> None:
        self._kill("shipper")

    def _kill(self, name: str) -> None:
        found = sorted(pid for own, pid in processes(self.gateway).items() if own.startswith(name))
        if found:
            os.kill(self.dice.choice(found), signal.SIGKILL)

    async def _everything(self) -> None:
        self.gateway.kill()
        await asyncio.to_thread(self.gateway.start)

    async def _database(self) -> None:
        await asyncio.to_thread(self._cut if self.database else self._lock, self.dice.uniform(*LOCKED))

    def _cut(self, _: float) -> None:
        """Every connection that the gateway has to PostgreSQL is ended by the server."""
        with psycopg.connect(self.database, autocommit=True) as server:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def _lock(self, seconds: float) -> None:
        """Another writer holds SQLite: who would write must wait."""
        with closing(sqlite3.connect(self.gateway.data / "epitaph.sqlite3", timeout=20, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            asyncio.run(asyncio.sleep(seconds))
            database.execute("ROLLBACK")
