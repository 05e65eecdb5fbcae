"""Lines and arrays of JSON: nothing is lost, and where the network cut makes no difference."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.json_stream import ArrayScanner, LineScanner
from relay.wire.sse import OversizedEvent

TEXT = st.text(alphabet='a"\\[]{},:\n\u20ac', max_size=8)
VALUES = st.lists(st.dictionaries(TEXT, TEXT | st.lists(TEXT, max_size=2), max_size=3), max_size=5)
INDENT = st.sampled_from([0, orjson.OPT_INDENT_2])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def fed(scanner: Any, pieces: list[bytes]) -> list[Any]:
    return [frame for piece in pieces for frame in scanner.feed(piece)]


@given(VALUES, st.lists(st.integers(0, 400), max_size=8), INDENT)
def test_an_array_is_cut_into_its_elements(values: list[Any], places: list[int], option: int) -> None:
    data = b" " + orjson.dumps(values, option=option) + b"\r\n"
    scanner = ArrayScanner()
    frames = fed(scanner, cut(data, places))
    behind = scanner.close()
    assert behind is not None
    assert (behind.raw, behind.comment_only, behind.complete) == (b"\r\n", True, True)
    assert b"".join(frame.raw for frame in frames) + behind.raw == data
    assert [orjson.loads(frame.data) for frame in frames if not frame.comment_only] == values
    assert (scanner.closed, scanner.pending) == (True, 0)


@given(VALUES, st.lists(st.integers(0, 400), max_size=8))
def test_lines_are_cut_at_line_feeds_alone(values: list[Any], places: list[int]) -> None:
    data = b"\n".join(orjson.dumps(value) for value in values) + b"\n\n"
    frames = fed(LineScanner(), cut(data, places))
    assert b"".join(frame.raw for frame in frames) == data
    assert [orjson.loads(frame.data) for frame in frames if not frame.comment_only] == values


def test_a_last_line_without_its_line_feed_counts_when_it_is_whole() -> None:
    scanner = LineScanner()
    assert scanner.feed(b'{"done":true}') == []
    frame = scanner.close()
    assert frame is not None
    assert (frame.raw, frame.complete) == (b'{"done":true}\n', False)
    half = LineScanner()
    half.feed(b'{"done":')
    assert (half.close(), half.pending) == (None, 8)


def test_an_array_that_breaks_off_is_not_closed() -> None:
    scanner = ArrayScanner()
    frames = scanner.feed(b'[{"a":1},{"b":')
    assert [frame.data for frame in frames] == [b'{"a":1}']
    assert (scanner.closed, scanner.pending) == (False, 5)


@pytest.mark.parametrize("scanner", [LineScanner(50), ArrayScanner(50)])
def test_what_grows_without_end_is_given_up(scanner: Any) -> None:
    with pytest.raises(OversizedEvent):
        for _ in range(10):
            scanner.feed(b'[{"text":"xxxxxxxxxx')
