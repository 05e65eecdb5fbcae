"""What the pages show of the rest of the gateway, asked of the module that the project names: ERRORLOG["PANELS"].

A module that is missing, a question that it does not know and a database that cannot answer now all mean None: a page
lacks a figure rather than failing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from django.db import Error as DatabaseError

from errorlog import options


def ask(question: str, *args: Any) -> Any:
    """The answer of the named module's function `question`, None when there is none to be had."""
    name = options.panels()
    if not name:
        return None
    try:
        answer = getattr(import_module(name), question, None)
        return None if answer is None else answer(*args)
    except (ImportError, DatabaseError):
        return None
