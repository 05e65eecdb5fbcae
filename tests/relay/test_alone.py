"""Under `runserver` one process does everything: it relays, and what it recorded becomes rows, at its exit too."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from relay.rehearsal.server import FaultServer
from tests.gateways import KEY, free_port, usual

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(400)]  # a busy machine takes a minute to start one process


@pytest.fixture
def runserver(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with FaultServer().run_in_thread() as upstream:
        key = {"label": "one", "key_env": "ONE_KEY"}
        (tmp_path / "relay.toml").write_text(usual(upstream.url, client_keys=[key]))
        names = ("PATH", "HOME", "LANG")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment |= {"DATA_DIR": str(tmp_path / "data"), "RELAY_CONFIG": str(tmp_path / "relay.toml"), "ONE_KEY": KEY}
        port = free_port()
        manage = [sys.executable, "manage.py"]
        for command in (["migrate", "-v0"], ["apply_config", str(tmp_path / "relay.toml")]):
            subprocess.run([*manage, *command], cwd=settings.BASE_DIR, env=environment, check=True, timeout=180)
        with (tmp_path / "output").open("wb") as output:
            process = subprocess.Popen(
                [*manage, "runserver", "--noreload", str(port)],
                cwd=settings.BASE_DIR,
                env=environment,
                stdout=output,
                stderr=output,
            )
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(10)


def ask(url: str, model: str, name: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": name}
    body = {"model": model, "stream": True, "messages": []}
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=20)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.status_code != 401:  # its configuration is read by a thread
            return answer
        assert time.monotonic() < deadline
        time.sleep(0.2)


def outcomes(tmp_path: Path) -> dict[str, str | None]:
    query = "SELECT client_request_id, outcome FROM auditlog_auditentry WHERE cause IS NULL OR cause <> 'bad-key'"
    with closing(sqlite3.connect(tmp_path / "data" / "epitaph.sqlite3", timeout=20)) as database:
        return dict(database.execute(query).fetchall())


def test_runserver_relays_and_ships(runserver: tuple[str, subprocess.Popen[bytes]], tmp_path: Path) -> None:
    url, process = runserver
    assert b"[DONE]" in ask(url, "ok", "first").content
    deadline = time.monotonic() + 60
    while outcomes(tmp_path) != {"first": "completed"}:
        assert time.monotonic() < deadline, outcomes(tmp_path)
        time.sleep(0.1)
    assert httpx.get(f"{url}/metrics").text.count('outcome="completed"')
    assert ask(url, "cut", "last").status_code == 200
    process.send_signal(signal.SIGINT)
    process.wait(90)
    assert outcomes(tmp_path) == {"first": "completed", "last": "upstream-premature"}
    assert [path for path in (tmp_path / "data" / "journal").iterdir() if path.is_dir()] == []
