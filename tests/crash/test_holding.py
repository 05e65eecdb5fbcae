"""DATA_DIR and PORT are one gateway's: a second start is told so at once, refused later, and a restart is let through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.conftest import Caller, processes, until
from tests.gateways import ROOT, Gateway, free_port

pytestmark = pytest.mark.gateway


class Second:
    """Another `manage.py serve` beside a gateway that runs, with settings of its own."""

    def __init__(self, gateway: Gateway, **settings: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve"],
            cwd=ROOT,
            env=gateway.environment | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self.process.stderr is not None
        self.first = self.process.stderr.readline().strip()
        self.waits = self.process.poll() is None

    def end(self) -> tuple[int, str]:
        """Exit code, and what it said last."""
        _, error = self.process.communicate(timeout=30)
        return self.process.returncode, error.strip()


def kept(folder: Path) -> dict[str, int]:
    """What a start makes or changes: when each was last written."""
    names = ("secret_key", "serve.lock", "first-run.txt", "epitaph.sqlite3.starting")
    return {name: (folder / name).stat().st_mtime_ns for name in names if (folder / name).exists()}


def test_a_second_gateway_on_one_data_dir_or_port_is_told_at_once_and_refused(
    start: Callable[..., Gateway], tmp_path: Path
) -> None:
    gateway = start()
    before, journals = kept(gateway.data), sorted((gateway.data / "journal").iterdir())
    same_folder = Second(gateway, PORT=str(free_port()))
    same_port = Second(gateway, DATA_DIR=str(tmp_path / "other"))
    assert same_folder.first == (
        f"epitaph: DATA_DIR '{gateway.data}' is in use by another gateway (process {gateway.process.pid}); "
        "waiting up to 10 s for it."
    )
    assert same_port.first == f"epitaph: PORT {gateway.port} of HOST '127.0.0.1' is taken; waiting up to 10 s for it."
    assert same_folder.waits and same_port.waits
    assert same_folder.end() == (
        2,
        f"epitaph: DATA_DIR '{gateway.data}' is in use by another gateway (process {gateway.process.pid}); "
        "expected a DATA_DIR of its own for each, or that to end.",
    )
    assert same_port.end() == (2, f"epitaph: HOST '127.0.0.1' PORT {gateway.port} cannot be bound: Address already in use.")
    assert kept(gateway.data) == before
    assert sorted((gateway.data / "journal").iterdir()) == journals
    assert not (tmp_path / "other").exists()
    assert gateway.api.get("/readyz").status_code == 200


def test_gateways_with_data_dirs_of_their_own_share_a_database(start: Callable[..., Gateway], tmp_path: Path) -> None:
    gateway = start()
    shared = {"DATABASE_URL": f"sqlite:///{gateway.data / 'epitaph.sqlite3'}", "DATA_DIR": str(tmp_path / "other")}
    key = (gateway.data / "secret_key").read_text()
    (tmp_path / "beside").mkdir()
    beside = Gateway(tmp_path / "beside", (tmp_path / "relay.toml").read_text(), True, **shared, SECRET_KEY=key)
    try:
        caller = Caller(beside, "ok", "beside")
        caller.wait()
        assert caller.done
        assert gateway.entry(caller.request_id)["instance"] != gateway.entry(ask(gateway))["instance"]
    finally:
        beside.end()


def ask(gateway: Gateway) -> str:
    caller = Caller(gateway, "ok", "here")
    caller.wait()
    return caller.request_id


def test_a_gateway_starts_at_once_after_kill_9_of_its_parent_alone(start: Callable[..., Gateway]) -> None:
    gateway = start(WORKERS="2")
    children = processes(gateway)
    caller = Caller(gateway, "idle,after=2", "open")
    caller.wait_for(b"data:")
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait(10)
    gateway.start()
    assert "is in use by another gateway" not in gateway.output.read_text()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children.values()))


def test_a_restart_waits_for_the_gateway_that_still_drains(start: Callable[..., Gateway]) -> None:
    gateway = start(DRAIN_SECONDS="3")
    caller = Caller(gateway, "idle,after=2", "open")
    caller.wait_for(b"data:")
    former = gateway.process
    former.send_signal(signal.SIGTERM)
    until(lambda: gateway.api.get("/readyz").status_code == 503)
    gateway.start()
    assert former.wait(10) == 0
    assert b"error" in caller.wait()
    assert f"is in use by another gateway (process {former.pid}); waiting up to 10 s for it." in gateway.output.read_text()
    assert processes(gateway)


ORPHAN = """
import os, time
from relay.server import holding
holding.hold()
if os.fork():
    os._exit(0)
os.write(1, b"%d" % os.getpid())
os.closerange(0, 3)  # who started us waits for its pipes
time.sleep(60)
"""
HOLD = "from relay.server import holding; holding.hold(); print('held')"


def test_what_a_parent_leaves_behind_does_not_hold_its_data_dir(tmp_path: Path) -> None:
    environment = {**os.environ, "DATA_DIR": str(tmp_path)}
    left = subprocess.run([sys.executable, "-c", ORPHAN], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    try:
        os.kill(int(left.stdout), 0)  # it lives
        done = subprocess.run(
            [sys.executable, "-c", HOLD], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
    finally:
        os.kill(int(left.stdout), signal.SIGKILL)
    assert (done.stdout, done.stderr) == ("held\n", "")
