"""Real processes, a real database file, SIGKILL without warning to workers and shippers alike: one ending each."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

SHIPPER = "import django; django.setup(); import threading; from relay.shipper import Shipper; Shipper().run(threading.Event())"
CLEAN_SHIPPER = (
    "import django; django.setup(); import signal, threading; from relay.shipper import Shipper; stop = threading.Event();"
    "signal.signal(signal.SIGTERM, lambda *_: stop.set()); print('listens', flush=True); Shipper().run(stop)"
)
# Opens a request, says so, ends every one but each fifth, and says that; small segments, so that it rotates all the time.
WORKER = """
import django; django.setup()
from relay import journal
from tests.relay.shipper.records import COMPLETED, PREMATURE, ended, opened
journal.current().segment_bytes = 20_000
number = 0
while True:
    number += 1
    record = opened()
    print("open", record, flush=True)
    if number % 5:
        ended(PREMATURE if number % 3 == 0 else COMPLETED, record)
        print("closed", record, flush=True)
    if number % 20 == 0:
        __import__("time").sleep(0.02)
"""


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator["Processes"]:
    made = Processes(tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.wait()


class Processes:
    """Processes that share a DATA_DIR with a migrated SQLite file."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.started: list[subprocess.Popen[bytes]] = []
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "PYTEST_CURRENT_TEST")},
            "DJANGO_SETTINGS_MODULE": "proxy_project.settings",
            "DATA_DIR": str(data_dir),
            "LOG_LEVEL": "ERROR",
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v0"], env=self.env, cwd=settings.BASE_DIR, check=True, timeout=60
        )

    def start(self, script: str, output: Path | None = None) -> subprocess.Popen[bytes]:
        with (output or Path(os.devnull)).open("wb") as file:
            process = subprocess.Popen([sys.executable, "-c", script], env=self.env, cwd=settings.BASE_DIR, stdout=file)
        self.started.append(process)
        return process

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.data_dir / "epitaph.sqlite3", timeout=20) as database:
            return database.execute(query).fetchall()


def test_whatever_is_killed_each_request_has_one_ending_and_it_is_the_right_one(gateway: Processes) -> None:
    told = [gateway.data_dir / f"told-{number}" for number in range(3)]
    workers = [gateway.start(WORKER, path) for path in told]
    for turn in range(3):
        shipper = gateway.start(SHIPPER)
        while min(path.read_text().count("open") for path in told) < 60 * (turn + 1):
            time.sleep(0.05)
        time.sleep(1.0)
        shipper.kill()
        shipper.wait()
    says = gateway.data_dir / "says"
    last = gateway.start(CLEAN_SHIPPER, says)
    for worker in workers:
        worker.kill()
        worker.wait()
    while not says.read_text():
        assert last.poll() is None
        time.sleep(0.05)
    last.send_signal(signal.SIGTERM)
    assert last.wait(60) == 0
    opened: set[str] = set()
    closed: set[str] = set()
    for path in told:
        for line in path.read_text().splitlines():
            word, _, record = line.partition(" ")
            if len(record) == 36:
                (opened if word == "open" else closed).add(record.replace("-", ""))
    outcomes: dict[str, str | None] = dict(gateway.rows("SELECT id, outcome FROM auditlog_auditentry"))
    assert len(opened) > 100
    assert opened <= outcomes.keys()
    assert None not in outcomes.values()
    assert {record for record in closed if outcomes[record] == "relay-lost"} == set()
    # what was not told to be closed is lost, except that a worker may have died between writing and telling
    assert len({record for record in opened - closed if outcomes[record] != "relay-lost"}) <= len(workers)
    events = [record for (record,) in gateway.rows("SELECT id FROM errorlog_errorevent")]
    abnormal = {record for record, outcome in outcomes.items() if outcome != "completed"}
    assert len(events) == len(set(events))
    assert set(events) <= abnormal  # a group keeps a sample of what is beyond its quota, and counts all
    ((counted,),) = gateway.rows("SELECT SUM(count) FROM errorlog_errorgroup")
    assert counted == len(abnormal)
    assert [path for path in (gateway.data_dir / "journal").iterdir() if path.is_dir()] == []
