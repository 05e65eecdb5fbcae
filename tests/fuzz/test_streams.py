"""Every stream that the rehearsal knows, in every protocol, cut in every way: same bytes, same events, same answer."""

from __future__ import annotations

from functools import cache
from itertools import islice, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.rehearsal.http1 import Request
from relay.rehearsal.scenarios import SCENARIOS
from relay.rehearsal.scene import Scene
from relay.rehearsal.script import read_script
from relay.rehearsal.server import DIALECTS as PLAYED
from relay.wire.events import Answer
from relay.wire.registry import DIALECTS, GEMINI_ARRAY, Dialect
from relay.wire.sse import Frame

MOST_PIECES = 60  # of a play that never ends
MOST_BYTES = 20_000
SMALL = {"big-event": ",bytes=3000", "oversized": ",bytes=3000", "image": ",bytes=2000", "flood": ",bytes=4000,size=200"}
READ_AS = {
    "openai-chat": DIALECTS["chat"],
    "openai-responses": DIALECTS["responses"],
    "anthropic": DIALECTS["messages"],
    "gemini": DIALECTS["gemini"],
    "gemini-array": GEMINI_ARRAY,
    "ollama": DIALECTS["ollama"],
}


@cache
def streams() -> dict[str, tuple[Dialect, bytes]]:
    """By name: each scenario's body in each protocol, and what reads it."""
    found = {}
    for played in PLAYED:
        kind = "gemini-array" if type(played).__name__ == "GeminiArray" else played.name
        read = READ_AS[kind]
        for name in SCENARIOS:
            body = body_of(played, name)
            if body:
                found[f"{type(played).__name__}-{name}"] = (read, body)
    return found


def body_of(played: Any, name: str) -> bytes:
    """What the play writes as its body, whether it makes good HTTP or not."""
    query = "?alt=sse" if type(played).__name__ == "Gemini" else ""
    request = Request("POST", f"{played.path}{query}", {}, b"{}")
    scene = Scene(read_script(name + SMALL.get(name, ""), SCENARIOS), played, request, {"stream": True}, identity="abc", now=1)
    steps = islice(SCENARIOS[name].play(scene), MOST_PIECES)
    return b"".join(step for step in steps if isinstance(step, bytes))[:MOST_BYTES]


def read(dialect: Dialect, pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], bytes, dict[str, Any]]:
    """Events with what they mean, the bytes of their frames, and what the answer told."""
    scanner, reader = dialect.scanner(), dialect.reader()
    frames: list[Frame] = []
    for piece in pieces:
        frames += scanner.feed(piece)
    tail = scanner.close()
    if tail is not None:
        frames.append(tail)
    events = []
    for frame in frames:
        mark = reader.read(frame)
        events.append((frame.raw, frame.event, frame.data, frame.comment_only, frame.complete, mark.kind, mark.name))
    answer = {name: getattr(reader.answer, name) for name in Answer.__slots__}
    return events, b"".join(frame.raw for frame in frames if frame.complete), answer  # a tail that was mended is longer


def cut(body: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


def test_all_protocols_and_scenarios_are_there() -> None:
    assert len(streams()) > 250
    assert len({name.partition("-")[0] for name in streams()}) == len(PLAYED)


@pytest.mark.parametrize("name", sorted(streams()))
def test_one_byte_at_a_time_gives_what_the_whole_gives(name: str) -> None:
    dialect, body = streams()[name]
    whole = read(dialect, [body])
    assert body.startswith(whole[1])
    assert read(dialect, [body[at : at + 1] for at in range(len(body))]) == whole


@pytest.mark.parametrize("name", [name for name in sorted(streams()) if name.partition("-")[2] in ("crlf", "multi-line", "bom")])
def test_every_single_cut_gives_what_the_whole_gives(name: str) -> None:
    dialect, body = streams()[name]
    whole = read(dialect, [body])
    for at in range(1, len(body)):
        assert read(dialect, [body[:at], body[at:]]) == whole, at


@given(name=st.sampled_from(sorted(streams())), places=st.lists(st.integers(0, 1 << 20), max_size=12))
def test_every_cut_gives_what_the_whole_gives(name: str, places: list[int]) -> None:
    dialect, body = streams()[name]
    assert read(dialect, cut(body, places)) == read(dialect, [body])


@given(
    name=st.sampled_from(sorted(streams())),
    at=st.integers(0, 1 << 20),
    strange=st.binary(max_size=12),
    removed=st.integers(0, 40),
    places=st.lists(st.integers(0, 1 << 20), max_size=6),
)
def test_damage_raises_nothing_and_loses_no_byte(name: str, at: int, strange: bytes, removed: int, places: list[int]) -> None:
    dialect, body = streams()[name]
    at %= len(body) + 1
    damaged = body[:at] + strange + body[at + removed :]
    whole = read(dialect, [damaged])
    assert damaged.startswith(whole[1])
    assert read(dialect, cut(damaged, places)) == whole
