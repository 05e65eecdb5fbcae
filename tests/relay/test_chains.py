"""The table of who made which response: shared by processes, bounded, and wrong about none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from relay import chains
from relay.chains import ENTRY, ROW, ROWS, Table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "responses.table"


def test_what_one_process_writes_another_reads_at_once(path: Path) -> None:
    here = Table(path)
    program = (
        "import sys, pathlib; from django.conf import settings; settings.configure();"
        f"from relay.chains import Table; Table(pathlib.Path({str(path)!r})).put('resp_1', (3, 7))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert here.get("resp_1") == (3, 7)


def test_it_outlives_the_process_and_the_last_maker_counts(path: Path) -> None:
    Table(path).put("resp_1", (3, 7))
    Table(path).put("resp_1", (3, None))
    assert Table(path).get("resp_1") == (3, None)
    assert Table(path).get("resp_2") is None


def test_ids_of_any_size_and_text_have_a_place(path: Path) -> None:
    table = Table(path)
    table.put("resp_\ud800é" * 1000, (1 << 62, 1 << 61))
    assert table.get("resp_\ud800é" * 1000) == (1 << 62, 1 << 61)


def test_a_rehearsals_credential_has_an_id_below_nothing(path: Path) -> None:
    table = Table(path)
    table.put("resp_drill", (-23445190400, -23445190401))
    assert table.get("resp_drill") == (-23445190400, -23445190401)


def test_what_cannot_be_kept_breaks_no_answer(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(chains, "_table", Table(None))
    chains.remember("resp_1", 1 << 70, None)
    assert "Who made the response resp_1 was not kept" in caplog.text


def test_newer_responses_take_the_place_of_the_oldest(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, now = Table(path), 1_000
    monkeypatch.setattr(chains, "ROWS", 1)  # all lie in one row
    monkeypatch.setattr(chains.time, "time", lambda: now)
    for number in range(ROW + 1):
        now += 1
        table.put(f"resp_{number}", (1, number + 1))
    assert [table.get(f"resp_{number}") for number in range(ROW + 1)] == [
        None,
        *((1, number + 1) for number in range(1, ROW + 1)),
    ]


def test_an_entry_that_two_wrote_at_once_counts_as_not_there(path: Path) -> None:
    table = Table(path)
    table.put("resp_1", (3, 7))
    content = bytearray(path.read_bytes())
    at = next(at for at in range(0, len(content), ENTRY.size) if any(content[at : at + 16]))
    content[at + 16] = 4  # the upstream, of another writer
    path.write_bytes(content)
    assert table.get("resp_1") is None


def test_it_is_bounded(path: Path) -> None:
    Table(path)
    assert path.stat().st_size == ENTRY.size * ROW * ROWS <= path.stat().st_blocks * 512


def test_without_a_place_for_the_file_a_process_knows_its_own(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.DATA_DIR = tmp_path / "nowhere"
    monkeypatch.setattr(chains, "_table", None)
    chains.remember("resp_1", 3, 7)
    assert chains.table().get("resp_1") == (3, 7)
