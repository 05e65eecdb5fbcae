"""The look-up `glob`: a text with `*` for anything, as both databases match it.

Not regular expressions: those of Python, which SQLite would be given, take a time that grows with a power of the stars.
`GLOB` and `LIKE` do not, and where the pattern begins with a text SQLite finds it in the index.
"""

from __future__ import annotations

import re
from typing import Any

from django.db.models import CharField, Lookup


@CharField.register_lookup
class Glob(Lookup):
    """`model__glob="gpt-*-mini"`."""

    lookup_name = "glob"

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} LIKE %s", (*params, re.sub(r"([%_\\])", r"\\\1", self.rhs).replace("*", "%"))

    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, params = self.process_lhs(compiler, connection)
        return f"{column} GLOB %s", (*params, re.sub(r"([?\[])", r"[\1]", self.rhs))
