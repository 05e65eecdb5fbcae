"""One writer at a time: what makes arrival order and commit order the same.

SQLite lets no second writer in; on PostgreSQL a transaction-scoped advisory lock does the same.
"""

from django.db import connection

ARRIVAL_LOCK = 0x6572726F72  # "error"


def take_arrival_lock() -> None:
    """Until the end of the transaction no other process stores events or deletes groups."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ARRIVAL_LOCK])
