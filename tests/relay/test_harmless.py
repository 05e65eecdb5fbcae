"""The quick look against redaction itself: it may be stricter, never less strict."""

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from errorlog import redaction
from relay import harmless as quick
from relay import recorder
from relay.harmless import harmless

SECRETS = [
    "authorization: Bearer abcdefghijklmnop",
    "Basic dXNlcjpwYXNzd29yZA==",
    "https://user:pass@host/x",
    "?key=AIzaSyA1234567890123456789012345678901",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "sk-ant-api03-abcdefghijklmnopqrstuvwxyz",
    "token=abcdefghijklmnop",
    "password=hunter22hunter22",
    "x-api-key: 0123456789abcdef",
]
NAMES = ["authorization", "X-Api-Key", "api-key", "apikey", "x-goog-api-key", "key", "token", "access_token"]
NAMES += ["refresh_token", "Cookie", "set-cookie", "session", "secret", "password", "max_tokens"]
NAMES += ["model", "detail", "user_agent", "attempts", "path", "evidence"]
TEXTS = st.text(max_size=20) | st.sampled_from(SECRETS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), inner),
    max_leaves=6,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(evidence=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUES, max_size=4))
@example(evidence={"path": "/v1/x?key=abcdefghijklmnopqrstuvwx"})
def test_the_quick_look_is_never_less_strict_than_the_walk(evidence: dict[str, Any]) -> None:
    line = {"t": "close", "id": "x", "at": 1.0, "entry": {"evidence": evidence}}
    assert orjson.loads(recorder._looked_through(line)) == orjson.loads(recorder._walked(line))


@pytest.mark.parametrize("secret", SECRETS)
def test_the_quick_look_sees_each_shape_of_secret(secret: str) -> None:
    line = {"t": "close", "id": "x", "at": 1.0, "entry": {"evidence": {"detail": secret}}}
    assert orjson.loads(recorder._looked_through(line)) == orjson.loads(recorder._walked(line))


@settings(max_examples=300, deadline=None)
@given(secret=st.from_regex(redaction._SHAPES), before=st.text(max_size=5), after=st.text(max_size=5))
def test_whatever_redaction_would_change_is_seen(secret: str, before: str, after: str) -> None:
    text = before + secret + after
    assert redaction.redact_text(text) == text or not harmless({"detail": text})


def test_no_field_of_ours_has_a_secret_name() -> None:
    assert not quick.NAMES & redaction.SECRET_KEYS


def test_the_record_of_a_healthy_stream_needs_no_walk() -> None:
    evidence = {
        "request_id": "req_01a2117fa3b27b31a9b938fb2e3da126",
        "path": "/v1/chat/completions",
        "model": "gpt-5-mini",
        "timeline": {"routed": 0.4, "ended": 2031.7},
        "last_events": [{"type": "delta", "size": 203, "at": 12.5}],
        "relay": {"process": 12, "instance": "host-1", "version": "0.1.0", "in_flight": 3},
    }
    entry = {"user_agent": "OpenAI/Python 3.57.0", "peer": "127.0.0.1", "credential": "team-a", "evidence": evidence}
    assert harmless({"t": "close", "id": "01a2117f-a3b2-7b31-a9b9-38fb2e3da126", "at": 1.0, "entry": entry})


def test_what_lies_too_deep_or_has_an_unknown_name_or_type_is_left_to_redaction() -> None:
    deep: dict[str, Any] = {"entry": {}}
    inner = deep
    for _ in range(10):
        inner["entry"] = inner = {}
    assert not harmless(deep)
    assert not harmless({"entry": {"authorization": "x"}})
    assert not harmless({"entry": {"model": None}})
    assert not harmless({"entry": {"model": b"x"}})


def test_the_memory_of_words_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "REMEMBERED", 10)
    for number in range(50):
        assert harmless({"model": f"m{number}"})
    assert harmless({"model": "x" * 1_000})
    assert len(quick._known) <= 10
