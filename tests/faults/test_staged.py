"""The rows of the matrix that happen to the gateway itself, each staged by hand and judged like any other."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.ending import Outcome
from relay.rehearsal.matrix.gateway import KILLED, ORDERED, SHORT, STOPPED, WRONG
from relay.rehearsal.matrix.row import Row, cases_of
from tests.crash.conftest import processes, until
from tests.faults import checks
from tests.faults.campaign import Campaign, Observation, world
from tests.gateways import ROOT, Gateway

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(120)]


class Planted(Gateway):
    """A gateway with a bug in it."""

    program = str(Path(__file__).with_name("planted.py"))


class Stage:
    """One gateway, and the rows that are being provoked on it."""

    def __init__(self, gateway: Gateway, campaign: Campaign) -> None:
        self.gateway = gateway
        self.campaign = campaign
        self.pool = ThreadPoolExecutor(8)

    @property
    def worker(self) -> int:
        """The worker's process id."""
        return next(pid for name, pid in processes(self.gateway).items() if "worker" in name)

    def begin(self, row: Row) -> Future[Observation]:
        """Provokes the row; the observation is there when its client has seen the end."""
        (case,) = cases_of((row,))
        return self.pool.submit(self.campaign.observe, case, self.gateway.port)

    def reached(self, rows: int, since: int = 0) -> None:
        """Waits until so many requests that came through the gateway are at the upstream."""
        self.campaign.upstream.wait_log(lambda log: sum("x-row" in record.headers for record in log) >= since + rows)

    def judge(self, *rows: Row) -> None:
        """Reads the logs and holds every promise against each row."""
        self.campaign.read_logs(self.gateway)
        for row in rows:
            (case,) = cases_of((row,))
            observation = self.campaign.observations[case.id]
            for promise in checks.PROMISES if row.outcome is not Outcome.RELAY_LOST else (checks.verdict,):
                promise(observation)


@contextmanager
def staged(folder: Path, made: type[Gateway], **settings: str) -> Iterator[Stage]:
    with world(folder, ()) as (upstream, config):
        gateway = made(folder, config, TRUSTED_PROXIES="", **settings)
        try:
            yield Stage(gateway, Campaign(upstream))
        finally:
            if gateway.process.poll() is None:
                gateway.stop()


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path, Gateway, DRAIN_SECONDS="3") as found:
        yield found


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage whose gateway lives on."""
    with staged(tmp_path_factory.mktemp("shared"), Planted) as found:
        yield found


def test_sigterm_lets_finish_what_can_and_tells_the_rest_before_it_is_cut(stage: Stage) -> None:
    ends = [stage.begin(row) for row in STOPPED]
    stage.reached(len(STOPPED) - 1)  # one is not received whole
    time.sleep(0.5)
    assert stage.gateway.stop() == 0
    for end in ends:
        end.result(20)
    stage.gateway.start()
    stage.judge(*STOPPED)


def test_what_a_kill_of_everything_cut_is_found_at_the_next_start(stage: Stage) -> None:
    ends = [stage.begin(row) for row in KILLED]
    stage.reached(len(KILLED))
    time.sleep(1.8)  # older than a second, so that what is known of it was written down while it lived
    stage.gateway.kill()
    seen = ends[0].result(20)
    assert seen.body and seen.seen.ends == KILLED[0].ends
    stage.gateway.start()
    stage.judge(*KILLED)


@pytest.mark.parametrize("row", WRONG, ids=lambda row: row.name)
def test_a_bug_of_ours_is_told_recorded_once_and_carries_its_stack(shared: Stage, row: Row) -> None:
    seen = shared.begin(row).result(20)
    shared.judge(row)
    assert "planted bug" in seen.events[0]["stack"]
    assert "broken_read" in seen.events[0]["stack"]


def test_a_stream_that_an_operator_ends_is_told(shared: Stage) -> None:
    (row,) = ORDERED
    before = sum("x-row" in record.headers for record in shared.campaign.upstream.log())
    end = shared.begin(row)
    shared.reached(1, since=before)

    def live() -> list[str]:
        items = shared.gateway.api.get("/api/audit/entries").json()["items"]
        return [item["request_id"] for item in items if "operator-kill" in item["client_request_id"]]

    order = f"from relay import stopping; stopping.order({until(live)[0]!r})"
    shell = [sys.executable, "manage.py", "shell", "-c", order]
    subprocess.run(shell, cwd=ROOT, env=shared.gateway.environment, check=True, capture_output=True)
    end.result(20)
    shared.judge(row)


def _without_descriptors(stage: Stage, row: Row) -> Observation:
    """The client's connection is made by a relay of bytes while descriptors are left; then the worker gets none."""
    pid = stage.worker
    with socket.create_server(("127.0.0.1", 0)) as front:
        end = stage.pool.submit(stage.campaign.observe, cases_of((row,))[0], front.getsockname()[1])
        back = socket.create_connection(("127.0.0.1", stage.gateway.port))
        client, _ = front.accept()
        back.sendall(b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n")
        back.recv(65536)
        used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        free = next(number for number in range(len(used) + 1) if number not in used)
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (free, before[1]))
        try:
            back.sendall(client.recv(65536))
            client.sendall(back.recv(65536))
            return end.result(20)
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            client.close()
            back.close()


def _after_standing_still(seconds: float) -> Callable[[Stage, Row], Observation]:
    def stage_it(stage: Stage, row: Row) -> Observation:
        pid = stage.worker
        before = sum("x-row" in record.headers for record in stage.campaign.upstream.log())
        end = stage.begin(row)
        stage.reached(1, since=before)
        time.sleep(0.3)
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return end.result(20)

    return stage_it


def _under_a_locked_database(stage: Stage, row: Row) -> Observation:
    with sqlite3.connect(stage.gateway.data / "epitaph.sqlite3", isolation_level=None) as writer:
        writer.execute("BEGIN IMMEDIATE")
        seen = stage.begin(row).result(20)
        time.sleep(1.5)
        writer.execute("ROLLBACK")
    return seen


STAGES: dict[str, Callable[[Stage, Row], Observation]] = {
    "no-descriptor": _without_descriptors,
    "our-own-lag": _after_standing_still(1.5),
    "stood-still": _after_standing_still(2.8),
    "database-locked": _under_a_locked_database,
}


@pytest.mark.parametrize("row", SHORT, ids=lambda row: row.name)
def test_what_the_gateway_lacked_is_not_blamed_on_others(shared: Stage, row: Row) -> None:
    if row.name == "database-locked" and os.environ.get("DATABASE_URL", "").startswith("postgres"):
        pytest.skip("a lock of SQLite's")
    STAGES[row.name](shared, row)
    shared.judge(row)
