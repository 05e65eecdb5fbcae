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
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache, partial
from typing import Any, NamedTuple

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


class Column(NamedTuple):
    """How one column takes what an entry names."""

    convert: Callable[[Any], Any]
    absent: Callable[[], Any]  # instead of null


@cache
def _columns() -> dict[str, Column]:
    return {
        field.attname: Column(_converter(field), _absence(field))
        for field in AuditEntry._meta.concrete_fields
        if field.attname != "id"
    }


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
    found = {}
    for name, column in _columns().items():
        if name in entry:
            value = entry[name]
            found[name] = column.absent() if value is None else column.convert(value)
    evidence = entry.get("evidence")
    answer = evidence.get("response_id") if isinstance(evidence, dict) else None
    if answer is not None and found.get("response_id") is None:
        found["response_id"] = _columns()["response_id"].convert(answer)
    return found


def _absence(field: models.Field[Any, Any]) -> Callable[[], Any]:
    if field.null:
        return lambda: None
    if isinstance(field, models.JSONField):
        return dict

    def refuse() -> Any:
        raise BadEntry(field.attname, None, "a value")

    return refuse


def _converter(field: models.Field[Any, Any]) -> Callable[[Any], Any]:
    """What makes a value, which is not None, one of the column. Made once: a batch has fifty columns for each entry."""
    name = field.attname
    if isinstance(field, models.JSONField):
        return partial(_object, name)
    if isinstance(field, models.DateTimeField):
        return partial(_moment, name)
    if isinstance(field, models.BooleanField):
        return partial(_truth, name)
    if isinstance(field, models.DecimalField):
        return partial(_decimal, name)
    if isinstance(field, models.FloatField):
        return partial(_number, name, math.inf)
    if isinstance(field, models.IntegerField):
        return partial(_whole, name, MOST[field.get_internal_type()])
    if field.choices:
        return partial(_choice, name, frozenset(value for value, _ in field.flatchoices))
    if name == "outcome":
        return lambda value: _text(field.max_length, value) or None  # an empty one is none: the request is in flight
    return partial(_text, field.max_length)


def _object(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise BadEntry(name, value, "an object")
    return _written(value)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadEntry(name, value, "true or false")
    return value


def _choice(name: str, choices: frozenset[str], value: Any) -> str:
    if not isinstance(value, str) or value not in choices:
        raise BadEntry(name, value, "one of " + ", ".join(sorted(choices)))
    return value


def _moment(name: str, value: Any) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(_number(name, math.inf, value), dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise BadEntry(name, value, "seconds since 1970") from None


def _number(name: str, most: float, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > most:
        raise BadEntry(name, value, "a number" if most == math.inf else f"a number up to {most}")
    return value


def _whole(name: str, most: int, value: Any) -> int:
    return value if type(value) is int and -most <= value <= most else int(_number(name, most, value))


def _decimal(name: str, value: Any) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise BadEntry(name, value, "a decimal number") from None
    if not number.is_finite() or abs(number) >= MOST_COST:
        raise BadEntry(name, value, f"a number below {MOST_COST:f}")
    return number.quantize(Decimal("1e-10"))


def _text(most: int | None, value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    if ("\0" in text or not text.isascii()) and REFUSED.search(text):
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
        return _text(None, value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int):
        return value
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, dict):
        return {_text(None, key): _storable(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item, depth + 1) for item in value]
    return _text(None, value)
