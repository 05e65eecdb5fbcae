"""The filtered set as a file: CSV or JSON Lines, streamed page by page, newest first.

What must stay true: the memory that an export takes does not depend on its length; a JSON Lines file that is whole says
so in its last line, so that one that was cut is never taken for it; no cell of a CSV file can be taken for a formula by
the program that opens it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from typing import Any

from asgiref.sync import sync_to_async

from auditlog.entries import Place
from auditlog.finding import Found
from auditlog.flat import COLUMNS, as_json, flat
from auditlog.models import AuditEntry

PAGE = 500  # entries that are read at once
NAMES = ("id", *COLUMNS)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet begins to calculate at


async def json_lines(found: Found) -> AsyncIterator[str]:
    """One entry a line, as the API gives it, then `{"complete": true, "rows": N}`."""
    rows = 0
    async for page in _pages(found):
        rows += len(page)
        yield "".join(f"{as_json(flat(entry))}\n" for entry in page)
    yield f"{as_json({'complete': True, 'rows': rows})}\n"


async def comma_separated(found: Found) -> AsyncIterator[str]:
    """A head, then one entry a line; the evidence is JSON in its cell."""
    yield _lines([NAMES])
    async for page in _pages(found):
        yield _lines([_cells(entry) for entry in page])


async def _pages(found: Found) -> AsyncIterator[list[AuditEntry]]:
    place: Place | None = None
    while True:
        page = await sync_to_async(found.page)(PAGE, before=place)
        if page.items:
            yield page.items
        if page.older is None:
            return
        place = Place.read(page.older)


def _cells(entry: AuditEntry) -> list[str]:
    return [_cell(value) for value in flat(entry).values()]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return as_json(value)
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _lines(rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
