"""A pytest plugin, loaded before Django: DATA_DIR becomes a temporary folder, so no test can reach a developer's data."""

import gc
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

gc.disable()  # until all is loaded: what is imported and collected lives as long as the run (see below)
_folder = tempfile.mkdtemp(prefix="epitaph-tests-")
os.environ["DATA_DIR"] = _folder
for name in ("RELAY_CONFIG", "ADMIN_TOKEN", "CLIENT_KEY", "SECRET_KEY", "REDIS_URL"):
    os.environ.pop(name, None)
if not os.environ.get("DATABASE_URL"):
    # A file with a write-ahead log, as in production. SQLite's shared memory, Django's default for tests, fails a reader at
    # once ("table is locked") while another thread writes, which the real thing never does.
    os.environ.setdefault("TEST_DB_NAME", str(Path(_folder) / "test.sqlite3"))


# Properties are about truth; how fast this machine is today is not one.
hypothesis_settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("here")


# SIGTERM ends a run as Ctrl-C does, so that no gateway or browser outlives it. SIGINT is set too, because a shell's
# background job begins with it ignored, and so would all that the tests start.
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """From here on the collector need not walk through thousands of tests and modules again and again."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    shutil.rmtree(_folder, ignore_errors=True)


@pytest.fixture
def journal_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[Path]:
    """Opts in to writing records: a journal of the test's own, whose root this returns."""
    from relay import journal

    settings.DATA_DIR = tmp_path
    monkeypatch.setattr(journal, "writing_under_pytest", True)
    monkeypatch.setattr(journal, "_open_again_at", 0.0)  # one that an earlier test could not open is no reason to wait
    journal.shut()
    yield journal.root()
    journal.shut()
