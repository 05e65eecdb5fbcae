"""An event stream in place of a whole answer becomes that answer, or says what it lacks; other bytes are none."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.rehearsal.answers import Answer, Failure, weather_calls
from relay.rehearsal.server import DIALECTS
from relay.wire.translation.gathering import gathered
from relay.wire.translation.speaking import Listener
from relay.wire.translation.translated import DIALECT_OF

SPOKEN = {dialect.name: dialect for dialect in reversed(DIALECTS) if dialect.name in DIALECT_OF}
LISTENER = Listener("a-model", {}, "seed", 0)
ANSWER = Answer("answer-1", "a-model", 0, text=("All", " is", " well"), with_usage=True)


def stream(protocol: str, answer: Answer = ANSWER) -> list[bytes]:
    return [event.encode() for event in SPOKEN[protocol].events(answer)]


@pytest.mark.parametrize("protocol", SPOKEN)
def test_the_pieces_are_put_together(protocol: str) -> None:
    found = gathered(protocol, b"".join(stream(protocol)), LISTENER)
    assert found is not None
    assert b"All is well" in found.body
    assert orjson.loads(found.body).keys() & {"choices", "output", "content", "candidates", "message"}


@pytest.mark.parametrize("protocol", SPOKEN)
def test_tool_calls_too(protocol: str) -> None:
    calling = Answer("answer-1", "a-model", 0, calls=weather_calls(2, "answer-1"), finish="tools")
    found = gathered(protocol, b"".join(stream(protocol, calling)), LISTENER)
    assert found is not None
    assert found.body.count(b"get_weather") == 2
    assert b"Oslo" in found.body


@pytest.mark.parametrize("protocol", SPOKEN)
def test_a_stream_that_ends_early_is_no_answer(protocol: str) -> None:
    events = stream(protocol)
    found = gathered(protocol, b"".join(events[: len(events) // 2]), LISTENER)
    assert found is not None
    assert found.body == b""


@pytest.mark.parametrize("protocol", SPOKEN)
def test_an_error_in_it_is_an_error(protocol: str) -> None:
    failure = Failure(500, "server_error", "server_error", "it broke")
    error = SPOKEN[protocol].failure_event(failure, 3).encode()
    found = gathered(protocol, b"".join(stream(protocol)[:2]) + error, LISTENER)
    assert found is not None
    assert b"it broke" in found.body
    assert "error" in orjson.loads(found.body)


@pytest.mark.parametrize("protocol", SPOKEN)
@pytest.mark.parametrize("body", [b"<html>", b"Service Unavailable", b"data: {", b": ping\n\n", b"data: 5\n\n", b"\xff\xfe", b""])
def test_other_bytes_are_no_stream(protocol: str, body: bytes) -> None:
    assert gathered(protocol, body, LISTENER) is None


@given(st.sampled_from(sorted(SPOKEN)), st.integers(0, 4000), st.binary(max_size=40))
def test_whatever_is_cut_out_or_put_in_it_never_raises(protocol: str, at: int, noise: bytes) -> None:
    whole = b"".join(stream(protocol))
    gathered(protocol, whole[:at] + noise + whole[at + len(noise) :], LISTENER)
