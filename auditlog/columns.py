"""From an entry as the journal carries it to values that every database takes. Pure.

What must stay true: a text never costs its row (it is cut to its column, and what a database refuses in it is escaped),
while a figure, time or id that is none is `BadEntry` before any database saw it, whichever database it is: such an entry
was made by a bug, and the caller sets it aside and says so.
"""

from __future__ import annotations

import datetime as dt
import math
import re
import uuid
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

import orjson
from django.db import models

from auditlog.models import AuditEntry

MOST = {"IntegerField": 2**31 - 1, "BigIntegerField": 2**63 - 1}
MOST_COST = Decimal(10) ** 10  # the column has ten digits before the point
DEEPEST = 100  # levels of JSON that are kept
REFUSED = re.compile("[\x00\ud800-\udfff]")


class Written(str):
    """JSON text that a column takes as it is: checked, and written only once."""

    __slots__ = ()


class BadEntry(ValueError):
    """An entry that cannot be a row. The text names the column."""

    def __init__(self, name: str, value: object, expected: str) -> None:
        super().__init__(f"{name} is {str(value)[:100]!r}; expected {expected}")


@cache
def _fields() -> dict[str, models.Field[Any, Any]]:
    return {field.attname: field for field in AuditEntry._meta.concrete_fields if field.attname != "id"}


def record_id(entry: Mapping[str, Any]) -> uuid.UUID:
    """The entry's id.

    Raises:
        BadEntry: it has none.
    """
    try:
        return uuid.UUID(str(entry.get("id")))
    except ValueError:
        raise BadEntry("id", entry.get("id"), "a UUID") from None


def values(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that `entry` names, each as its field wants it; unknown keys are left out.

    Raises:
        BadEntry: a value is not of its column's kind.
    """
    found = {name: _value(field, entry[name]) for name, field in _fields().items() if name in entry}
    evidence = entry.get("evidence")
    answer = evidence.get("response_id") if isinstance(evidence, dict) else None
    if answer is not None and found.get("response_id") is None:
        found["response_id"] = _value(_fields()["response_id"], answer)
    return found


def _value(field: models.Field[Any, Any], value: Any) -> Any:
    name = field.attname
    if value is None:
        if isinstance(field, models.JSONField) and not field.null:
            return {}
        if not field.null:
            raise BadEntry(name, value, "a value")
        return None
    if isinstance(field, models.JSONField):
        if not isinstance(value, dict):
            raise BadEntry(name, value, "an object")
        return _written(value)
    if isinstance(field, models.DateTimeField):
        return _moment(name, value)
    if isinstance(field, models.BooleanField):
        return _kind(name, value, bool, "true or false")
    if isinstance(field, models.DecimalField):
        return _decimal(name, value)
    if isinstance(field, models.FloatField):
        return _number(name, value, math.inf)
    if isinstance(field, models.IntegerField):
        return int(_number(name, value, MOST[field.get_internal_type()]))
    if field.choices and value not in dict(field.flatchoices):
        raise BadEntry(name, value, "one of " + ", ".join(dict(field.flatchoices)))
    text = _text(value, field.max_length)
    return (text or None) if name == "outcome" else text


def _kind(name: str, value: Any, kind: type, expected: str) -> Any:
    if not isinstance(value, kind):
        raise BadEntry(name, value, expected)
    return value


def _moment(name: str, value: Any) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(_number(name, value, math.inf), dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise BadEntry(name, value, "seconds since 1970") from None


def _number(name: str, value: Any, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > most:
        raise BadEntry(name, value, "a number" if most == math.inf else f"a number up to {most}")
    return value


def _decimal(name: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise BadEntry(name, value, "a decimal number") from None
    if not number.is_finite() or abs(number) >= MOST_COST:
        raise BadEntry(name, value, f"a number below {MOST_COST:f}")
    return number.quantize(Decimal("1e-10"))


def _text(value: Any, most: int | None = None) -> str:
    text = value if isinstance(value, str) else str(value)
    if REFUSED.search(text):
        text = REFUSED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return text if most is None or len(text) <= most else text[: most - 1] + "…"


def _written(value: dict[str, Any]) -> Written | dict[str, Any]:
    """What nearly every entry has needs no more than a look at its text; what is odd is copied part by part."""
    try:
        text = orjson.dumps(value)
    except (TypeError, RecursionError):  # a lone surrogate, a number beyond 64 bits, a thing that is no JSON
        return _storable(value)
    if b"\\u0000" in text or text.count(b"[") + text.count(b"{") > DEEPEST:
        return _storable(value)
    return Written(text.decode())


def _storable(value: Any, depth: int = 0) -> Any:
    """A copy that JSON columns take: PostgreSQL refuses NUL and lone surrogates, and NaN is no JSON at all."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {_text(key): _storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item, depth + 1) for item in value]
    return _text(value)
