"""A secret that comes in pieces is found in the whole that they make, in every protocol; all else stays as it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errorlog.redaction import redact_text, secret_spans
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
    first, second = sse(event(SECRET[:9])), sse(event(SECRET[9:]))[:-2] + " " * 200 + "\n\n"
    captured = Captured(b"{}")
    captured.sent(sse(event("x" * (LIMIT - len(sse(event(""))) - len(first) - len(second) + 100))).encode())
    captured.sent((first + second).encode())
    assert captured.answer_size > LIMIT and b"BBBB" in captured.answer, "the second half was kept, and its event cut"
    assert "BBBB" not in redact_text(captured.payloads()["answer"])


@given(st.text(max_size=200), st.lists(st.integers(0, 40), max_size=8))
def test_whatever_is_sent_is_taken(text: str, cuts: list[int]) -> None:
    pieces = [text[start:end] for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(text)], strict=True)]
    without_spread_secrets(text)
    without_spread_secrets(stream("chat", pieces))


@given(st.text(alphabet="sk-abAB12=: \"'{}Bearer ", max_size=120))
def test_spans_are_what_redaction_masks(text: str) -> None:
    spans = secret_spans(text)
    assert spans == sorted(spans) and all(start < end for start, end in spans)
    if not spans:
        assert redact_text(text) == text


@pytest.mark.parametrize("hostile", ["{" * LIMIT, '{"a":' * (LIMIT // 5), '{"a":\n' * (LIMIT // 6), '{"b":"' + "sk-" * 20_000])
def test_hostile_answers_are_given_up(hostile: str) -> None:
    assert without_spread_secrets(hostile) == hostile
