"""The lines that operators paste, whatever the model is called. That they work is tried by tests/clients/test_snippets.py."""

from __future__ import annotations

import json
import shlex
import tomllib

import pytest

from relay.admin.snippets import KEY as VARIABLE
from relay.admin.snippets import snippets

HOSTILE = "a'b\"c $(touch /tmp/never) `x` \\ \n ${HOME} </script>"


def texts(address: str, model: str) -> dict[str, str]:
    return {snippet.id: snippet.text for snippet in snippets(address, model)}


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
    assert json.loads(made["opencode"])["model"] == f"epitaph/{HOSTILE}"
    for name in ("openai-python", "anthropic-python", "google-genai", "ollama-python", "langchain"):
        compile(made[name], name, "exec")


def test_no_snippet_holds_a_key_but_all_name_its_variable() -> None:
    assert all(VARIABLE in text for text in texts("https://gateway.example", "m").values())
