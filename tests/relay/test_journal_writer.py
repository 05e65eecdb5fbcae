"""The journal's writer: whole lines whatever happens, self-contained segments, bounded, never raising."""

import errno
import fcntl
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.conf import settings as django_settings

from relay import journal_writer
from relay.journal_writer import Journal


def line(kind: str, record: str, **more: Any) -> bytes:
    return orjson.dumps({"t": kind, "id": record, "at": time.time(), **more})


def lines(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of a journal, segment after segment."""
    found = []
    for path in sorted(folder.glob("*.jsonl")):
        found += [orjson.loads(text) for text in path.read_bytes().splitlines() if text]
    return found


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Journal]:
    made = Journal(tmp_path, quota=1 << 30)
    yield made
    made.shut()


def test_a_line_is_readable_as_soon_as_it_is_written_and_follows_the_begin_line(written: Journal) -> None:
    written.open("a", line("open", "a"))
    written.close("a", line("close", "a"))
    begin, *rest = lines(written.folder)
    assert begin["t"] == "begin"
    assert begin["pid"] == os.getpid()
    assert [(item["t"], item["id"]) for item in rest] == [("open", "a"), ("close", "a")]


def test_the_lock_is_held_for_as_long_as_the_journal_lives(written: Journal) -> None:
    with (written.folder / "lock").open() as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        written.shut()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_new_segment_begins_with_what_is_still_open(tmp_path: Path) -> None:
    made = Journal(tmp_path, quota=1 << 30, segment_bytes=2_000)
    made.open("long", line("open", "long", entry={"model": "m"}))
    made.live("long", line("live", "long", entry={"bytes_out": 1}))
    made.live("long", line("live", "long", entry={"bytes_out": 2}))
    for number in range(40):
        made.open(f"short{number}", line("open", f"short{number}"))
        made.close(f"short{number}", line("close", f"short{number}"))
    segments = sorted(made.folder.glob("*.jsonl"))
    assert len(segments) >= 2
    for path in segments[1:]:
        begin, opened, live, *_ = (orjson.loads(text) for text in path.read_bytes().splitlines())
        assert begin["t"] == "begin"
        assert (opened["t"], opened["id"]) == ("open", "long")
        assert (live["t"], live["entry"]) == ("live", {"bytes_out": 2})
    made.shut()


def test_over_the_quota_a_normal_completion_leaves_a_mark_and_an_abnormal_one_stays_whole(tmp_path: Path) -> None:
    made = Journal(tmp_path, quota=10_000)
    made.close("filler", line("close", "filler", text="x" * 12_000))
    made.open("good", line("open", "good"))
    made.close("good", line("close", "good", text="y" * 500), "completed", droppable=True)
    made.open("bad", line("open", "bad"))
    made.close("bad", line("close", "bad", text="z" * 500))
    kinds = {(item["t"], item.get("id")) for item in lines(made.folder)}
    assert ("drop", "good") in kinds
    assert ("close", "good") not in kinds
    assert ("close", "bad") in kinds
    assert made.state().dropped == 1
    assert made.state().over_quota
    made.shut()


def test_the_quota_counts_the_journals_of_all_processes_and_ends_when_they_are_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "MEASURE_SECONDS", 0.0)
    other = tmp_path / "other"
    other.mkdir()
    (other / "000001.jsonl").write_bytes(b"x" * 20_000)
    made = Journal(tmp_path, quota=10_000)
    made.close("a", line("close", "a"), "completed", droppable=True)
    (other / "000001.jsonl").unlink()
    made.close("b", line("close", "b"), "completed", droppable=True)
    assert [(item["t"], item["id"]) for item in lines(made.folder)[1:]] == [("drop", "a"), ("close", "b")]
    made.shut()


def test_what_a_full_disk_refuses_is_counted_kept_and_written_in_order_later(
    written: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, full = os.write, True

    def write(descriptor: int, data: bytes) -> int:
        if full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    written.open("a", line("open", "a"))
    written.close("a", line("close", "a"))
    state = written.state()
    assert not state.ok
    assert state.refused >= 1
    assert state.last_error == "No space left on device"
    full = False
    deadline = time.monotonic() + 5
    while not written.state().ok and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [(item["t"], item["id"]) for item in lines(written.folder)[1:]] == [("open", "a"), ("close", "a")]
    assert written.state().lost == 0


def test_a_real_file_size_limit_leaves_whole_lines_only_and_never_raises(tmp_path: Path) -> None:
    """EFBIG in the middle of a line: the kernel writes a part of it. A child, since the limit is the process's."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        made = Journal(tmp_path, quota=1 << 30)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
        for number in range(20):
            made.open(f"r{number}", line("open", f"r{number}", text="x" * 300))
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        made.shut()
        os._exit(0 if made.state().refused and not made.state().lost else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    whole = []
    for text in (folder / "000001.jsonl").read_bytes().splitlines():
        try:
            whole.append(orjson.loads(text)["id"])
        except (orjson.JSONDecodeError, KeyError):
            continue
    assert whole == [f"r{number}" for number in range(20)]


def test_memory_for_refused_lines_is_bounded_and_what_does_not_fit_is_counted(
    written: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "BACKLOG_BYTES", 1_000)
    descriptor, written._descriptor = written._descriptor, -1  # every write is refused
    for number in range(30):
        written.error(line("error", str(number), event={}))
    state = written.state()
    assert state.backlog_bytes <= 1_000
    assert state.lost > 0
    written._descriptor = descriptor


def test_fsync_each_second_reaches_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    made = Journal(tmp_path, quota=1 << 30, fsync=True)
    made.error(line("error", "a", event={}))
    deadline = time.monotonic() + 4
    while not synced and time.monotonic() < deadline:
        time.sleep(0.05)
    made.shut()
    assert synced


def test_kill_9_leaves_every_line_that_was_written(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "\n"
        "from relay.journal_writer import Journal\n"
        "made = Journal(Path(sys.argv[1]), 1 << 30)\n"
        "number = 0\n"
        "while True:\n"
        '    made.error(b\'{"t":"error","id":"%d"}\' % number)\n'
        "    print(number, flush=True)\n"
        "    number += 1\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "proxy_project.settings"},
        cwd=django_settings.BASE_DIR,
    )
    assert process.stdout is not None
    seen = [int(process.stdout.readline()) for _ in range(200)]
    process.kill()
    process.wait()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    ids = [int(item["id"]) for item in lines(folder)[1:]]
    assert ids == list(range(len(ids)))
    assert len(ids) >= len(seen)


def test_a_journal_whose_files_were_deleted_goes_on_in_new_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_writer, "MEASURE_SECONDS", 0.0)
    made = Journal(tmp_path, quota=1 << 30)
    made.open("a", line("open", "a"))
    shutil.rmtree(made.folder)
    made.error(line("error", "b", event={}))
    assert [(item["t"], item["id"]) for item in lines(made.folder)[1:]] == [("open", "a"), ("error", "b")]
    assert made.state().ok
    made.shut()


def test_a_rotation_that_the_disk_refuses_is_tried_again_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_writer, "RETRY_SECONDS", 0.0)
    made = Journal(tmp_path, quota=1 << 30, segment_bytes=1_000)
    real = os.open

    def refuse(path: Any, *rest: Any) -> int:
        if ".making" in str(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, *rest)

    monkeypatch.setattr(os, "open", refuse)
    for number in range(30):
        made.error(line("error", str(number), event={}))
    assert not made.state().ok
    monkeypatch.setattr(os, "open", real)
    for number in range(30, 40):
        made.error(line("error", str(number), event={}))
    assert made.state().ok
    assert [item["id"] for item in lines(made.folder) if item["t"] == "error"] == [str(number) for number in range(40)]
    assert len(list(made.folder.glob("*.jsonl"))) > 1
    made.shut()
