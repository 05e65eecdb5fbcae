"""The readers: what each protocol's events mean. They never raise, whatever they are fed."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.events import Answer, ClientError, Kind
from relay.wire.registry import DIALECTS
from relay.wire.sse import SSEScanner

FIELDS = ["id", "type", "error", "choices", "delta", "finish_reason", "usage", "message", "response", "stop_reason", "code"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "type",
                    "error",
                    "choices",
                    "delta",
                    "finish_reason",
                    "usage",
                    "message",
                    "response",
                    "stop_reason",
                    "status",
                    "code",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
TAGS = list(DIALECTS)


def read(tag: str, stream: bytes) -> tuple[list[Kind], Answer]:
    reader = DIALECTS[tag].reader()
    return [reader.read(frame).kind for frame in SSEScanner().feed(stream)], reader.answer


@pytest.mark.parametrize("tag", TAGS)
@given(value=JSON)
def test_no_event_makes_a_reader_raise(tag: str, value: object) -> None:
    read(tag, b"data: " + orjson.dumps(value) + b"\n\n")


@pytest.mark.parametrize("tag", TAGS)
def test_our_own_error_event_is_read_as_a_failure_with_its_message(tag: str) -> None:
    frame = DIALECTS[tag].error_frame(ClientError(502, "eof", "it broke (request id req_1)"), Answer())
    kinds, answer = read(tag, frame)
    assert kinds == [Kind.ERROR]
    assert answer.failure is not None
    assert "req_1" in answer.failure.message


def chunk(**choice: object) -> bytes:
    return b"data: " + orjson.dumps({"id": "c", "choices": [{"index": 0, **choice}]}) + b"\n\n"


def test_chat_finishes_when_every_choice_has_and_usage_may_follow() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "prompt_tokens_details": {"cached_tokens": 2}}
    stream = chunk(delta={"role": "assistant"}) + chunk(delta={"content": "x"}) + chunk(delta={}, finish_reason="stop")
    stream += b"data: " + orjson.dumps({"choices": [], "usage": usage}) + b"\n\ndata: [DONE]\n\n"
    kinds, answer = read("chat", stream)
    assert kinds == [Kind.OPENING, Kind.CONTENT, Kind.FINISH, Kind.USAGE, Kind.TERMINAL]
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.output, answer.usage.cached) == (3, 4, 2)
    assert (answer.finish, answer.finish_reason) == ("completed", "stop")


@pytest.mark.parametrize(
    ("reason", "finish"), [("stop", "completed"), ("tool_calls", "completed"), ("length", "incomplete"), ("odd", "incomplete")]
)
def test_a_finish_reason_is_kept_verbatim(reason: str, finish: str) -> None:
    _, answer = read("chat", chunk(delta={}, finish_reason=reason))
    assert (answer.finish, answer.finish_reason) == (finish, reason)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "completed"), ("tool_use", "completed"), ("max_tokens", "incomplete"), ("refusal", "incomplete")],
)
def test_a_stop_reason_is_kept_verbatim(reason: str, finish: str) -> None:
    event = {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 5}}
    _, answer = read("messages", b"event: message_delta\ndata: " + orjson.dumps(event) + b"\n\n")
    assert (answer.finish, answer.finish_reason) == (finish, reason)


def test_an_error_beside_empty_choices_is_an_error() -> None:
    _, answer = read("chat", b'data: {"choices": [], "error": {"message": "no", "code": "overloaded_error"}}\n\n')
    assert answer.failure is not None
    assert (answer.failure.message, answer.failure.status) == ("no", 529)


def test_the_failed_response_takes_the_next_sequence_number_and_the_known_id() -> None:
    answer = Answer()
    answer.response_id, answer.sequence_number = "resp_9", 41
    frame = DIALECTS["responses"].error_frame(ClientError(504, "eof", "cut"), answer)
    event = orjson.loads(frame.split(b"data: ")[1])
    assert (event["sequence_number"], event["response"]["id"], event["response"]["status"]) == (42, "resp_9", "failed")
    assert event["error"] == {"code": "eof", "message": "cut"}
