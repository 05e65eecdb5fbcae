"""The lines that the page *Set up a client* shows are run as they stand there: text from the page, the key from its variable.

Those of agents' command lines are run by test_agents.py, which has them installed.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from relay.admin.snippets import KEY as VARIABLE
from relay.admin.snippets import snippets
from tests.clients.node_packages import installed
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
SAID = "A good ending is told"
PYTHON = ["openai-python", "anthropic-python", "google-genai", "ollama-python", "langchain"]
JAVASCRIPT = ["openai-js", "anthropic-js", "google-genai-js", "ai-sdk"]
SHELL = ["curl", "environment"]
AGENTS = ["claude-code", "codex", "gemini-cli", "opencode"]


def shown(gateway: Gateway, model: str) -> dict[str, str]:
    """The texts of the page, by the ids of their elements."""
    with httpx.Client(base_url=gateway.url, follow_redirects=True) as browser:
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get("/admin/login/").text)
        assert token is not None
        login = {"username": "admin", "password": "a-password-for-tests", "csrfmiddlewaretoken": token[1]}
        browser.post("/admin/login/", data=login, headers={"referer": f"{gateway.url}/admin/login/"})
        page = browser.get("/admin/setup/", params={"model": model})
    found = re.findall(r'<pre class="ep-long" id="s-([\w-]+)"[^>]*>(.*?)</pre>', page.text, re.DOTALL)
    return {name: html.unescape(text) for name, text in found}


@pytest.fixture(scope="module")
def page(gateway: Gateway) -> dict[str, str]:
    return shown(gateway, "ok")


def run(command: list[str], folder: Path, **more: str) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), VARIABLE: KEY} | more
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_each_text_of_the_page_is_tried_by_one_test(page: dict[str, str], gateway: Gateway) -> None:
    assert sorted(page) == sorted([*PYTHON, *JAVASCRIPT, *SHELL, *AGENTS])
    assert page == {snippet.id: snippet.text for snippet in snippets(gateway.url, "ok")}


@pytest.mark.parametrize("name", PYTHON)
def test_a_python_text_streams_the_answer(page: dict[str, str], tmp_path: Path, name: str) -> None:
    (tmp_path / "pasted.py").write_text(page[name])
    assert run([sys.executable, "pasted.py"], tmp_path) == SAID


@pytest.mark.timeout(600)  # the first installs the packages
@pytest.mark.parametrize("name", JAVASCRIPT)
def test_a_javascript_text_streams_the_answer(page: dict[str, str], name: str) -> None:
    packages, node = installed("npm"), shutil.which("node")
    assert node is not None
    (packages / f"pasted-{name}.mjs").write_text(page[name])
    assert run([node, f"pasted-{name}.mjs"], packages) == SAID


def test_the_line_for_curl_streams_events(page: dict[str, str], tmp_path: Path) -> None:
    assert "data: [DONE]" in run(["bash", "-ec", page["curl"]], tmp_path)


def test_the_variables_for_anything_else_are_read_by_the_openai_sdk(page: dict[str, str], tmp_path: Path) -> None:
    program = "import openai; print(openai.OpenAI().models.retrieve('closed-port').id)"
    line = page["environment"] + f'{sys.executable} -c "{program}"'
    assert run(["bash", "-ec", line], tmp_path).strip() == "closed-port"
