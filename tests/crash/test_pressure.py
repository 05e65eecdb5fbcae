"""Readers that stop, events of many megabytes, clients that leave by the thousand: the gateway stays small and keeps nothing.

Each prints its figure (`pytest -s`, or the report of a failure).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.crash.conftest import Caller, processes, recorded, until
from tests.crash.test_metrics import figure
from tests.gateways import KEY, Gateway

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(240)]
MB = 1 << 20
READERS = 20
LEAVERS = 1000


class Memory:
    """The resident memory of the one worker, in bytes."""

    def __init__(self, gateway: Gateway) -> None:
        self.folder = Path(f"/proc/{processes(gateway)['worker 1']}")
        Caller(gateway, "ok", "warm").wait()

    def now(self) -> int:
        return self._status("VmRSS:")

    def most(self) -> int:
        """The most since `forget`."""
        return self._status("VmHWM:")

    def forget(self) -> None:
        (self.folder / "clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        line = next(line for line in (self.folder / "status").read_text().splitlines() if line.startswith(name))
        return int(line.split()[1]) * 1024


def test_twenty_readers_that_stop_before_200_mb_each_cost_little_and_are_ended(start: Callable[..., Gateway]) -> None:
    gateway = start(write_timeout=4)
    memory = Memory(gateway)
    before = memory.now()
    memory.forget()
    readers = [Caller(gateway, "flood,bytes=200000000", f"stopped-{number}", read=False) for number in range(READERS)]
    for reader in readers:
        assert reader.sock.recv(2048)
    endings = [recorded(gateway, reader.name, 60) for reader in readers]
    grown = memory.most() - before
    print(f"{READERS} readers that stopped before 200 MB each: {grown / MB:.1f} MB more at most")
    for ending in endings:
        assert ending[:3] == ("client-write-failed", "write-timeout", "client")
        assert ending.events == ["StreamClientWriteFailed"]
        assert ending.evidence["written_bytes"] < 20 * MB
    assert grown < READERS * 2 * MB
    for reader in readers:
        reader.sock.close()
    Caller(gateway, "ok", "after").wait()
    assert recorded(gateway, "after").outcome == "completed"


def test_an_event_of_60_mb_passes_in_bounded_memory_and_one_over_64_mib_is_told(start: Callable[..., Gateway]) -> None:
    gateway = start()
    memory = Memory(gateway)
    before = memory.now()
    for turn in range(2):
        memory.forget()
        size = 0
        with _streamed(gateway, "big-event,bytes=60000000", f"big-{turn}") as answer:
            for part in answer.iter_raw():
                size += len(part)
        print(
            f"an event of 60 MB: {(memory.most() - before) / MB:.0f} MB more at most, {(memory.now() - before) / MB:.0f} MB after"
        )
        assert size > 60_000_000
        assert recorded(gateway, f"big-{turn}").outcome == "completed"
        assert memory.most() - before < 5 * 64 * MB
    with _streamed(gateway, "oversized,bytes=200000000", "oversized") as answer:
        told = b"".join(answer.iter_raw())
    assert b'"error"' in told[-2000:]
    assert memory.most() - before < 5 * 64 * MB
    assert recorded(gateway, "oversized")[:2] == ("upstream-error", "oversized-event")


def _streamed(gateway: Gateway, model: str, name: str) -> contextlib.AbstractContextManager[httpx.Response]:
    body = {"model": model, "stream": True, "messages": []}
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": name}
    return httpx.stream("POST", f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


async def _leave(gateway: Gateway, name: str, dice: random.Random, turns: asyncio.Semaphore) -> None:
    """Asks, and goes at any moment of an answer of some 50 ms, in any way."""
    model = dice.choice(["ok,events=10,gap_ms=5", "late,seconds=0.05", "terminal-then-open,seconds=0.2", "closed-port"])
    body = b'{"model": "%s", "stream": %s, "messages": []}' % (model.encode(), dice.choice([b"true", b"false"]))
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\nx-request-id: {name}\r\n"
    async with turns:
        _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
        await asyncio.sleep(dice.uniform(0, 0.08))
        if dice.random() < 0.5:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.close()


def test_a_thousand_clients_that_leave_anywhere_leave_nothing_behind(start: Callable[..., Gateway]) -> None:
    gateway = start()
    memory = Memory(gateway)
    dice = random.Random(20251125)

    async def all_of_them(wave: str, count: int) -> None:
        turns = asyncio.Semaphore(50)
        await asyncio.gather(*(_leave(gateway, f"{wave}-{number}", dice, turns) for number in range(count)))

    def at_rest() -> tuple[float, int]:
        until(lambda: figure(gateway, "epitaph_in_flight") == 0, 30)
        return figure(gateway, "epitaph_tasks"), len(list((memory.folder / "fd").iterdir()))

    asyncio.run(all_of_them("first", 100))
    tasks, descriptors = at_rest()
    asyncio.run(all_of_them("leaver", LEAVERS))
    until(lambda: figure(gateway, "epitaph_tasks") <= tasks + 2, 10, lambda: figure(gateway, "epitaph_tasks"))
    until(lambda: at_rest()[1] <= descriptors + 50, 10, at_rest)  # 50 at once may keep 50 connections to the upstream
    more = at_rest()
    print(f"tasks {tasks:g} → {more[0]:g}, descriptors {descriptors} → {more[1]} after {LEAVERS} that left")

    def rows() -> list[tuple[str | None, int]]:
        query = "SELECT outcome, count(*) FROM auditlog_auditentry WHERE client_request_id LIKE 'leaver-%' GROUP BY outcome"
        with closing(sqlite3.connect(gateway.data / "epitaph.sqlite3", timeout=20)) as database:
            return database.execute(query).fetchall()

    until(lambda: sum(count for _, count in rows()) == LEAVERS, 20, rows)
    outcomes = dict(rows())
    print(outcomes)
    assert None not in outcomes
    assert outcomes["client-abort"] > LEAVERS / 5
    assert "relay-error" not in outcomes
    assert "Traceback" not in gateway.output.read_text()
    assert "never awaited" not in gateway.output.read_text()
    answer = httpx.post(
        f"{gateway.url}/v1/chat/completions",
        json={"model": "ok", "stream": True, "messages": []},
        headers={"authorization": f"Bearer {KEY}"},
        timeout=5,
    )
    assert b"[DONE]" in answer.content
