"""A whole gateway as processes, with the scripted upstream behind it and the management API to ask what it recorded."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.rehearsal.server import FaultServer

ROOT = Path(__file__).resolve().parents[2]
KEY, TOKEN = "test-client-key-0001", "test-admin-token-0001"
CONFIG = """
[[upstream]]
name = "chat"
protocol = "openai-chat"
base_url = "{url}/v1"
first_byte_timeout = 2
idle_timeout = 2
write_timeout = 3
[[upstream.credential]]
label = "one"
secret = "upstream-secret-0001"

[[upstream]]
name = "responses"
protocol = "openai-responses"
base_url = "{url}/v1"
first_byte_timeout = 2
idle_timeout = 2
[[upstream.credential]]
label = "two"
secret = "upstream-secret-0002"

[[upstream]]
name = "messages"
protocol = "anthropic"
base_url = "{url}/v1"
first_byte_timeout = 2
idle_timeout = 2
[[upstream.credential]]
label = "three"
secret = "upstream-secret-0003"

[[upstream]]
name = "closed"
protocol = "openai-chat"
base_url = "http://127.0.0.1:{closed}/v1"
[[upstream.credential]]
label = "four"
secret = "upstream-secret-0004"

[[upstream]]
name = "pair"
protocol = "openai-chat"
base_url = "{url}/v1"
[[upstream.credential]]
label = "pair-a"
secret = "upstream-secret-pair-a"
[[upstream.credential]]
label = "pair-b"
secret = "upstream-secret-pair-b"

# What is refused cools, and what cools is asked last: so refusals have upstreams of their own, and no test meets another's.
[[upstream]]
name = "refusing-chat"
protocol = "openai-chat"
base_url = "{url}/v1"
[[upstream.credential]]
label = "six"
secret = "upstream-secret-0006"

[[upstream]]
name = "refusing-responses"
protocol = "openai-responses"
base_url = "{url}/v1"
[[upstream.credential]]
label = "seven"
secret = "upstream-secret-0007"

[[upstream]]
name = "refusing-messages"
protocol = "anthropic"
base_url = "{url}/v1"
[[upstream.credential]]
label = "eight"
secret = "upstream-secret-0008"

[[route]]
model = "status*,pair"
upstreams = ["pair"]

[[route]]
model = "status*"
upstreams = ["refusing-chat", "refusing-responses", "refusing-messages"]
max_attempts = 1

[[route]]
model = "*,pair"
upstreams = ["pair"]

[[route]]
model = "*"
upstreams = ["chat", "responses", "messages"]
max_attempts = 1  # the client's own protocol comes first; the others would be asked in translation

[[route]]
model = "closed-port"
upstreams = ["closed"]
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Gateway:
    """One `manage.py serve`, and what the tests ask of it."""

    program = "manage.py"

    def __init__(self, folder: Path, config: str, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = folder / "data"
        (folder / "relay.toml").write_text(config)
        self.output = folder / "output.log"
        names = ("PATH", "HOME", "LANG", "DATABASE_URL")
        self.environment = {name: os.environ[name] for name in names if name in os.environ} | {
            "DATA_DIR": str(self.data),
            "PORT": str(self.port),
            "CLIENT_KEY": KEY,
            "ADMIN_TOKEN": TOKEN,
            "ADMIN_PASSWORD": "a-password-for-tests",
            "RELAY_CONFIG": str(folder / "relay.toml"),
            "DRAIN_SECONDS": "1",
            "CORS_ORIGINS": "https://app.example",
            "TRUSTED_PROXIES": "127.0.0.1",
            **settings,
        }
        self.api = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=10)
        self.start()

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, self.program, "serve"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.api.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        """`kill -9` of everything."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def entry(self, request_id: str, seconds: float = 10.0) -> dict[str, Any]:
        """The audit entry of a request, as soon as it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.api.get(f"/api/audit/entries/{request_id}")
            if answer.status_code == 200 and answer.json()["outcome"]:
                return answer.json()
            assert time.monotonic() < deadline, f"{answer.status_code}: {answer.text}"
            time.sleep(0.05)

    def events(self, request_id: str) -> list[dict[str, Any]]:
        return self.api.get("/api/errors/events", params={"request_id": request_id}).json()["items"]


@pytest.fixture(scope="session")
def upstream() -> Iterator[FaultServer]:
    with FaultServer().run_in_thread() as server:
        yield server


@pytest.fixture(scope="session")
def gateway(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    running = Gateway(folder, CONFIG.format(url=upstream.url, closed=free_port()))
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def own_gateway(upstream: FaultServer, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that the test may kill."""
    running = Gateway(tmp_path, CONFIG.format(url=upstream.url, closed=free_port()))
    yield running
    if running.process.poll() is None:
        running.kill()
