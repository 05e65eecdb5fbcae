"""A database as a first start leaves it, migrated and with its administrator, made once and copied for each gateway.

To migrate and to hash the password costs half of a gateway's start. What a first start does is shown by
tests/relay/test_bootstrap.py, and by the gateway of tests/fuzz, which begins with nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PASSWORD = "a-password-for-tests"
FILE = "epitaph.sqlite3"
PROGRAM = f"""
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
call_command("migrate", verbosity=0)
get_user_model().objects.create_superuser("admin", "", "{PASSWORD}")
connection.close()
"""


def copy_into(data: Path) -> None:
    """Lays the database into a gateway's empty folder."""
    data.mkdir(mode=0o700)
    shutil.copyfile(_made(), data / FILE)


@cache
def _made() -> Path:
    """Where it lies: in build/, under a name that changes with every migration and every locked version."""
    digest = hashlib.sha256(PROGRAM.encode())
    for path in sorted([ROOT / "requirements" / "run.txt", *ROOT.glob("*/migrations/*.py")]):
        digest.update(path.read_bytes())
    target = ROOT / "build" / "tests" / f"{digest.hexdigest()[:16]}.sqlite3"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            environment = {"PATH": os.environ["PATH"], "DATA_DIR": folder}
            subprocess.run([sys.executable, "manage.py", "shell", "-c", PROGRAM], cwd=ROOT, env=environment, check=True)
            os.replace(Path(folder) / FILE, target)  # at once: others may be making it too
        for other in target.parent.glob("*.sqlite3"):
            if other != target:
                other.unlink(missing_ok=True)
    return target
