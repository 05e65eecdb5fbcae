"""What records are kept in goes away, and no stream notices: a database stopped or locked, a full disk, a damaged journal."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.crash.conftest import Caller, processes, until
from tests.crash.postgresql import BINARIES, PostgreSQL
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
OUTAGE_SECONDS = float(os.environ.get("OUTAGE_SECONDS", "4"))  # a minute, when that is what is to be known
SCRIPTS = {
    "ok": "completed",
    "ok,events=10,gap_ms=30": "completed",
    "cut": "upstream-premature",
    "status,code=500": "upstream-error",
}
ENDINGS = "SELECT client_request_id, outcome FROM auditlog_auditentry WHERE client_request_id LIKE 'load-%'"


class Load:
    """Clients that ask all the time; each answer must be what the script says, as soon as ever."""

    def __init__(self, gateway: Gateway, clients: int = 4) -> None:
        self.asked: dict[str, str] = {}  # the client's id and the outcome that it must have
        self.faults: list[str] = []
        self._gateway = gateway
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _ask(self, client: int) -> None:
        with httpx.Client(base_url=self._gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=15) as http:
            number = 0
            while not self._stop.is_set():
                for script, outcome in SCRIPTS.items():
                    number += 1
                    name = f"load-{client}-{number}"
                    body = {"model": script, "stream": True, "messages": []}
                    answer = http.post("/v1/chat/completions", json=body, headers={"x-request-id": name})
                    self.asked[name] = outcome
                    if answer.status_code != (500 if "500" in script else 200) or ("ok" in script) != (
                        b"[DONE]" in answer.content
                    ):
                        self.faults.append(f"{name} {script}: {answer.status_code} {answer.content[-200:]!r}")


def settled(asked: dict[str, str], query: Callable[[str], list[tuple[Any, ...]]], seconds: float = 30.0) -> None:
    """Everything that was asked is on record, once, as it was."""

    def same() -> bool:
        return {name: outcome for name, outcome in query(ENDINGS) if outcome}.keys() >= asked.keys()

    until(same, seconds)
    rows = query(ENDINGS)
    assert Counter(name for name, _ in rows) == Counter(asked.keys())
    assert dict(rows) == asked
    abnormal = sum(outcome != "completed" for outcome in asked.values())
    assert query("SELECT count(*) FROM errorlog_errorevent WHERE name LIKE 'Stream%'") == [(abnormal,)]


def sqlite(gateway: Gateway) -> Callable[[str], list[tuple[Any, ...]]]:
    def query(text: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(gateway.data / "epitaph.sqlite3", timeout=20)) as database:
            return database.execute(text).fetchall()

    return query


@pytest.fixture
def postgresql() -> Iterator[PostgreSQL]:
    if not BINARIES:
        pytest.skip("no PostgreSQL server is installed")
    # not below tmp_path, which nobody else may enter
    with tempfile.TemporaryDirectory(prefix="epitaph-pg-") as folder:
        os.chmod(folder, 0o755)
        server = PostgreSQL(Path(folder) / "server")
        try:
            yield server
        finally:
            server.stop()


def test_a_database_that_is_stopped_under_load_costs_no_stream_and_no_record(
    start: Callable[..., Gateway], postgresql: PostgreSQL
) -> None:
    gateway = start(DATABASE_URL=postgresql.url)
    with Load(gateway) as load:
        until(lambda: len(load.asked) > 20)
        postgresql.stop()
        until(lambda: gateway.api.get("/readyz").status_code == 503)
        before = len(load.asked)
        time.sleep(OUTAGE_SECONDS)
        assert len(load.asked) > before + 20, "requests were to go on while the database was away"
        postgresql.start()
        until(lambda: gateway.api.get("/readyz").status_code == 200)
    assert load.faults == []

    def query(text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(postgresql.url) as database:
            return database.execute(text).fetchall()  # type: ignore[arg-type]

    settled(load.asked, query)
    assert gateway.stop() == 0


def test_fifty_streams_that_end_while_sqlite_is_locked_for_6_s_notice_nothing(start: Callable[..., Gateway]) -> None:
    gateway = start()
    callers = [Caller(gateway, "ok,events=20,gap_ms=100", f"load-{number}") for number in range(50)]
    for caller in callers:
        caller.wait_for(b"data:")
    with closing(sqlite3.connect(gateway.data / "epitaph.sqlite3", timeout=20, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        locked = time.monotonic()
        for caller in callers:
            caller.wait()
            assert caller.done
        ended = time.monotonic()
        assert ended - locked < 6, "the streams were to end while the database is locked"
        assert sqlite(gateway)("SELECT count(*) FROM auditlog_auditentry WHERE outcome IS NOT NULL") == [(0,)]
        time.sleep(max(locked + 6 - time.monotonic(), 0))
        other.execute("ROLLBACK")
    settled({caller.name: "completed" for caller in callers}, sqlite(gateway))


@contextmanager
def full_disk(pid: int, journal: Path) -> Iterator[None]:
    """No file of process `pid` may grow beyond what its journal has: the kernel refuses as it does on a full disk."""
    size = max(path.stat().st_size for path in journal.glob("*/*.jsonl"))
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size + 2_000, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_full_disk_costs_no_stream_and_no_record_and_is_shown(start: Callable[..., Gateway]) -> None:
    gateway = start()
    with Load(gateway) as load:
        until(lambda: len(load.asked) > 20)
        with full_disk(processes(gateway)["worker 1"], gateway.data / "journal"):
            ready = until(lambda: answer if (answer := gateway.api.get("/readyz")).status_code == 503 else None)
            assert ready.json()["checks"]["journal"] is False
            before = len(load.asked)
            until(lambda: len(load.asked) > before + 40)
        until(lambda: gateway.api.get("/readyz").status_code == 200)
    assert load.faults == []
    settled(load.asked, sqlite(gateway))


def test_a_damaged_journal_is_set_aside_and_all_that_can_be_read_is_shipped(start: Callable[..., Gateway]) -> None:
    gateway = start()
    os.kill(processes(gateway)["shipper"], signal.SIGSTOP)  # nothing of this is shipped before the kill
    with Load(gateway) as load:
        until(lambda: len(load.asked) > 20)
    running = Caller(gateway, "idle,after=2", "load-open")
    running.wait_for(b"data:")
    gateway.kill()
    root = gateway.data / "journal"
    (segment,) = root.glob("*/000001.jsonl")
    whole = segment.read_bytes()
    lines = whole.splitlines(keepends=True)
    middle = len(lines) // 2
    segment.write_bytes(
        b"".join(lines[:middle])
        + b"\x00\xff\xfe foreign bytes \x80\n"
        + b'{"t": "close", "id": 5}\n[1, 2]\n{"t": "open"}\nnull\n'
        + b"".join(lines[middle:])
        + b'{"t": "close", "id": "0199d1f0-0000-7000-8000-0000'  # torn
    )
    strange = root / "0199d1f0-0000-4000-8000-000000000000"
    strange.mkdir()
    (strange / "000001.jsonl").write_bytes(os.urandom(50_000))
    (strange / "000002.jsonl").mkdir()
    (root / "not a journal").write_text("foreign")
    gateway.start()
    settled({**load.asked, "load-open": "relay-lost"}, sqlite(gateway))
    until(lambda: len(list((root / "bad").iterdir())) >= 2)
    damaged = sqlite(gateway)("SELECT message FROM errorlog_errorevent WHERE name = 'JournalDamaged'")
    assert damaged
    assert "not a journal" in [path.name for path in root.iterdir()]
    Caller(gateway, "ok", "load-after").wait()
    settled({**load.asked, "load-open": "relay-lost", "load-after": "completed"}, sqlite(gateway))
