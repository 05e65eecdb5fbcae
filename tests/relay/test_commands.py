"""What every command does, whatever it is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment_in(folder: Path) -> dict[str, str]:
    return {**os.environ, "DATA_DIR": str(folder / "data"), "DJANGO_SETTINGS_MODULE": "proxy_project.settings"}


def test_a_reader_that_has_seen_enough_is_no_failure_of_ours(tmp_path: Path) -> None:
    environment = environment_in(tmp_path)
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, env=environment, check=True)
    reader, writer = os.pipe()
    os.close(reader)
    environment["PYTHONUNBUFFERED"] = "1"  # else the little that is written fails only when Python ends
    done = subprocess.run(
        [sys.executable, "manage.py", "drill", "--list"],
        cwd=ROOT,
        env=environment,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writer)
    assert done.returncode == 141
    assert "Traceback" not in done.stderr
    journals = b"".join(path.read_bytes() for path in tmp_path.rglob("*.jsonl"))
    assert b"BrokenPipe" not in journals
    with sqlite3.connect(tmp_path / "data" / "epitaph.sqlite3") as database:
        assert database.execute("select count(*) from errorlog_errorgroup").fetchone() == (0,)


LOGS = """
import logging
logging.getLogger("axes.apps").warning("something is wrong")
logging.getLogger("axes.handlers.database").info("a sign-in")
"""


def test_a_command_says_nothing_of_its_own_accord_and_warnings_are_told(tmp_path: Path) -> None:
    def told(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment_in(tmp_path), capture_output=True, text=True, check=True)

    assert told("check").stderr == ""
    assert [line.partition("axes.")[2] for line in told("shell", "-c", LOGS).stderr.splitlines()] == [
        "apps: something is wrong",
        "handlers.database: a sign-in",
    ]
