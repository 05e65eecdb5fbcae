"""The journal's recovery: whatever a writer did and whatever happened to its bytes, what is whole is read once, in order."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from relay.journal_writer import Journal
from relay.record_id import new_record_id
from relay.shipper.segments import JournalReader, Position, parse

OPERATIONS = st.lists(st.sampled_from(["open", "open", "live", "close", "close", "error"]), min_size=1, max_size=60)
BYTES = st.binary(max_size=60) | st.sampled_from(
    [b"\n", b"{}\n", b"null\n", b'{"t":"open"}\n', b"\x00" * 20, b'{"t":"close","id":1,"at":2}\n']
)
DAMAGE = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 80), BYTES), max_size=4)


def written(root: Path, operations: list[str], segment_bytes: int) -> Path:
    """A journal that a writer left behind: its folder."""
    journal = Journal(root, 1 << 30, segment_bytes, about={"instance": "fuzz"})
    running: list[str] = []
    for number, operation in enumerate(operations):
        record = running[-1] if operation in ("live", "close") and running else new_record_id()
        line: dict[str, Any] = {"t": operation, "id": record, "at": float(number), "entry": {"n": number, "text": "ä" * 40}}
        if operation == "open":
            running.append(record)
            journal.open(record, orjson.dumps(line))
        elif operation == "live":
            journal.live(record, orjson.dumps(line))
        elif operation == "close":
            journal.close(record, orjson.dumps(line), "completed")
            running[:] = running[:-1]
        else:
            journal.error(orjson.dumps({**line, "event": {"n": number}}))
    journal.shut()
    return journal.folder


def read(folder: Path, limit: int, start: Position | None = None) -> tuple[list[bytes], list[Position], dict[str, Any]]:
    """The lines from `start` to the end of a dead journal, the places after each batch, and what is open there."""
    reader = JournalReader(folder)
    reader.resume(start)
    assert reader.adopt()
    lines: list[bytes] = []
    places: list[Position] = []
    try:
        for _ in range(10_000):
            peek = reader.peek(limit)
            if peek.position == reader.position:
                return lines, places, {record: known.entry for record, known in reader.opens.items()}
            assert peek.position > reader.position
            lines += [line.raw for line in peek.lines]
            reader.learn(peek.lines)  # `advance` without its removal of segments, so that it can be read again
            reader.position = peek.position
            places.append(peek.position)
        raise AssertionError("reading does not come to an end")
    finally:
        reader.release()


def damage(folder: Path, places: list[tuple[int, int, bytes]]) -> list[bytes]:
    """Puts other bytes in place of some; gives the lines that are whole afterwards, in order."""
    whole: list[bytes] = []
    for segment in sorted(folder.glob("*.jsonl")):
        data = segment.read_bytes()
        for at, removed, strange in places:
            at %= len(data) + 1
            data = data[:at] + strange + data[at + removed :]
        segment.write_bytes(data)
        whole += [line for line in data.split(b"\n")[:-1] if parse(line) is not None]
    return whole


@given(operations=OPERATIONS, segment_bytes=st.integers(200, 5000), limit=st.integers(1, 20))
def test_an_undamaged_journal_is_read_whole_and_tells_what_is_open(operations: list[str], segment_bytes: int, limit: int) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = written(Path(root), operations, segment_bytes)
        lines, stops, still_open = read(folder, limit)
        assert lines == [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines()]
        opened = {line["id"] for raw in lines if (line := orjson.loads(raw))["t"] == "open"}
        closed = {line["id"] for raw in lines if (line := orjson.loads(raw))["t"] == "close"}
        assert still_open.keys() == opened - closed
        for stop in stops[:: max(len(stops) // 5, 1)]:  # a shipper that was killed there goes on, and knows the same
            rest, _, known = read(folder, limit, stop)
            assert lines[len(read_until(folder, limit, stop)) :] == rest
            assert known == still_open


@given(operations=OPERATIONS, segment_bytes=st.integers(200, 5000), limit=st.integers(1, 20), places=DAMAGE)
def test_damage_costs_what_it_hit_and_nothing_else(
    operations: list[str], segment_bytes: int, limit: int, places: list[tuple[int, int, bytes]]
) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = written(Path(root), operations, segment_bytes)
        whole = damage(folder, places)
        lines, stops, still_open = read(folder, limit)
        assert lines == whole
        for stop in stops[:: max(len(stops) // 5, 1)]:
            before = len(read_until(folder, limit, stop))
            rest, _, known = read(folder, limit, stop)
            assert lines[before:] == rest
            assert known.keys() <= still_open.keys()  # the copy that a segment carries over may be what was hit


def read_until(folder: Path, limit: int, stop: Position) -> list[bytes]:
    """What was read when a reader stood at `stop`."""
    reader = JournalReader(folder)
    reader.resume(None)
    assert reader.adopt()
    lines: list[bytes] = []
    try:
        while reader.position < stop:
            peek = reader.peek(limit)
            lines += [line.raw for line in peek.lines]
            reader.learn(peek.lines)
            reader.position = peek.position
        return lines
    finally:
        reader.release()


@given(
    st.binary(max_size=300)
    | st.recursive(st.none() | st.text() | st.floats(), lambda inner: st.lists(inner)).map(repr).map(str.encode)
)
def test_no_bytes_make_the_parser_raise(data: bytes) -> None:
    line = parse(data)
    assert line is None or line.raw == data


@given(
    st.dictionaries(
        st.sampled_from(["t", "id", "at", "entry", "event", "egress"]),
        st.sampled_from(["close", "open", 1, None, [], {}, [1], True]),
    )
)
def test_no_shape_makes_the_parser_raise_and_what_passes_can_be_shipped(body: dict[str, Any]) -> None:
    line = parse(orjson.dumps(body))
    if line is not None and line.kind in ("open", "live", "close"):
        assert isinstance(line.body["entry"], dict)
