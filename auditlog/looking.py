"""Looking through entries for what hardly ever happens, for so long and no longer.

What must stay true: a search ends when its time is over, whatever is asked and however many entries there are, and knows
how far it came. It looks at one stretch of time after the other, each as long as the one before lets hope for; a stretch
that takes far longer than that is given up and a shorter one tried.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError, connections, transaction

FIRST = 200  # entries of the first stretch
GROWS = 8.0  # times as long as the one before, at most
SHORTEST = dt.timedelta(microseconds=1)
PATIENCE = 0.75  # of the time that is left, before a stretch is given up …
LEAST = 0.05  # … and seconds at least
QUERY_CANCELED = "57014"
STEPS = 20_000  # of SQLite's machine, between two looks at the clock


class TooLong(Exception):
    """A statement was given up."""


@dataclass(slots=True)
class Stretch:
    """Times in the direction in which is looked: from `begin`, which belongs to it, to `end`, which does not. None: no bound."""

    begin: dt.datetime | None
    end: dt.datetime | None


def look(
    first: dt.datetime, width: dt.timedelta, last: dt.datetime, seconds: float, found: Callable[[Stretch], bool], using: str
) -> dt.datetime | None:
    """Asks `found` of stretches from `first` on, until it says that it is enough, `last` is reached or the time is over.

    Returns how far was looked, None where nothing is left to look at.
    """
    backwards = last < first
    deadline = time.monotonic() + seconds
    begin: dt.datetime | None = None
    reached = first
    while True:
        width = max(width, SHORTEST)
        end = reached - width if backwards else reached + width
        is_last = end <= last if backwards else end >= last
        began = time.monotonic()
        try:
            # The first is short by its number of entries: without it a page might show nothing and have come nowhere.
            with hurried(using, None if begin is None else max(PATIENCE * (deadline - began), LEAST)):
                enough = found(Stretch(begin, None if is_last else end))
        except TooLong:
            if time.monotonic() >= deadline:
                return reached
            width /= GROWS
            continue
        now = time.monotonic()
        if enough or is_last:
            return None
        begin = reached = end
        if now >= deadline:
            return reached
        width *= min(GROWS, max((deadline - now) / 2 / max(now - began, 1e-4), 0.1))


@contextmanager
def hurried(using: str, seconds: float | None) -> Iterator[None]:
    """Gives the statements within up after so long."""
    if seconds is None:
        yield
        return
    connection: Any = connections[using]
    try:
        with _on_sqlite(connection, seconds) if connection.vendor == "sqlite" else _on_postgresql(connection, seconds):
            yield
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == QUERY_CANCELED or str(error) == "interrupted":
            raise TooLong from error
        raise


@contextmanager
def _on_postgresql(connection: Any, seconds: float) -> Iterator[None]:
    nested = connection.in_atomic_block
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{seconds * 1000:.0f}ms"])
        yield
        if nested:  # what is set within a savepoint outlives it
            cursor.execute("SET LOCAL statement_timeout TO DEFAULT")


@contextmanager
def _on_sqlite(connection: Any, seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    until = time.monotonic() + seconds
    connection.connection.set_progress_handler(lambda: time.monotonic() > until, STEPS)
    try:
        yield
    finally:
        connection.connection.set_progress_handler(None, 0)
