"""Secrets go, what is no secret stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errorlog.redaction import redact, redact_text, storable

SECRET = "sk-proj-abcdefghijklmnop1234"


@pytest.mark.parametrize(
    "text",
    [
        f"Incorrect API key provided: {SECRET}.",
        f"Authorization: Bearer {SECRET}",
        f"https://host/v1?key={SECRET}&alt=sse",
        f"https://user:{SECRET}@host/",
        f'{{"x-api-key": "{SECRET}"}}',
    ],
)
def test_what_looks_like_a_key_is_gone_from_texts(text: str) -> None:
    assert SECRET not in redact_text(text)
    assert "abcdefghijklmnop" not in redact_text(text)


@pytest.mark.parametrize("name", ["authorization", "X-Api-Key", "password", "set-cookie", "refresh_token"])
def test_fields_of_secret_names_are_gone(name: str) -> None:
    assert "hunter2hunter2" not in str(redact({"a": [{name: "hunter2hunter2"}]}))


def test_what_is_no_secret_stays() -> None:
    value = {"max_tokens": 5, "usage": {"total_tokens": 9}, "model": "gpt-5", "written": False, "empty": ""}
    assert redact(value) == value


def test_what_lies_deep_is_replaced() -> None:
    value: Any = "deep"
    for _ in range(9):
        value = {"a": value}
    assert "deep" not in str(redact(value))


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_neither_raises_and_what_is_storable_has_no_nul(value: Any) -> None:
    assert "\x00" not in repr(storable(redact(value))).replace("\\x00", "\x00")
