"""Builders for tests of the shipper: real journals, real tables, and shorter waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from relay.shipper import Shipper, shipping


def ship_all(shipper: Shipper) -> int:
    """Turn after turn until there is nothing more to do, with a look for dead processes in each."""
    total = 0
    for _ in range(1_000):
        shipper._sweep_at = 0.0
        count = shipper.ship_once()
        if not count:
            return total
        total += count
    raise AssertionError("shipping does not come to an end")


@pytest.fixture
def shipper(journal_folder: Path) -> Iterator[Shipper]:
    made = Shipper()
    yield made
    made.release()


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open requests get their row at once."""
    monkeypatch.setattr(shipping, "SHOW_AFTER_SECONDS", -1.0)


# A worker that answers commands on its standard input with records in its own journal.
WORKER = """
import sys, time, django
django.setup()
from relay import recorder
from tests.relay.shipper.records import COMPLETED, PREMATURE, ended, entry_of, opened
for line in sys.stdin:
    word, _, rest = line.strip().partition(" ")
    print(eval(line, globals()), flush=True)
"""


class Worker:
    """A real process with a journal of its own, which can be killed."""

    def __init__(self, data_dir: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=django_settings.BASE_DIR,
            env={**os.environ, "DJANGO_SETTINGS_MODULE": "proxy_project.settings", "DATA_DIR": str(data_dir)},
        )

    def do(self, expression: str) -> str:
        """Evaluates `expression` over there and returns its value as text."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def leave(self) -> None:
        """A clean exit."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture
def worker(journal_folder: Path) -> Iterator[Callable[[], Worker]]:
    made: list[Worker] = []

    def start() -> Worker:
        made.append(Worker(journal_folder.parent))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.kill()
