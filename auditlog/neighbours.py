"""What the audit log's pages show of things that it knows nothing about: the error event of a request, the journal's lag.

`AUDITLOG["PANELS"]` names a module by dotted path that may offer `journal_lag() -> float | None`,
`error_of_entry(request_id) -> {"name", "message", "url"} | None`, `end_stream(request_id) -> bool`, `capture(on)`,
`watch_streams()` and `vocabulary() -> {field: words}`. Whatever it lacks, or fails at, is a panel less.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

from django.conf import settings

logger = logging.getLogger(__name__)


def journal_lag() -> float | None:
    """Seconds that the rows are behind what happened; None when nobody can say."""
    return _ask("journal_lag")


def error_of_entry(request_id: str) -> dict[str, Any] | None:
    """The error event of the same request, and where its page is."""
    return _ask("error_of_entry", request_id)


def end_stream(request_id: str) -> bool:
    """Ends a request in flight, in whichever process it runs; whether that could be asked for."""
    return bool(_ask("end_stream", request_id))


def watch_streams() -> None:
    """Somebody looks at the streams in flight: what is known of them should be fresh."""
    _ask("watch_streams")


def capture(on: bool) -> None:
    """Has payloads captured from now on, or no longer."""
    _ask("capture", on)


def vocabulary() -> dict[str, tuple[str, ...]]:
    """By field, all words that an ending is told in; fields whose words nobody knows are missing."""
    return _ask("vocabulary") or {}


def _ask(question: str, *args: Any) -> Any:
    path = getattr(settings, "AUDITLOG", {}).get("PANELS")
    if not path:
        return None
    try:
        answer = getattr(import_module(path), question, None)
        return None if answer is None else answer(*args)
    except Exception:
        logger.exception("The panel %s of %s failed.", question, path)
        return None
