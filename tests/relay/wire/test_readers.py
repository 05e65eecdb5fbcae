"""The readers: what each protocol's events mean. They never raise, whatever they are fed."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.events import Answer, ClientError, Kind
from relay.wire.registry import DIALECTS

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
                    "tool_calls",
                    "function",
                    "arguments",
                    "index",
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
    return [reader.read(frame).kind for frame in DIALECTS[tag].scanner().feed(stream)], reader.answer


@pytest.mark.parametrize("tag", TAGS)
@given(value=JSON)
def test_no_event_makes_a_reader_raise(tag: str, value: object) -> None:
    data = orjson.dumps(value)
    read(tag, data + b"\n" if tag == "ollama" else b"data: " + data + b"\n\n")


@pytest.mark.parametrize("index", [[1], {"a": 1}, None])
def test_a_tool_call_may_be_counted_by_anything(index: object) -> None:
    calls = [{"index": index, "function": {"arguments": "{"}}]
    kinds, answer = read("chat", chunk(delta={"tool_calls": calls}) + chunk(delta={}, finish_reason="tool_calls"))
    assert kinds == [Kind.CONTENT, Kind.FINISH]
    assert answer.notes == {"tool-arguments-incomplete"}


@pytest.mark.parametrize("tag", TAGS)
def test_an_error_nested_deeper_than_can_be_written_is_an_error_all_the_same(tag: str) -> None:
    body = b'{"type":"error","error":' + b'{"a":' * 300 + b"1" + b"}" * 301
    kinds, answer = read(tag, body + b"\n" if tag == "ollama" else b"data: " + body + b"\n\n")
    assert kinds == [Kind.ERROR]
    assert answer.failure is not None
    assert answer.failure.message


@pytest.mark.parametrize(
    "body", [{"error": {}}, {"error": ""}, {"detail": "no"}, {"object": "error"}, {"message": "no", "code": 1}]
)
@pytest.mark.parametrize("tag", TAGS)
def test_a_whole_body_that_only_tells_of_an_error_is_no_answer(tag: str, body: dict[str, object]) -> None:
    answer = Answer()
    DIALECTS[tag].read_whole(orjson.dumps(body), answer)
    assert answer.failure is not None
    assert answer.failure.message


ANSWERS: dict[str, dict[str, object]] = {
    "chat": {"choices": []},
    "responses": {"output": []},
    "messages": {"content": []},
    "gemini": {"usageMetadata": {}},
    "ollama": {"message": {"content": ""}, "done": True},
}


@pytest.mark.parametrize("said", [None, False, "", {}])
@pytest.mark.parametrize("tag", TAGS)
def test_an_answer_with_an_empty_error_is_an_answer(tag: str, said: object) -> None:
    answer = Answer()
    DIALECTS[tag].read_whole(orjson.dumps(ANSWERS[tag] | {"error": said}), answer)
    assert answer.failure is None


@pytest.mark.parametrize("tag", TAGS)
def test_a_request_nested_deeper_than_can_be_written_has_facts(tag: str) -> None:
    body = orjson.loads(b'{"model":"m","tools":' + b"[" * 300 + b"]" * 300 + b"}")
    assert DIALECTS[tag].request_facts(body).variant_hash


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


@pytest.mark.parametrize(
    ("event", "message", "status"),
    [
        ({"object": "error", "message": "boom", "type": "InternalServerError", "code": 500}, "boom", 500),
        ({"statusCode": 429, "message": "Rate limit is exceeded."}, "Rate limit is exceeded.", 429),
        ({"detail": "engine dead"}, "engine dead", None),
        ({"error": "no slot"}, "no slot", None),
        ({"error": {"message": "long", "code": "context_length_exceeded"}}, "long", 400),
    ],
)
def test_an_error_is_known_by_what_it_says_in_a_stream_and_whole(event: dict[str, object], message: str, status: int) -> None:
    kinds, streamed = read("chat", chunk(delta={"content": "x"}) + b"data: " + orjson.dumps(event) + b"\n\ndata: [DONE]\n\n")
    assert kinds[1] is Kind.ERROR and not streamed.terminal
    whole = Answer()
    DIALECTS["chat"].read_whole(orjson.dumps(event), whole)
    for failure in (streamed.failure, whole.failure):
        assert failure is not None and (failure.message, failure.status) == (message, status)


@pytest.mark.parametrize("error", [None, False, "", {}])
def test_an_empty_error_beside_choices_is_none(error: object) -> None:
    body = {"choices": [{"index": 0, "delta": {"content": "x"}}], "error": error, "message": "m", "code": 0, "detail": "d"}
    _, answer = read("chat", b"data: " + orjson.dumps(body) + b"\n\n")
    assert answer.failure is None


def test_half_a_surrogate_pair_does_not_hide_an_error() -> None:
    event = rb'data: {"error": {"message": "bad \u0000 \ud83d x \ud83d\ude00", "code": "c"}}' + b"\n\n"
    kinds, answer = read("chat", event)
    assert kinds == [Kind.ERROR] and answer.failure is not None
    assert answer.failure.message == "bad \0 \ufffd x \U0001f600"
    assert read("chat", rb'data: {"x": NaN, "y": "\ud83d"}' + b"\n\n")[0] == [Kind.MALFORMED]


@pytest.mark.parametrize(
    "begun", [b"data: {}", b"data:{", b"event", b"e", b"\xef\xbb", b"\xef\xbb\xbfid: 1", b": x", b"\n\r\n", b"retry:", b"data\n"]
)
def test_a_body_that_begins_as_events_is_a_stream(begun: bytes) -> None:
    assert DIALECTS["chat"].is_stream(begun)


@pytest.mark.parametrize(
    "begun", [b"{", b" [1", b"<html>", b"upstream connect error", b"identity: no", b"databases fail", b"\x1f\x8b"]
)
def test_a_body_that_does_not_is_none(begun: bytes) -> None:
    assert not DIALECTS["chat"].is_stream(begun)


def test_a_marker_alone_is_no_answer() -> None:
    kinds, answer = read("chat", b": ping\n\ndata: [DONE]\n\n")
    assert kinds == [Kind.PING, Kind.OPENING] and not answer.terminal


def test_the_failed_response_takes_the_next_sequence_number_and_the_known_id() -> None:
    answer = Answer()
    answer.response_id, answer.sequence_number = "resp_9", 41
    frame = DIALECTS["responses"].error_frame(ClientError(504, "eof", "cut"), answer)
    event = orjson.loads(frame.split(b"data: ")[1])
    assert (event["sequence_number"], event["response"]["id"], event["response"]["status"]) == (42, "resp_9", "failed")
    assert event["error"] == {"code": "eof", "message": "cut"}
