"""A secret that comes in pieces is found in the whole that they make, in every protocol; all else stays as it was sent."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errorlog.redaction import redact_text
from relay.capturing import LIMIT, Captured
from relay.spread_secrets import without_spread_secrets

SECRET = "sk-live-AAAABBBBCCCCDDDDEEEE"


def sse(event: Any) -> str:
    return f"data: {json.dumps(event)}\n\n"


def named(event: Any) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


PROTOCOLS: dict[str, tuple[Callable[[Any], str], Callable[[str], Any]]] = {
    "chat": (sse, lambda text: {"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]}),
    "chat, arguments": (
        sse,
        lambda text: {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 1, "function": {"arguments": text}}]}}]},
    ),
    "responses": (
        named,
        lambda text: {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": text},
    ),
    "messages": (named, lambda text: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    "gemini": (sse, lambda text: {"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}}]}),
    "ollama": (lambda event: f"{json.dumps(event)}\n", lambda text: {"message": {"role": "assistant", "content": text}}),
    "websocket": (json.dumps, lambda text: {"type": "response.output_text.delta", "output_index": 0, "delta": text}),
}


def stream(protocol: str, pieces: list[str]) -> str:
    framed, event = PROTOCOLS[protocol]
    return "".join(framed(event(piece)) for piece in pieces)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("size", [1, 3, 7, 20])
def test_a_secret_in_pieces_is_masked_and_the_words_around_it_stay(protocol: str, size: int) -> None:
    text = f"Take {SECRET}, and keep it. It is {SECRET}."
    kept = redact_text(without_spread_secrets(stream(protocol, [text[at : at + size] for at in range(0, len(text), size)])))
    assert all(part not in kept for part in ("AAAA", "BBBB", "CCCC", "DDDD", "EEE"))
    found = "".join(
        part for event in kept.replace("}{", "}\n{").splitlines() if "{" in event for part in _texts_of(event[event.index("{") :])
    )
    assert found == "Take sk-…EE, and keep it. It is sk-…EE."


def _texts_of(event: str) -> list[str]:
    def walk(value: Any, name: str = "") -> list[str]:
        if isinstance(value, dict):
            return [text for key, item in value.items() for text in walk(item, key)]
        if isinstance(value, list):
            return [text for item in value for text in walk(item)]
        return [value] if name in ("content", "arguments", "delta", "text") and isinstance(value, str) else []

    return walk(json.loads(event))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_holds_no_secret_stays_byte_for_byte(protocol: str) -> None:
    sent = stream(protocol, ["Nothing ", "to hide: a task, ", "a desk-", "top, \u00e9 ", "and max_tokens=5"])
    assert without_spread_secrets(sent) == sent


def test_only_the_events_that_share_the_secret_are_written_anew() -> None:
    first, *shared, last = (sse(PROTOCOLS["chat"][1](piece)) for piece in ("Hello  ", SECRET[:9], SECRET[9:] + " ", "bye"))
    kept = without_spread_secrets(first + "".join(shared) + ": ping\n\n" + last)
    assert kept.startswith(first) and kept.endswith(": ping\n\n" + last)


def test_two_blocks_that_come_by_turns_are_two_texts() -> None:
    block = [PROTOCOLS["messages"][1](piece) | {"index": at} for piece, at in ((SECRET[:9], 0), ("no key ", 1), (SECRET[9:], 0))]
    kept = without_spread_secrets("".join(named(event) for event in block))
    assert "BBBB" not in kept and "no key" in kept


def test_an_array_that_comes_line_by_line_is_read_too() -> None:
    events = [PROTOCOLS["gemini"][1](piece) for piece in (SECRET[:9], SECRET[9:])]
    assert "BBBB" not in without_spread_secrets(json.dumps(events, indent=2))


def test_an_answer_that_was_cut_keeps_no_half_of_a_secret() -> None:
    event = PROTOCOLS["chat"][1]
    first, second = sse(event(SECRET[:9])), sse(event(SECRET[9:]) | {"usage": "x" * 200})
    captured = Captured(b"{}")
    captured.sent(sse(event("x" * (LIMIT - len(sse(event(""))) - len(first) - len(second) + 99) + " ")).encode())
    captured.sent((first + second).encode())
    assert captured.answer_size > LIMIT and b"BBBB" in captured.answer, "the second half was kept, and its event cut"
    assert "BBBB" not in redact_text(captured.payloads()["answer"])


@pytest.mark.parametrize("indent", [2, None])
def test_an_array_that_was_cut_keeps_no_half_of_a_secret_wherever_the_cut_is(indent: int | None) -> None:
    first, second = (PROTOCOLS["gemini"][1](piece) for piece in (SECRET[:9], SECRET[9:] + ' \u00e9 "{'))
    array = json.dumps([first, second | {"more": [True, None, -1.5e-10, -math.inf, {"a": {}}]}], indent=indent)
    begins = array.index("{", array.index("sk-"))
    for cut in range(begins + 1, len(array) - 2):
        kept = without_spread_secrets(array[:cut], cut=True)
        assert "BBBB" not in redact_text(kept), array[begins:cut]
        assert json.loads(kept + "]") == [first], "the last whole event is the end"


def test_a_captured_array_says_how_long_it_was_and_ends_with_a_whole_event() -> None:
    long, *shared = (PROTOCOLS["gemini"][1](piece) for piece in ("x" * (LIMIT - 700), SECRET[:9], SECRET[9:] + " " * 500))
    array = json.dumps([long, *shared], indent=2)
    captured = Captured(b"{}")
    captured.sent(array.encode())
    assert len(array) > LIMIT and b"BBBB" in captured.answer, "the second half was kept, and its event cut"
    kept = captured.payloads()
    assert "BBBB" not in redact_text(kept["answer"]) and kept["answer_bytes"] == len(array)
    assert json.loads(kept["answer"] + "]") == [long, shared[0]]


def test_a_cut_answer_of_one_object_is_kept_as_far_as_its_last_line() -> None:
    assert without_spread_secrets('{\n "a": {\n  "b": "c"\n }, "d', cut=True) == '{\n "a": {\n  "b": "c"\n'
    assert without_spread_secrets('{"a": {"b": "c"}, "d', cut=True) == '{"a": {"b": "c"}, "d'


def test_a_broken_event_hides_none_of_those_behind_it() -> None:
    event = PROTOCOLS["chat"][1]
    kept = without_spread_secrets('data: {"choices": [{"delta": "\n\n' + sse(event(SECRET[:9])) + sse(event(SECRET[9:])))
    assert "BBBB" not in kept


def _chosen(text: str, **said: Any) -> dict[str, Any]:
    return {"content": {"parts": [{"text": text}]}, **said}


@pytest.mark.parametrize(
    "events",
    [
        [[_chosen(SECRET[:9], index=0)], [_chosen(SECRET[9:])]],
        [[_chosen(SECRET[:9])], [_chosen(SECRET[9:], index=0)]],
        [[_chosen(SECRET[:9]), _chosen("no key", index=1)], [_chosen("no key ", index=1), _chosen(SECRET[9:])]],
        [[_chosen("no key", index=0), _chosen(SECRET[:9], index=1)], [_chosen(SECRET[9:], index=1)]],
        [[_chosen("no key"), _chosen(SECRET[:9])], [_chosen("no key"), _chosen(SECRET[9:])]],
    ],
    ids=["only first", "only second", "the other", "alone", "none"],
)
def test_an_item_that_says_no_index_is_the_one_at_zero_or_where_it_stands(events: list[Any]) -> None:
    kept = without_spread_secrets("".join(sse({"candidates": candidates}) for candidates in events))
    assert "BBBB" not in kept and kept.count("no key") == json.dumps(events).count("no key")


@given(st.text(max_size=200), st.lists(st.integers(0, 40), max_size=8))
def test_whatever_is_sent_is_taken(text: str, cuts: list[int]) -> None:
    pieces = [text[start:end] for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True)]
    without_spread_secrets(text)
    without_spread_secrets(stream("chat", pieces))


@pytest.mark.parametrize("hostile", ["{" * LIMIT, '{"a":' * (LIMIT // 5), '{"a":\n' * (LIMIT // 6), '{"b":"' + "sk-" * 20_000])
def test_hostile_answers_are_given_up(hostile: str) -> None:
    assert without_spread_secrets(hostile) == hostile
