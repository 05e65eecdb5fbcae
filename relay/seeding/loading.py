"""The fast way into a table: COPY on PostgreSQL, executemany in one transaction on SQLite, and indexes built afterwards.

Rows are lists of texts, numbers and nulls in the order of the columns, as both databases take them: ids as 32 hex digits,
flags as 0 and 1, JSON as text, times from `moment`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models, transaction
from tqdm import tqdm

BATCH = 10_000
MEMORY = "512MB"  # in which PostgreSQL sorts an index
Value = str | int | float | None


def moment(at: float) -> str:
    """A time as text: SQLite keeps it as it is, PostgreSQL's connection is in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def columns_of(table: type[models.Model], names: Sequence[str]) -> list[str]:
    """The columns of these fields, quoted."""
    fields = {item.name: item for item in table._meta.concrete_fields}
    return [connection.ops.quote_name(fields[name].column or "") for name in names]


class Loader:
    """Writes rows of one table in batches. Each batch is a transaction of its own."""

    def __init__(self, table: type[models.Model], names: Sequence[str]) -> None:
        quote = connection.ops.quote_name
        self.head = f"{quote(table._meta.db_table)} ({', '.join(columns_of(table, names))})"
        self.rows: list[Sequence[Value]] = []

    def add(self, row: Sequence[Value]) -> None:
        self.rows.append(row)
        if len(self.rows) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Writes what waits."""
        rows, self.rows = self.rows, []
        if rows:
            with transaction.atomic(), connection.cursor() as cursor:
                fill(cursor, self.head, rows)


@contextmanager
def indexes_after(table: type[models.Model], more: int) -> Iterator[None]:
    """Takes the table's indexes away while most of its rows come, and builds them when all are there.

    A process that is killed in between leaves a table without them; the next one builds them.
    """
    name = connection.ops.quote_name(table._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM (SELECT 1 FROM {name} LIMIT %s) AS rows_there", [more])  # noqa: S608 - our model's name
        grows = cursor.fetchone()[0] < more
    missing = _missing(table)
    if grows:
        with connection.schema_editor() as editor:
            for index in table._meta.indexes:
                if index not in missing:
                    editor.remove_index(table, index)
    try:
        yield
    finally:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT set_config('maintenance_work_mem', %s, false)", [MEMORY])
        for index in tqdm(_missing(table), unit=" indexes", desc=table._meta.verbose_name_plural, disable=None):
            with connection.schema_editor() as editor:
                editor.add_index(table, index)


def _missing(table: type[models.Model]) -> list[models.Index]:
    with connection.cursor() as cursor:
        known = connection.introspection.get_constraints(cursor, table._meta.db_table)
    return [index for index in table._meta.indexes if index.name not in known]


def add_counts(table: type[models.Model], names: Sequence[str], counts: dict[tuple[Any, ...], int]) -> None:
    """Adds to the `count` of the rows that these columns identify; rows that are missing are made."""
    if not counts:
        return
    columns = columns_of(table, names)
    name = connection.ops.quote_name(table._meta.db_table)
    adding = f"ON CONFLICT ({', '.join(columns)}) DO UPDATE SET count = {name}.count + EXCLUDED.count"
    into = f"INSERT INTO {name} ({', '.join(columns)}, count)"
    # Every name in these statements is one of our models'.
    rows = [(*key, count) for key, count in sorted(counts.items())]
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            what = ", ".join((*columns, "count"))
            cursor.execute(f"CREATE TEMPORARY TABLE seeded ON COMMIT DROP AS SELECT {what} FROM {name} LIMIT 0")  # noqa: S608
            fill(cursor, "seeded", rows)
            cursor.execute(f"{into} SELECT * FROM seeded {adding}")  # noqa: S608
        else:
            cursor.executemany(f"{into} VALUES ({', '.join(['%s'] * len(rows[0]))}) {adding}", rows)


def settle(*tables: type[models.Model]) -> None:
    """Tells the planner what is in these tables now, as autovacuum does in time; also which pages all can see."""
    with connection.cursor() as cursor:
        for table in tables:
            name = connection.ops.quote_name(table._meta.db_table)
            cursor.execute(f"VACUUM (ANALYZE) {name}" if connection.vendor == "postgresql" else f"ANALYZE {name}")


def fill(cursor: Any, into: str, rows: Sequence[Sequence[Value]]) -> None:
    """Writes `rows` into a table, named with its columns."""
    if connection.vendor != "postgresql":
        holes = ", ".join(["%s"] * len(rows[0]))
        cursor.executemany(f"INSERT INTO {into} VALUES ({holes})", rows)  # noqa: S608 - our models' names
        return
    with cursor.copy(f"COPY {into} FROM STDIN") as copy:
        copy.write("".join("\t".join(map(_copied, row)) + "\n" for row in rows))


def _copied(value: Value) -> str:
    if value is None:
        return "\\N"
    if not isinstance(value, str):
        return str(value)
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if "\n" in value or "\t" in value or "\r" in value:
        value = value.replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
    return value
