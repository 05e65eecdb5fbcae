"""Clients from npm, installed once into build/, and again when their versions change."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build" / "clients"


def installed(name: str) -> Path:
    """The folder in which `tests/clients/<name>` is installed. Skips where there is no npm; in CI that is a failure."""
    npm = shutil.which("npm")
    if npm is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have npm: the clients from npm were not tried")
        pytest.skip("SKIPPED: the clients from npm, since there is no npm")
    source, target = HERE / name, BUILD / name
    lock = source / "package-lock.json"  # the agents have none: npm makes one for opencode that it then refuses
    mark = hashlib.sha256((lock if lock.exists() else source / "package.json").read_bytes()).hexdigest()
    stamp = target / "installed"
    shutil.copytree(source, target, dirs_exist_ok=True)
    if not stamp.exists() or stamp.read_text() != mark:
        command = [npm, "ci" if lock.exists() else "install", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=target, check=True, timeout=500)
        stamp.write_text(mark)
    return target
