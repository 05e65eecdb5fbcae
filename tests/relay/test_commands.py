"""What every command does, whatever it is."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_a_reader_that_has_seen_enough_is_no_failure_of_ours(tmp_path: Path) -> None:
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "data"), "DJANGO_SETTINGS_MODULE": "proxy_project.settings"}
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
