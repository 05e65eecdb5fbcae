"""Record ids: RFC 9562's version 7, in order within a process, apart across processes."""

import os
import threading
import time
import uuid

import pytest

from relay.record_id import new_record_id


def test_is_a_version_7_uuid_that_carries_the_time() -> None:
    made = uuid.UUID(new_record_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert abs((made.int >> 80) / 1000 - time.time()) < 1


def test_ids_of_many_threads_are_apart_and_those_of_one_are_in_order() -> None:
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into.extend(new_record_id() for _ in range(5_000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(ids == sorted(ids) for ids in made)
    assert len({text for ids in made for text in ids}) == 20_000


def test_goes_on_in_order_when_the_clock_goes_back_or_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    before = new_record_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    behind = new_record_id()

    def broken() -> int:
        raise OSError("no clock")

    monkeypatch.setattr(time, "time_ns", broken)
    assert before < behind < new_record_id()


def test_a_forked_child_makes_ids_of_its_own() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_record_id().encode())
        os._exit(0)
    ours = new_record_id()
    os.waitpid(child, 0)
    assert os.read(reading, 36).decode() != ours
