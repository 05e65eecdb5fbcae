"""The official SDKs of JavaScript, and the AI SDK: what they read, and that a stream that died makes them raise."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.clients.node_packages import installed
from tests.faults.conftest import KEY, Gateway

pytestmark = pytest.mark.gateway
CLIENTS = ["openai-chat", "openai-responses", "anthropic", "ai-openai", "ai-compatible", "ai-anthropic"]


BROKEN = ["eof,after=3", "reset,after=3"]
REFUSED = "status,code=429,retry_after=7"


@pytest.fixture(scope="module")
def answers(gateway: Gateway) -> dict[str, Any]:
    """What each client made of each model, by "client model"."""
    sdks, node = installed("npm"), shutil.which("node")
    assert node is not None
    command = [node, "ask.mjs", gateway.url, KEY, "ok", *BROKEN, REFUSED]
    done = subprocess.run(command, cwd=sdks, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.timeout(600)  # the first installs them
@pytest.mark.parametrize("client", CLIENTS)
def test_a_healthy_stream_is_read_to_its_end(answers: dict[str, Any], client: str) -> None:
    answer = answers[f"{client} ok"]
    assert answer["error"] is None and len(answer["text"]) > 20


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("model", BROKEN)
def test_a_stream_that_died_raises_with_the_request_id(answers: dict[str, Any], client: str, model: str) -> None:
    whole, answer = answers[f"{client} ok"]["text"], answers[f"{client} {model}"]
    assert "request id req_" in answer["error"]
    assert answer["text"] and whole.startswith(answer["text"]) and answer["text"] != whole


@pytest.mark.parametrize("client", CLIENTS)
def test_an_error_status_is_raised_with_the_upstreams_words(answers: dict[str, Any], client: str) -> None:
    answer = answers[f"{client} {REFUSED}"]
    assert "429" in answer["error"] and not answer["text"]
