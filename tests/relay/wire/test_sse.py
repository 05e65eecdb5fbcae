"""The scanner: the same bytes out, and the same frames, however the network cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.sse import OversizedEvent, SSEScanner

STREAM = b'\xef\xbb\xbfdata: {"a": 1}\n\nevent: x\r\ndata: b\r\n\r\n: ping\n\ndata:c\rdata: d\r\rid: 1\ndata: \xc3\xa9\n\n'


def scanned(parts: list[bytes]) -> tuple[bytes, list[tuple[str, bytes]]]:
    scanner = SSEScanner()
    frames = [frame for part in parts for frame in scanner.feed(part)]
    return b"".join(frame.raw for frame in frames), [(f.event, f.data) for f in frames if not f.comment_only]


def test_the_fields_follow_the_rules() -> None:
    assert scanned([STREAM])[1] == [("", b'{"a": 1}'), ("x", b"b"), ("", b"c\nd"), ("", b"\xc3\xa9")]


@pytest.mark.parametrize("place", range(1, len(STREAM)))
def test_a_cut_anywhere_changes_nothing(place: int) -> None:
    assert scanned([STREAM[:place], STREAM[place:]]) == scanned([STREAM])


def test_one_byte_at_a_time_changes_nothing() -> None:
    assert scanned([bytes([byte]) for byte in STREAM]) == scanned([STREAM])


@given(
    st.lists(st.sampled_from([b"data: x", b"\n", b"\r", b"\r\n", b":", b"event: e", b"\n\n", b"\xff"]), max_size=20), st.data()
)
def test_any_bytes_cut_anywhere_give_the_same_bytes_and_frames(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    place = data.draw(st.integers(0, len(whole)))
    once, twice = SSEScanner(), SSEScanner()
    first = once.feed(whole) if whole else []
    second = [frame for part in (whole[:place], whole[place:]) if part for frame in twice.feed(part)]
    assert b"".join(f.raw for f in first) == whole[: len(whole) - once.pending]
    assert [(f.event, f.data) for f in first] == [(f.event, f.data) for f in second]


def test_a_last_event_without_its_blank_line_counts_when_it_is_whole() -> None:
    scanner = SSEScanner()
    scanner.feed(b"data: [DONE]\n")
    frame = scanner.close()
    assert frame is not None
    assert frame.raw == b"data: [DONE]\n\n"
    half = SSEScanner()
    half.feed(b'data: {"a"')
    assert half.close() is None


def test_an_event_over_the_limit_is_refused_and_what_came_before_is_kept() -> None:
    scanner = SSEScanner(limit=20)
    with pytest.raises(OversizedEvent) as caught:
        scanner.feed(b"data: a\n\ndata: " + b"x" * 50)
    assert [frame.data for frame in caught.value.frames] == [b"a"]
