"""What a project may set in `ERRORLOG`, each with what holds when it does not. Read when asked, so that tests may change it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.conf import settings


def _option(name: str, default: Any) -> Any:
    value = getattr(settings, "ERRORLOG", {}).get(name)
    return default if value is None else value


def enabled() -> bool:
    """Whether anything is reported or stored at all."""
    return bool(_option("ENABLED", True))


def writer() -> str:
    """Dotted path of `callable(event: dict)`, which takes what is captured or reported."""
    return str(_option("WRITER", "errorlog.ingest.store_directly"))


def events_per_group() -> int:
    """Events that a group keeps; beyond that a sample of so many."""
    return int(_option("EVENTS_PER_GROUP", 1000))


def badge_counts_client_fault() -> bool:
    """Whether what clients did to themselves feeds the number in the navigation."""
    return bool(_option("BADGE_COUNTS_CLIENT_FAULT", False))


def own_modules() -> Sequence[str]:
    """Top-level packages whose frames say where an exception comes from."""
    return tuple(_option("OWN_MODULES", ()))


def panels() -> str:
    """Dotted path of a module that knows what crosses the apps; "" when there is none."""
    return str(_option("PANELS", ""))
