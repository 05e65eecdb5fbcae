"""Coding agents' own command lines, pointed at the gateway as their users would: an answer, and a stream that dies.

They weigh over a gigabyte, so that `make agents` tries them, and `make test` does not.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.admin.snippets import KEY as VARIABLE
from tests.clients.node_packages import installed
from tests.clients.test_snippets import AGENTS as WITH_A_TEXT
from tests.clients.test_snippets import shown
from tests.gateways import KEY, Gateway

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.environ.get("AGENTS") != "1", reason="SKIPPED: the agents' command lines; `make agents` tries them"),
]
CUT = "eof,after=3"
FOR_GEMINI = (".gemini/settings.json", '{"security": {"auth": {"selectedType": "gemini-api-key"}}}')  # else it refuses -p


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
        path = f"{self.programs}:{os.environ['PATH']}"
        done = subprocess.run(
            [shutil.which(name, path=path) or name, *arguments],
            cwd=self.home,
            env={"PATH": path, "HOME": str(self.home), "TMPDIR": str(self.home)} | environment,
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


def gemini(agent: Agent, model: str, key: str = KEY) -> str:
    agent.configure(*FOR_GEMINI)
    return agent.run(
        *("gemini", "--skip-trust", "--model", model, "-p", "Say hello."),
        GOOGLE_GEMINI_BASE_URL=agent.gateway.url,
        GEMINI_API_KEY=key,
    )


AGENTS = [claude, codex, opencode, gemini]


@pytest.mark.parametrize("ask", AGENTS)
def test_an_agent_reads_the_answer(
    programs: Path, tmp_path: Path, gateway: Gateway, answer: str, ask: Callable[[Agent, str], str]
) -> None:
    assert answer in ask(Agent(programs, tmp_path, gateway), "ok")


@pytest.mark.parametrize("ask", [claude, codex, opencode])
def test_an_agent_says_why_the_stream_died(
    programs: Path, tmp_path: Path, gateway: Gateway, ask: Callable[[Agent, str], str]
) -> None:
    assert "request id req_" in ask(Agent(programs, tmp_path, gateway), CUT)


def test_the_gemini_command_line_says_that_a_stream_died_and_asks_again(programs: Path, tmp_path: Path, gateway: Gateway) -> None:
    """It carries an SDK of its own that knows no error inside a stream, so our words are not among what it says."""
    model = f"{CUT},size=9"
    assert "Model stream ended without a finish reason" in gemini(Agent(programs, tmp_path, gateway), model)
    listed = gateway.api.get("/api/audit/entries", params={"limit": 50}).json()["items"]
    endings = [(item["outcome"], item["cause"]) for item in listed if item["model"] == model]
    assert set(endings) == {("upstream-premature", "eof")}
    assert len(endings) > 1


def test_the_gemini_command_line_shows_an_error_that_came_before_the_stream(
    programs: Path, tmp_path: Path, gateway: Gateway
) -> None:
    assert "request id req_" in gemini(Agent(programs, tmp_path, gateway), "ok", "no-such-key")


# How what the set-up page shows is used: the file that it stands in, or none when a shell reads it; and then the command.
PASTED = {
    "claude-code": ("", ' -p "Say hello."'),
    "codex": (".codex/config.toml", 'codex exec --skip-git-repo-check "Say hello."'),
    "gemini-cli": ("", ' --skip-trust -p "Say hello."'),
    "opencode": (".config/opencode/opencode.json", 'opencode run "Say hello."'),
}


@pytest.mark.parametrize("name", WITH_A_TEXT)
def test_the_lines_of_the_set_up_page_lead_an_agent_here(
    programs: Path, tmp_path: Path, gateway: Gateway, answer: str, name: str
) -> None:
    agent, text = Agent(programs, tmp_path, gateway), shown(gateway, "ok")[name]
    agent.configure(*FOR_GEMINI)
    file, command = PASTED[name]
    if file:
        agent.configure(file, text)
    script = command if file else text.rstrip() + command
    assert answer in agent.run("bash", "-ec", script, **{VARIABLE: KEY})
