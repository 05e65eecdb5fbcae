"""The official SDKs of JavaScript, and the AI SDK: they hear what they would hear without us, and a death makes them raise."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from relay.rehearsal.server import FaultServer
from tests.clients.node_packages import installed
from tests.gateways import KEY, Gateway

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(600)]  # the first installs them
CLIENTS = [
    *("openai-chat", "openai-responses", "anthropic", "genai", "ollama"),
    *("ai-openai", "ai-compatible", "ai-anthropic", "ai-google"),
]
HEALTHY = ["ok", "tools", "reasoning", "structured", "length"]
BROKEN = ["eof,after=3", "cut,after=3", "reset,after=3", "idle,after=3,seconds=30"]
REFUSED = [f"status,code={code}" for code in (400, 404, 429, 500, 503, 529)]
IN_BAND = "error-later,after=3,gap_ms=20"
CITY = "Łódź"

Heard = dict[str, dict[str, Any]]  # by "client model"


def ask(url: str, models: list[str]) -> Heard:
    """What each client makes of each model."""
    sdks, node = installed("npm"), shutil.which("node")
    assert node is not None
    done = subprocess.run([node, "ask.mjs", url, KEY, *models], cwd=sdks, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def both(gateway: Gateway, upstream: FaultServer) -> tuple[Heard, Heard]:
    """Through the gateway, and without it."""
    installed("npm")
    told = [*HEALTHY, *REFUSED, IN_BAND]
    with ThreadPoolExecutor() as pool:
        return tuple(pool.map(ask, (gateway.url, upstream.url), ([*told, *BROKEN], told)))  # type: ignore[return-value]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", HEALTHY)
def test_an_answer_is_heard_as_without_us(both: tuple[Heard, Heard], client: str, model: str) -> None:
    through, direct = (heard[f"{client} {model}"] for heard in both)
    assert through == direct
    assert through["error"] is None
    assert through["stop"] and through["usage"][0] == 12


@pytest.mark.parametrize("client", CLIENTS)
def test_tools_thoughts_and_an_object_are_among_them(both: tuple[Heard, Heard], client: str) -> None:
    through = both[0]
    assert through[f"{client} tools"]["calls"] == [["get_weather", {"city": city}] for city in ("Oslo", CITY)]
    assert through[f"{client} reasoning"]["thoughts"].startswith("The question is short")
    assert json.loads(through[f"{client} structured"]["text"]) == {"city": CITY}


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", BROKEN)
def test_a_stream_that_died_raises_with_the_request_id(both: tuple[Heard, Heard], client: str, model: str) -> None:
    whole, answer = both[0][f"{client} ok"]["text"], both[0][f"{client} {model}"]
    assert "request id req_" in answer["error"]["message"] + answer["error"]["details"]
    assert answer["text"] and whole.startswith(answer["text"]) and answer["text"] != whole


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", [*REFUSED, IN_BAND])
def test_an_error_of_the_upstream_is_raised_as_without_us(both: tuple[Heard, Heard], client: str, model: str) -> None:
    through, direct = (heard[f"{client} {model}"] for heard in both)
    assert "rehearsed failure" in through["error"]["message"]
    for said in (through, direct):
        del said["error"]["details"]  # addresses and headers
    assert through == direct
