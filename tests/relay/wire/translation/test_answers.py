"""Answers between protocols: no event makes a passage raise anything but what the supervisor knows, and no end is invented."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.wire.events import ClientError, Kind, MalformedBody
from relay.wire.registry import DIALECTS
from relay.wire.translation.events import CallBegan, CallEnded, CallPiece, Finished, Said, Signed, Stop, Thinking, assembled
from relay.wire.translation.prompt import Text, Thought, ToolCall
from relay.wire.translation.speaking import Listener
from relay.wire.translation.translated import MAPPINGS, Translated

PAIRS = [(tag, protocol) for tag, dialect in DIALECTS.items() for protocol in MAPPINGS if dialect.protocol != protocol]
LISTENER = Listener("m", {}, "seed", 7, "/api/chat")
NAMES = (
    "type",
    "choices",
    "delta",
    "content",
    "content_block",
    "index",
    "message",
    "tool_calls",
    "function",
    "arguments",
    "name",
    "id",
    "finish_reason",
    "usage",
    "candidates",
    "parts",
    "text",
    "functionCall",
    "args",
    "finishReason",
    "done",
    "done_reason",
    "response",
    "item",
    "output",
    "item_id",
    "stop_reason",
    "reasoning_details",
    "thinking",
    "signature",
    "partial_json",
    "extra_content",
)
TYPES = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "text",
    "tool_use",
    "text_delta",
    "input_json_delta",
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.completed",
    "response.function_call_arguments.delta",
    "function_call",
    "message",
    "reasoning",
)
LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=4) | st.sampled_from(TYPES)
JSON = st.dictionaries(
    st.sampled_from(NAMES),
    st.recursive(
        LEAVES,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
        max_leaves=14,
    ),
    max_size=6,
)
ENDS = {
    "chat": b"[DONE]",
    "responses": b"response.completed",
    "messages": b"message_stop",
    "gemini": b"finishReason",
    "ollama": b'"done":true',
}
SPOKEN = [
    Said("x"),
    Thinking("t"),
    Signed("s", "anthropic"),
    CallBegan(0, "c", "f"),
    CallPiece(0, "{}"),
    Finished(Stop.STOP, "stop"),
]


def frames(protocol: str, event: Any) -> bytes:
    data = orjson.dumps(event)
    return data + b"\n" if protocol == "ollama" else b"data: " + data + b"\n\n"


@pytest.mark.parametrize(("tag", "protocol"), PAIRS)
@settings(max_examples=25)
@given(events=st.lists(JSON, max_size=4))
def test_no_event_makes_a_passage_raise_what_nobody_expects(tag: str, protocol: str, events: list[Any]) -> None:
    passage = Translated(DIALECTS[tag], protocol, LISTENER, frozenset())
    for event in events:
        for frame in passage.scanner.feed(frames(protocol, event)):
            try:
                passage.take(frame, passage.reader.read(frame))
            except MalformedBody:
                return
    passage.error_frame(ClientError(502, "eof", "it broke"))


@pytest.mark.parametrize("tag", list(DIALECTS))
@settings(max_examples=40)
@given(events=st.lists(st.sampled_from(SPOKEN), max_size=8))
def test_nothing_of_an_end_is_written_before_the_end(tag: str, events: list[Any]) -> None:
    writer = MAPPINGS[DIALECTS[tag].protocol].writer(LISTENER)
    written = b"".join(writer.write(event) for event in events)
    assert ENDS[tag] not in written
    assert ENDS[tag] not in writer.error(ClientError(504, "eof", "it broke"))


@pytest.mark.parametrize("tag", list(DIALECTS))
def test_without_a_reason_the_end_names_none(tag: str) -> None:
    """An upstream's end marker without a finish reason: the end is passed on, and no reason is invented."""
    writer = MAPPINGS[DIALECTS[tag].protocol].writer(LISTENER)
    said = writer.write(Said("x")) + writer.end()
    reader = DIALECTS[tag].reader()
    kinds = [reader.read(frame).kind for frame in DIALECTS[tag].scanner().feed(said)]
    assert reader.answer.finish_reason in (None, "completed")  # Responses says no more of any end
    assert Kind.ERROR not in kinds


@pytest.mark.parametrize("tag", [tag for tag in DIALECTS if tag not in ("gemini", "ollama")])
def test_pieces_of_parallel_calls_may_interleave(tag: str) -> None:
    events: list[Any] = [CallBegan(0, "c0", "f"), CallBegan(1, "c1", "g")]
    events += [CallPiece(call, piece) for piece in ('{"a"', ": 1}") for call in (0, 1)]
    events += [CallEnded(1), CallEnded(0), Finished(Stop.TOOLS, "x")]
    mapping = MAPPINGS[DIALECTS[tag].protocol]
    writer, decoder, reader = mapping.writer(LISTENER), mapping.decoder(), DIALECTS[tag].reader()
    said = b"".join(writer.write(event) for event in events) + writer.end()
    heard: list[Any] = []
    for frame in DIALECTS[tag].scanner().feed(said):
        reader.read(frame)
        heard += decoder.read(reader.body) if reader.body else []
    calls = [part for part in assembled(heard).choices[0].parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [("c0", "f", '{"a": 1}'), ("c1", "g", '{"a": 1}')]
    assert "tool-arguments-incomplete" not in reader.answer.notes


@pytest.mark.parametrize("tag", list(DIALECTS))
def test_what_a_writer_streams_its_own_decoder_reads(tag: str) -> None:
    """A signature of another vendor goes out and comes back through every client that can hold one."""
    events: list[Any] = [Thinking("hm"), Signed("c2ln", "anthropic"), Said("Hel"), Said("lo"), Finished(Stop.LENGTH, "max")]
    mapping = MAPPINGS[DIALECTS[tag].protocol]
    writer, decoder, reader = mapping.writer(LISTENER), mapping.decoder(), DIALECTS[tag].reader()
    said = b"".join(writer.write(event) for event in events) + writer.end()
    heard: list[Any] = []
    for frame in DIALECTS[tag].scanner().feed(said):
        reader.read(frame)
        heard += decoder.read(reader.body) if reader.body else []
    spoken = assembled(heard).choices[0]
    text = "".join(part.text for part in spoken.parts if isinstance(part, Text))
    thought = next(part for part in spoken.parts if isinstance(part, Thought))
    assert (text, thought.text) == ("Hello", "hm")
    assert spoken.finished is not None
    assert spoken.finished.stop is Stop.LENGTH
    if tag != "ollama":
        assert (thought.signature, thought.vendor) == ("c2ln", "anthropic")


@pytest.mark.parametrize("tag", ["chat", "responses", "messages"])
def test_a_calls_signature_comes_back_to_gemini_with_its_call(tag: str) -> None:
    """Gemini refuses a call whose signature was lost; through any client that can hold one it comes back."""
    protocol = DIALECTS[tag].protocol
    events: list[Any] = [Signed("c2ln", "gemini", call=0), CallBegan(0, "c0", "f"), CallPiece(0, "{}"), CallEnded(0)]
    whole = MAPPINGS[protocol].writer(LISTENER).whole([*events, Finished(Stop.TOOLS, "STOP")])
    held = {
        "chat": lambda: {"messages": [{"role": "user", "content": "Hi."}, whole["choices"][0]["message"]]},
        "responses": lambda: {"input": [{"role": "user", "content": "Hi."}, *whole["output"]]},
        "messages": lambda: {
            "messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": whole["content"]}]
        },
    }
    prompt = MAPPINGS[protocol].read(held[tag]())
    parts = MAPPINGS["gemini"].write(prompt, "gemini-3-pro", True)["contents"][1]["parts"]
    assert [(part["functionCall"]["name"], part["thoughtSignature"]) for part in parts] == [("f", "c2ln")]


def test_what_a_clients_protocol_has_no_word_for_is_on_record() -> None:
    passage = Translated(DIALECTS["ollama"], "anthropic", LISTENER, frozenset())
    usage = {"input_tokens": 3, "cache_read_input_tokens": 2, "output_tokens": 1}
    body = {"id": "m", "content": [{"type": "thinking", "thinking": "hm", "signature": "c2ln"}], "stop_reason": "end_turn"}
    passage.read_whole(orjson.dumps(body | {"usage": usage}))
    assert {"lost:reasoning signature", "lost:cached tokens"} <= passage.answer.notes
