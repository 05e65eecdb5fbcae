"""The lines that operators paste: each that can run here is run, against a real gateway."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tomllib

import pytest

from relay.admin.snippets import KEY as VARIABLE
from relay.admin.snippets import snippets
from tests.faults.conftest import KEY, Gateway, gateway, upstream  # noqa: F401

HOSTILE = "a'b\"c $(touch /tmp/never) `x` \\ \n ${HOME} </script>"


def texts(address: str, model: str) -> dict[str, str]:
    return {snippet.id: snippet.text for snippet in snippets(address, model)}


@pytest.mark.gateway
@pytest.mark.parametrize(("name", "program"), [("openai-python", sys.executable), ("anthropic-python", sys.executable)])
def test_an_sdk_snippet_streams_an_answer(gateway: Gateway, name: str, program: str) -> None:  # noqa: F811
    ran = run([program, "-c", texts(gateway.url, "ok")[name]])
    assert ran.stdout.strip(), ran.stderr
    assert ran.returncode == 0, ran.stderr


@pytest.mark.gateway
def test_the_curl_line_streams_an_answer(gateway: Gateway) -> None:  # noqa: F811
    ran = run(["bash", "-ec", texts(gateway.url, "ok")["curl"]])
    assert "data: [DONE]" in ran.stdout, ran.stderr


@pytest.mark.parametrize("name", ["curl", "claude-code", "gemini-cli", "environment"])
def test_a_shell_takes_a_hostile_name_as_one_word(name: str) -> None:
    words = shlex.split(texts("https://gateway.example", HOSTILE)[name])
    if name in ("claude-code", "gemini-cli"):
        assert any(word.endswith(HOSTILE) for word in words)
    if name == "curl":
        assert '"stream": true' in words[-1]
    assert not any(word.startswith("$(") for word in words)


def test_a_hostile_name_is_one_string_in_each_language() -> None:
    made = texts("https://gateway.example", HOSTILE)
    assert tomllib.loads(made["codex"])["model"] == HOSTILE
    for name in ("openai-python", "anthropic-python", "google-genai"):
        compile(made[name], name, "exec")


def test_no_snippet_holds_a_key_but_all_name_its_variable() -> None:
    assert all(VARIABLE in text for text in texts("https://gateway.example", "m").values())


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), VARIABLE: KEY}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
