"""The clients' tests use the gateway of the fault matrix, with an upstream of every protocol behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.rehearsal.server import FaultServer
from tests.faults.conftest import CONFIG, Gateway, free_port, upstream  # noqa: F401

MORE = """
[[upstream]]
name = "gemini"
protocol = "gemini"
base_url = "{url}/v1beta"
first_byte_timeout = 2
idle_timeout = 2
[[upstream.credential]]
label = "five"
secret = "upstream-secret-0005"

[[upstream]]
name = "socket"
protocol = "openai-responses"
base_url = "{ws}/v1"
first_byte_timeout = 2
idle_timeout = 2
[[upstream.credential]]
label = "six"
secret = "upstream-secret-0006"

[[upstream]]
name = "ollama"
protocol = "ollama"
base_url = "{url}"
first_byte_timeout = 2
idle_timeout = 2

[[upstream]]
name = "refusing-gemini"
protocol = "gemini"
base_url = "{url}/v1beta"
[[upstream.credential]]
label = "nine"
secret = "upstream-secret-0009"

[[upstream]]
name = "refusing-ollama"
protocol = "ollama"
base_url = "{url}"
"""


TWO = """
[[upstream]]
name = "slow-socket"
protocol = "openai-responses"
base_url = "{ws}/v1"
[[upstream.credential]]
label = "slow"
secret = "upstream-secret-slow"

[[upstream]]
name = "two"
protocol = "openai-responses"
base_url = "{url}/v1"
[[upstream.credential]]
label = "two-a"
secret = "upstream-secret-two-a"
[[upstream.credential]]
label = "two-b"
secret = "upstream-secret-two-b"

[[route]]
model = "in-turn"
upstreams = ["two"]
strategy = "round-robin"
"""


@pytest.fixture(scope="session")
def gateway(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:  # noqa: F811
    config = CONFIG + MORE
    for prefix in ("", "refusing-"):
        three = ", ".join(f'"{prefix}{name}"' for name in ("chat", "responses", "messages"))
        config = config.replace(f"[{three}]", f'[{three}, "{prefix}gemini", "{prefix}ollama"]')
    running = Gateway(tmp_path_factory.mktemp("clients"), filled(config, upstream))
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture(scope="session")
def brisk(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:  # noqa: F811
    """Two workers, which ping every second and wait no longer for the answer."""
    often = {"WEBSOCKET_PING_SECONDS": "1", "WEBSOCKET_PONG_SECONDS": "1"}
    running = Gateway(tmp_path_factory.mktemp("brisk"), filled(CONFIG + MORE + TWO, upstream), WORKERS="2", **often)
    yield running
    if running.process.poll() is None:
        running.stop()


def filled(config: str, upstream: FaultServer) -> str:  # noqa: F811
    return config.format(url=upstream.url, closed=free_port(), ws=upstream.url.replace("http", "ws"))
