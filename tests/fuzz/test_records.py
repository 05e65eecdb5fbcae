"""Secrets planted anywhere in a record: none reaches the journal, and what a record is about survives."""

from __future__ import annotations

import string
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from relay import recorder
from relay.ending import Cause, Fault, Outcome, Phase, Verdict
from relay.recorder import Ending, new_record_id
from tests.relay.shipper.records import entry_of

CORE = st.text(string.ascii_letters + string.digits, min_size=24, max_size=48)
SHAPES = (
    "sk-{}",
    "sk-ant-api03-{}",
    "epk_{}",
    "AIza{}",
    "Authorization: Bearer {}",
    '{{"authorization": "Bearer {}"}}',
    "https://user:{}@host.example/v1",
    "https://host.example/v1?key={}&alt=sse",
    "x-api-key: {}",
    "Cookie: sessionid={}",
    "password={}",
    "eyJhbGciOiJIUzI1NiJ9.eyJ{}.c2lnbmF0dXJlLW9mLWl0",
)
AROUND = st.sampled_from(["", " ", "\n", "said: ", '"', "'", "(", ")", ", ", "; ", 'the upstream said "', "…", "ä", "\t"])
WORDS = st.text(max_size=12) | st.sampled_from(["finish", "max_tokens", "usage"])
SECRET_NAMES = st.sampled_from(["authorization", "api_key", "X-Api-Key", "token", "Set-Cookie", "password", "client_secret"])


@st.composite
def planted(draw: st.DrawFn) -> tuple[str, Any]:
    """A secret's core, and a value that holds it somewhere down to a few levels."""
    core = draw(CORE)
    text = draw(AROUND) + draw(st.sampled_from(SHAPES)).format(core) + draw(AROUND)
    value: Any = text
    if draw(st.booleans()):
        value = {draw(SECRET_NAMES): core}
    for _ in range(draw(st.integers(0, 3))):
        value = draw(
            st.sampled_from(
                [
                    {draw(WORDS): value, "max_tokens": 5},
                    [draw(WORDS), value],
                    {"detail": value, "n": [1, 2.5, None]},
                ]
            )
        )
    return core, value


PLACES = st.sampled_from(["evidence", "detail", "stack", "entry", "egress", "attempts", "reason"])


@given(planted(), PLACES)
def test_no_planted_secret_reaches_the_journal(secret: tuple[str, Any], place: str) -> None:
    core, value = secret
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    verdict = Verdict(
        Outcome.UPSTREAM_ERROR,
        Cause.ERROR_EVENT,
        Phase.STREAMING,
        Fault.UPSTREAM,
        text if place == "reason" else "",
        text if place == "detail" else "",
    )
    record = new_record_id()
    entry = entry_of(record, **({"model": text} if place == "entry" else {}))
    evidence: dict[str, Any] = {"kind": "upstream-error", "request_id": entry["request_id"], "event_count": 3}
    if place == "evidence":
        evidence["upstream_body"] = {"excerpt": value}
    if place == "attempts":
        evidence["attempts"] = [{"upstream": "one", "detail": text}]
    egress = [{"path": "/", "error": text}] if place == "egress" else []
    ending = Ending(verdict, evidence, entry, egress, text if place == "stack" else "", record)
    line = recorder._looked_through(recorder.close_record(ending, 1.0, "1"))
    assert core.encode() not in line
    read = orjson.loads(line)
    assert (read["id"], read["entry"]["outcome"], read["event"]["name"]) == (record, "upstream-error", "StreamUpstreamError")
    assert read["entry"]["evidence"]["event_count"] == 3
    assert b"\\u0000" not in line.replace(b"\\\\u0000", b"")  # a NUL is spelt out, so that a database takes it


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_whatever_an_ending_holds_it_becomes_one_line(value: Any) -> None:
    record = new_record_id()
    ending = Ending(None, {"odd": value, "path": value, "upstream_status": value}, {"model": value, "time": 1.0}, (), "", record)
    line = recorder._looked_through(recorder.close_record(ending, 1.0, "1"))
    assert b"\n" not in line
    assert orjson.loads(line)["id"] == record
