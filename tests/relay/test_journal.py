"""The journal of this process: one after each fork, none under pytest unless a test asks for it."""

import fcntl
import os
from pathlib import Path

import orjson
import pytest
from django.conf import settings as django_settings

from relay import journal


def test_a_fork_leaves_the_parents_journal_and_lock_alone(journal_folder: Path) -> None:
    ours = journal.current()
    assert ours is not None
    child = os.fork()
    if child == 0:
        theirs = journal.current()
        os._exit(0 if theirs is not None and theirs.name != ours.name else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with (ours.folder / "lock").open() as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    ours.error(orjson.dumps({"t": "error", "id": "after"}))
    assert orjson.loads((ours.folder / "000001.jsonl").read_bytes().splitlines()[-1])["id"] == "after"


def test_without_opting_in_a_test_writes_nothing() -> None:
    assert journal.current() is None


def test_the_default_data_dir_is_refused_under_pytest_even_when_opted_in(
    journal_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(django_settings, "DATA_DIR", Path(django_settings.BASE_DIR) / "data")
    journal.shut()
    assert journal.current() is None
    assert "may not write" in journal.state().last_error or "Operation not permitted" in journal.state().last_error
