"""An error event as a dict, and the way to the writer that the project names: ERRORLOG["WRITER"], a dotted path.

The writer may be slow, broken or not there yet; that is the caller's to deal with (`errorlog.capture` swallows it, the
API answers an error). Importable before Django is set up.
"""

from __future__ import annotations

import platform
import secrets
import sys
import time
import uuid
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from django.conf import settings

from errorlog import options

PLATFORM = f"{sys.platform} {platform.release()} python {platform.python_version()}"


def new_event(
    name: str,
    message: str,
    *,
    stack: str = "",
    source: str = "main",
    context: dict[str, Any] | None = None,
    fingerprint: Sequence[str] = (),
) -> dict[str, Any]:
    """An event that happens now."""
    now = time.time()
    event: dict[str, Any] = {
        "id": new_id(now),
        "time": now,
        "name": name,
        "message": message,
        "stack": stack,
        "source": source,
        "version": _version(),
        "platform": PLATFORM,
        "context": context or {},
    }
    if fingerprint:
        event["fingerprint"] = list(fingerprint)
    return event


def write(event: dict[str, Any]) -> None:
    """Hands `event` to the writer. Nothing when the error log is off.

    Raises:
        Exception: whatever the writer raises, or that there are no settings yet.
    """
    if not options.enabled():
        return
    module, _, name = options.writer().rpartition(".")
    getattr(import_module(module), name)(event)


def new_id(now: float) -> str:
    """A UUIDv7: milliseconds, then chance, so that ids sort by time."""
    value = int(now * 1000) << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    return str(uuid.UUID(int=value))


def _version() -> str:
    try:
        return str(settings.VERSION)
    except Exception:  # noqa: BLE001 - an event of an unknown version beats none
        return "unknown"
