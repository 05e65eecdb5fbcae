"""Reading journals: whole lines in order, whatever else lies between them."""

import os
import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.journal_writer import LOCK, Journal, segment_name
from relay.shipper.segments import JournalReader, Position, parse


def line(kind: str, record: str, **more: Any) -> bytes:
    return orjson.dumps({"t": kind, "id": record, "at": 5.0, "entry": {"id": record}, **more})


def folder_with(root: Path, *segments: bytes) -> Path:
    folder = root / "00000000-0000-4000-8000-000000000000"
    folder.mkdir(parents=True)
    (folder / LOCK).touch()
    for number, data in enumerate(segments, 1):
        (folder / segment_name(number)).write_bytes(data)
    return folder


def drained(reader: JournalReader, limit: int = 500) -> tuple[list[str], int]:
    """Everything there is, and how much was damaged."""
    records: list[str] = []
    damaged = 0
    for _ in range(10_000):
        peek = reader.peek(limit)
        if peek.position == reader.position:
            return records, damaged
        records += [item.record for item in peek.lines]
        damaged += peek.damaged
        reader.advance(peek)
    raise AssertionError("reading does not come to an end")


def dead(folder: Path, position: Position | None = None) -> JournalReader:
    reader = JournalReader(folder)
    reader.resume(position)
    assert reader.adopt()
    return reader


def test_peeking_does_not_move_and_advancing_does(tmp_path: Path) -> None:
    reader = dead(folder_with(tmp_path, line("close", "a") + b"\n" + line("close", "b") + b"\n"))
    assert [item.record for item in reader.peek(1).lines] == ["a"]
    assert [item.record for item in reader.peek(1).lines] == ["a"]
    reader.advance(reader.peek(1))
    assert [item.record for item in reader.peek(5).lines] == ["b"]


def test_a_half_written_line_of_a_living_process_is_waited_for(tmp_path: Path) -> None:
    whole = line("close", "a") + b"\n"
    folder = folder_with(tmp_path, whole[:30])
    reader = JournalReader(folder)
    reader.resume(None)
    assert reader.peek(5).at_end
    assert not reader.peek(5).damaged
    with (folder / segment_name(1)).open("ab") as file:
        file.write(whole[30:])
    assert [item.record for item in reader.peek(5).lines] == ["a"]


def test_a_torn_last_line_of_a_dead_process_is_counted_and_skipped(tmp_path: Path) -> None:
    reader = dead(folder_with(tmp_path, line("close", "a") + b"\n" + line("close", "b")[:40]))
    assert drained(reader) == (["a"], 1)


def test_a_torn_last_line_of_a_full_segment_does_not_stop_the_next(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, line("close", "a") + b"\n" + b"torn", line("close", "b") + b"\n")
    reader = JournalReader(folder)
    reader.resume(None)
    assert drained(reader) == (["a", "b"], 1)


def test_a_segment_goes_when_it_is_shipped_and_a_damaged_one_is_set_aside(tmp_path: Path) -> None:
    folder = folder_with(
        tmp_path, line("close", "a") + b"\n", b"foreign\n" + line("close", "b") + b"\n", line("close", "c") + b"\n"
    )
    reader = JournalReader(folder)
    reader.resume(None)
    assert drained(reader) == (["a", "b", "c"], 1)
    assert [path.name for path in sorted(folder.glob("*.jsonl"))] == ["000003.jsonl"]
    (aside,) = (tmp_path / "bad").iterdir()
    assert aside.name.endswith("-000002.jsonl.bad")
    assert aside.read_bytes().startswith(b"foreign\n")


def test_a_segment_that_cannot_be_read_is_counted_and_the_next_is_read(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, b"", line("close", "b") + b"\n")
    (folder / segment_name(1)).unlink()
    (folder / segment_name(1)).mkdir()
    reader = JournalReader(folder)
    reader.resume(None)
    assert drained(reader) == (["b"], 1)


def test_a_segment_that_is_missing_is_passed(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, line("close", "a") + b"\n", b"", line("close", "c") + b"\n")
    (folder / segment_name(2)).unlink()
    assert drained(dead(folder)) == (["a", "c"], 0)


def test_resuming_knows_which_requests_are_open_and_ships_nothing_twice(tmp_path: Path) -> None:
    before = line("open", "a") + b"\n" + line("open", "b") + b"\n" + line("close", "a") + b"\n"
    folder = folder_with(tmp_path, before + line("close", "c") + b"\n")
    reader = dead(folder, Position(1, len(before)))
    assert list(reader.opens) == ["b"]
    assert drained(reader) == (["c"], 0)


def test_resuming_behind_a_segment_that_was_deleted_goes_on_with_the_next(tmp_path: Path) -> None:
    folder = folder_with(tmp_path, b"", line("close", "b") + b"\n")
    (folder / segment_name(1)).unlink()
    assert drained(dead(folder, Position(1, 4_711))) == (["b"], 0)


def test_live_lines_add_to_what_the_open_line_told(tmp_path: Path) -> None:
    text = line("open", "a", entry={"model": "m", "phase": "routing"}) + b"\n"
    text += orjson.dumps({"t": "live", "id": "a", "at": 9.0, "entry": {"phase": "streaming"}}) + b"\n"
    reader = dead(folder_with(tmp_path, text))
    drained(reader)
    assert reader.opens["a"].entry == {"model": "m", "phase": "streaming"}
    assert reader.opens["a"].last_seen == 9.0


def test_a_journal_of_a_living_process_cannot_be_adopted(tmp_path: Path) -> None:
    made = Journal(tmp_path, quota=1 << 30)
    reader = JournalReader(made.folder)
    assert not reader.adopt()
    made.shut()
    assert reader.adopt()


def test_a_line_of_megabytes_is_read_whole(tmp_path: Path) -> None:
    big = line("close", "big", entry={"id": "big", "text": "x" * 3_000_000})
    assert drained(dead(folder_with(tmp_path, big + b"\n" + line("close", "b") + b"\n"))) == (["big", "b"], 0)


@pytest.mark.parametrize(
    "raw",
    [
        b"{}",
        b"[]",
        b"null",
        b"7",
        b'"text"',
        b"\xff\xfe",
        b'{"t":[],"id":"a","at":1}',
        b'{"t":"close","id":7,"at":1,"entry":{}}',
        b'{"t":"close","id":"a","at":"x","entry":{}}',
        b'{"t":"close","id":"a","at":1,"entry":[]}',
        b'{"t":"close","id":"a","at":1,"entry":{},"event":[]}',
        b'{"t":"close","id":"a","at":1,"entry":{},"egress":[1]}',
        b'{"t":"close","id":"a","at":1,"entry":{},"egress":7}',
        b'{"t":"error","id":"a","at":1}',
        b'{"t":"open","id":"a","at":1}',
        b'{"t":"foreign","id":"a","at":1,"entry":{}}',
        b"[" * 5_000,
    ],
)
def test_what_is_no_line_of_ours_is_none(raw: bytes) -> None:
    assert parse(raw) is None


BODY = b"".join(line("close", f"r{number}") + b"\n" for number in range(12))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    damage=st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.binary(min_size=1, max_size=40)), max_size=4),
    cut=st.integers(0, len(BODY)),
    limit=st.integers(1, 20),
)
@example(damage=[(BODY.index(b"\n"), b"\r")], cut=0, limit=5)
def test_no_damage_stops_the_reading_or_costs_an_undamaged_line(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]], cut: int, limit: int
) -> None:
    data = bytearray(BODY)
    for at, foreign in damage:
        data[at : at + len(foreign)] = foreign
    del data[len(data) - cut :]
    whole = [piece + b"\n" for piece in BODY.splitlines()]
    left = bytes(data).split(b"\n")[:-1]  # a journal's lines end in LF alone; splitlines would also cut at a foreign CR
    untouched = [index for index, piece in enumerate(whole) if piece[:-1] in left]
    root = tmp_path_factory.mktemp("journal")
    reader = dead(folder_with(root, bytes(data)))
    records, _ = drained(reader, limit)
    assert {f"r{index}" for index in untouched} <= set(records)
    reader.remove()
    assert not reader.folder.exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(stops=st.lists(st.integers(1, 7), min_size=1, max_size=8))
def test_stopping_anywhere_and_resuming_ships_each_line_once(tmp_path_factory: pytest.TempPathFactory, stops: list[int]) -> None:
    folder = folder_with(tmp_path_factory.mktemp("journal"), BODY, BODY.replace(b'"r', b'"s'))
    records: list[str] = []
    position: Position | None = None
    for limit in stops:
        reader = JournalReader(folder)
        reader.resume(position)
        peek = reader.peek(limit)
        records += [item.record for item in peek.lines]
        reader.advance(peek)
        position = reader.position
        reader.release()
    rest, damaged = drained(dead(folder, position))
    assert records + rest == [f"{letter}{number}" for letter in "rs" for number in range(12)]
    assert damaged == 0


def test_reading_an_idle_journal_costs_next_to_nothing(tmp_path: Path) -> None:
    """What the shipper pays for each journal at each poll: a stat and a read of nothing."""
    made = Journal(tmp_path, quota=1 << 30)
    reader = JournalReader(made.folder)
    reader.resume(None)
    drained(reader)
    began = time.thread_time()
    for _ in range(200):
        reader.peek(500)
    assert (time.thread_time() - began) / 200 < 0.001
    made.shut()


def test_descriptors_do_not_pile_up(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        folder = folder_with(tmp_path / str(number), BODY, BODY)
        reader = dead(folder)
        drained(reader)
        reader.remove()
    assert len(os.listdir("/proc/self/fd")) == before
