"""The browser of these tests: a real Chromium, found on the machine. Nothing is downloaded.

CHROMIUM names another executable. Without one the tests are skipped, loudly; in CI (CI=true) that is a failure.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No call home, no sandbox (containers lack the kernel's namespaces), no QUIC: what these pages ask for is plain HTTP.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
)


def executable() -> str | None:
    """Where Chromium is, or None."""
    named = os.environ.get("CHROMIUM")
    if named:
        return named if Path(named).exists() else None
    return next((found for name in NAMES if (found := shutil.which(name))), None)
