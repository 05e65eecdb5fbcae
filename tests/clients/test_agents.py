"""Coding agents' own command lines, pointed at the gateway as their users would: an answer, and a stream that dies.

They weigh over a gigabyte, so that `make agents` tries them, and `make test` does not.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clients.node_packages import installed
from tests.faults.conftest import KEY, Gateway

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.environ.get("AGENTS") != "1", reason="SKIPPED: the agents' command lines; `make agents` tries them"),
]
CUT = "eof,after=3"


@pytest.fixture(scope="session")
def programs() -> Path:
    return installed("agents") / "node_modules" / ".bin"


@pytest.fixture(scope="session")
def answer(gateway: Gateway) -> str:
    """How the upstream's answer begins."""
    body = {"model": "ok", "messages": [{"role": "user", "content": "Say hello."}]}
    headers = {"authorization": f"Bearer {KEY}"}
    said = httpx.post(f"{gateway.url}/v1/chat/completions", headers=headers, json=body).json()
    return said["choices"][0]["message"]["content"][:20]


class Agent:
    """An agent in an empty home of its own."""

    def __init__(self, programs: Path, home: Path, gateway: Gateway) -> None:
        self.programs, self.home, self.gateway = programs, home, gateway

    def run(self, name: str, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [str(self.programs / name), *arguments],
            cwd=self.home,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
        )
        return done.stdout + done.stderr

    def configure(self, path: str, text: str) -> None:
        (self.home / path).parent.mkdir(parents=True, exist_ok=True)
        (self.home / path).write_text(text)


def claude(agent: Agent, model: str) -> str:
    return agent.run(
        *("claude", "-p", "Say hello.", "--model", model, "--output-format", "json"),
        ANTHROPIC_BASE_URL=agent.gateway.url,
        ANTHROPIC_API_KEY=KEY,
        CLAUDE_CODE_MAX_RETRIES="0",
        CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC="1",
    )


def codex(agent: Agent, model: str) -> str:
    agent.configure(
        ".codex/config.toml",
        f'model_provider = "epitaph"\n[model_providers.epitaph]\nname = "Epitaph"\nbase_url = "{agent.gateway.url}/v1"\n'
        'env_key = "EPITAPH_KEY"\nwire_api = "responses"\nstream_max_retries = 0\nrequest_max_retries = 0\n',
    )
    return agent.run("codex", "exec", "--skip-git-repo-check", "-m", model, "Say hello.", EPITAPH_KEY=KEY)


def opencode(agent: Agent, model: str) -> str:
    provider: dict[str, Any] = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{agent.gateway.url}/v1", "apiKey": KEY},
        "models": {"ok": {}, CUT: {}},
    }
    agent.configure(".config/opencode/opencode.json", json.dumps({"provider": {"epitaph": provider}}))
    return agent.run("opencode", "run", "-m", f"epitaph/{model}", "Say hello.")


AGENTS = [claude, codex, opencode]


@pytest.mark.parametrize("ask", AGENTS)
def test_an_agent_reads_the_answer(
    programs: Path, tmp_path: Path, gateway: Gateway, answer: str, ask: Callable[[Agent, str], str]
) -> None:
    assert answer in ask(Agent(programs, tmp_path, gateway), "ok")


@pytest.mark.parametrize("ask", AGENTS)
def test_an_agent_says_why_the_stream_died(
    programs: Path, tmp_path: Path, gateway: Gateway, ask: Callable[[Agent, str], str]
) -> None:
    assert "request id req_" in ask(Agent(programs, tmp_path, gateway), CUT)
