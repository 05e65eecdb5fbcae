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


@pytest.fixture(scope="session")
def gateway(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:  # noqa: F811
    config = CONFIG + MORE
    for prefix in ("", "refusing-"):
        three = ", ".join(f'"{prefix}{name}"' for name in ("chat", "responses", "messages"))
        config = config.replace(f"[{three}]", f'[{three}, "{prefix}gemini", "{prefix}ollama"]')
    running = Gateway(
        tmp_path_factory.mktemp("clients"),
        config.format(url=upstream.url, closed=free_port(), ws=upstream.url.replace("http", "ws")),
    )
    yield running
    if running.process.poll() is None:
        running.stop()
