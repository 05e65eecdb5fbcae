"""Telling an event by its bytes gives what decoding it would have given, whatever stands in its text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.events import Answer, Kind, Mark
from relay.wire.passage import Passage
from relay.wire.registry import DIALECTS, Dialect
from relay.wire.sse import Frame

CHAT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1764000000,"model":"m","service_tier":null,'
    b'"choices":[{"index":0,"delta":{"content":"%b"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"%b"}\n\n'
)
SPACED = (
    b'data: {"id": "gen-1", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "reasoning": "%b"}, '
    b'"finish_reason": null}], "note": "%b"}\n\n'
)
MESSAGES = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%b"},"padding":"%b"}\n\n'
)
RESPONSES = (
    b"event: response.output_text.delta\n"
    b'data: {"type":"response.output_text.delta","sequence_number":%d,"item_id":"msg_1","output_index":0,"content_index":0,'
    b'"delta":"%b","logprobs":[],"obfuscation":"%b"}\n\n'
)
SHAPES = {"chat": ("chat", CHAT), "spaced": ("chat", SPACED), "messages": ("messages", MESSAGES)}
words = st.one_of(
    st.text(min_size=1, max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=8),
    st.lists(
        st.sampled_from(
            [b" word", b"\\n", b'\\"', b"\\\\", b'"', b"\\", b"\n", b"\n\n", b"\r", b"\\u00e9", b"\\ud83d", b"\\ude00", b"\\u12",
             b"\\x", b'","content":"', b'"}', b"\xc3\xa9", b"\xc3", b"\0", b"\x7f", b""]
        ),
        max_size=4,
    ).map(b"".join),
)  # fmt: skip


def decoded(dialect: Dialect, raws: list[bytes]) -> tuple[list[Mark], dict[str, Any]]:
    reader, scanner = dialect.reader(), dialect.scanner()
    marks = [reader.read(frame) for raw in raws for frame in scanner.feed(raw)]
    return marks, {name: getattr(reader.answer, name) for name in Answer.__slots__}


def told(dialect: Dialect, raws: list[bytes]) -> tuple[list[Mark], dict[str, Any], int]:
    """As the relay does it: by the bytes where that can be done. Also how often it could."""
    passage = Passage(dialect)
    marks, repeated = [], 0
    for raw in raws:
        mark = passage.repeated(raw) if not passage.scanner.pending else None
        if mark is not None:
            repeated += 1
            marks.append(mark)
            continue
        for frame in passage.scanner.feed(raw):
            marks.append(passage.reader.read(frame))
            passage.take(frame, marks[-1])
    return marks, {name: getattr(passage.answer, name) for name in Answer.__slots__}, repeated


def agree(dialect: Dialect, raws: list[bytes]) -> int:
    marks, answer = decoded(dialect, raws)
    found, learnt, repeated = told(dialect, raws)
    assert found == marks and learnt == answer
    return repeated


@pytest.mark.parametrize("shape", SHAPES)
@given(texts=st.lists(st.tuples(words, words), max_size=6))
def test_what_is_told_by_its_bytes_is_what_decoding_says(shape: str, texts: list[tuple[bytes, bytes]]) -> None:
    name, event = SHAPES[shape]
    agree(DIALECTS[name], [event % pair for pair in [(b"first", b"x"), *texts]])


@given(texts=st.lists(st.tuples(st.integers(-1, 1 << 70), words, words), max_size=6))
def test_so_it_is_with_numbered_events(texts: list[tuple[int, bytes, bytes]]) -> None:
    agree(DIALECTS["responses"], [RESPONSES % given for given in [(4, b"first", b"x"), *texts]])


PLAIN = [(b" plain", b"abc"), (b"\\n\\n", b""), (b"\xe4\xb8\xad\xe6\x96\x87", b"z"), (b'\\u00e9\\"', b"q")]


@pytest.mark.parametrize("shape", ["chat", "spaced", "messages"])
def test_ordinary_events_are_told_by_their_bytes(shape: str) -> None:
    name, event = SHAPES[shape]
    varies = shape == "chat"  # the others' last member is no padding: it may mean something
    raws = [event % (text, padding if varies else b"x") for text, padding in [(b"first", b"x"), *PLAIN]]
    assert agree(DIALECTS[name], raws) == len(PLAIN)


def test_the_number_of_an_event_told_by_its_bytes_is_kept() -> None:
    raws = [RESPONSES % (number, *pair) for number, pair in enumerate([(b"first", b"x"), *PLAIN], 7)]
    assert agree(DIALECTS["responses"], raws) == len(PLAIN)
    assert told(DIALECTS["responses"], raws)[1]["sequence_number"] == 7 + len(PLAIN)


@pytest.mark.parametrize(
    "delta",
    [
        b'{"content":"x","tool_calls":[{"index":0,"function":{"arguments":"{"}}]}',
        b'{"content":"x","audio":{"data":"x"}}',
        b'{"content":["x"]}',
    ],
)
def test_an_event_that_says_more_than_its_text_teaches_nothing(delta: bytes) -> None:
    raw = b'data: {"choices":[{"index":0,"delta":%b,"finish_reason":null}]}\n\n' % delta
    assert agree(DIALECTS["chat"], [raw] * 3) == 0


def test_a_finish_reason_is_never_taken_for_a_repetition() -> None:
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":%b}]}\n\n'
    raws = [event % (b"a", b"null"), event % (b"b", b"null"), event % (b"c", b'"stop"'), b"data: [DONE]\n\n"]
    passage_marks, answer, repeated = told(DIALECTS["chat"], raws)
    assert [mark.kind for mark in passage_marks] == [Kind.CONTENT, Kind.CONTENT, Kind.FINISH, Kind.TERMINAL]
    assert repeated == 1 and answer["finish_reason"] == "stop"


def test_a_translated_stream_is_decoded_event_by_event() -> None:
    from relay.wire.translation.speaking import Listener
    from relay.wire.translation.translated import Translated

    passage = Translated(DIALECTS["messages"], "openai-chat", Listener("m", {}, "seed", 1, "/v1/messages", False), frozenset())
    for text in (b"a", b"b"):
        assert passage.repeated(CHAT % (text, b"x")) is None
        frame: Frame
        for frame in passage.scanner.feed(CHAT % (text, b"x")):
            assert text in passage.take(frame, passage.reader.read(frame))
