"""The fast way into a table: COPY on PostgreSQL, executemany in one transaction on SQLite.

Rows are lists of texts, numbers and nulls in the order of the columns, as both databases take them: ids as 32 hex digits,
flags as 0 and 1, JSON as text, times from `moment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models, transaction

BATCH = 10_000
Value = str | int | float | None
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def moment(at: float) -> str:
    """A time as text: SQLite keeps it as it is, PostgreSQL's connection is in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def _columns(table: type[models.Model], names: Sequence[str]) -> list[str]:
    fields = {item.name: item for item in table._meta.concrete_fields}
    return [connection.ops.quote_name(fields[name].column or "") for name in names]


class Loader:
    """Writes rows of one table in batches. Each batch is a transaction of its own."""

    def __init__(self, table: type[models.Model], names: Sequence[str]) -> None:
        quote = connection.ops.quote_name
        self.head = f"{quote(table._meta.db_table)} ({', '.join(_columns(table, names))})"
        self.holes = ", ".join(["%s"] * len(names))
        self.rows: list[Sequence[Value]] = []

    def add(self, row: Sequence[Value]) -> None:
        self.rows.append(row)
        if len(self.rows) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        rows, self.rows = self.rows, []
        if not rows:
            return
        with transaction.atomic(), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                _copy(cursor, self.head, rows)
            else:
                cursor.executemany(f"INSERT INTO {self.head} VALUES ({self.holes})", rows)  # noqa: S608 - our models' names


def add_counts(table: type[models.Model], names: Sequence[str], counts: dict[tuple[Any, ...], int]) -> None:
    """Adds to the `count` of the rows that these columns identify; rows that are missing are made."""
    if not counts:
        return
    columns = _columns(table, names)
    name = connection.ops.quote_name(table._meta.db_table)
    adding = f"ON CONFLICT ({', '.join(columns)}) DO UPDATE SET count = {name}.count + EXCLUDED.count"
    into = f"INSERT INTO {name} ({', '.join(columns)}, count)"
    # Every name in these statements is one of our models'.
    rows = [(*key, count) for key, count in sorted(counts.items())]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            what = ", ".join((*columns, "count"))
            cursor.execute(f"CREATE TEMPORARY TABLE seeded ON COMMIT DROP AS SELECT {what} FROM {name} LIMIT 0")  # noqa: S608
            _copy(cursor, "seeded", rows)
            cursor.execute(f"{into} SELECT * FROM seeded {adding}")  # noqa: S608
        else:
            cursor.executemany(f"{into} VALUES ({', '.join(['%s'] * len(rows[0]))}) {adding}", rows)


def analyse(*tables: type[models.Model]) -> None:
    """Tells the planner what is in these tables now."""
    with connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"ANALYZE {connection.ops.quote_name(table._meta.db_table)}")


def _copy(cursor: Any, into: str, rows: Sequence[Sequence[Value]]) -> None:
    with cursor.copy(f"COPY {into} FROM STDIN") as copy:
        copy.write("".join("\t".join(map(_copied, row)) + "\n" for row in rows))


def _copied(value: Value) -> str:
    if value is None:
        return "\\N"
    if not isinstance(value, str):
        return str(value)
    return value.translate(_ESCAPED) if "\\" in value or "\n" in value or "\t" in value or "\r" in value else value
