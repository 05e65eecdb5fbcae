"""The search grammar of the Audit view: from what was typed to a `Query`, or one sentence saying what is wrong. Pure.

    model:gpt-5 outcome:upstream-premature ttft:>2s fault:upstream -cause:fin "text that may be quoted"

A term is `field:value`; a comma gives alternatives, `*` stands for anything, a minus excludes, and fields that measure
take `>`, `>=`, `<`, `<=`. All terms must hold. Whatever is no term is text, looked for in ids and error messages. What
must stay true: `parse(str(query)) == query`, so that a chip can be taken out and the rest written back as an address.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

LONGEST = 2_000  # characters; what is longer was not typed
MOST_TERMS = 30


class QueryError(ValueError):
    """A search that cannot be understood; the text says where and what was expected."""


class Kind(StrEnum):
    """What a field's values are."""

    WORD = "a word"
    DURATION = "a duration such as 250ms, 2s or 1.5m"
    NUMBER = "a whole number"
    MONEY = "an amount such as 0.05"
    FLAG = "yes or no"
    MOMENT = "a date such as 2026-03-01, a time such as 2026-03-01T14:00, or an age such as 2h"
    STATE = "one of abnormal, open, normal"


class Op(StrEnum):
    IS = ""
    MORE = ">"
    AT_LEAST = ">="
    LESS = "<"
    AT_MOST = "<="


FIELDS: dict[str, Kind] = {
    **dict.fromkeys(("model", "upstream_model", "provider", "credential", "client_key", "tag", "method", "path"), Kind.WORD),
    **dict.fromkeys(("outcome", "cause", "phase", "fault", "direction", "peer", "user_agent", "instance"), Kind.WORD),
    **dict.fromkeys(("request_id", "client_request_id", "response_id", "error"), Kind.WORD),
    **dict.fromkeys(("ttft", "duration"), Kind.DURATION),
    **dict.fromkeys(("status", "upstream_status", "client_status", "attempts", "bytes_in", "bytes_out"), Kind.NUMBER),
    **dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "total_tokens"), Kind.NUMBER),
    "cost": Kind.MONEY,
    **dict.fromkeys(("stream", "drill"), Kind.FLAG),
    "time": Kind.MOMENT,
    "is": Kind.STATE,
}
ALIASES = {
    "upstream": "provider",
    "key": "client_key",
    "protocol": "tag",
    "agent": "user_agent",
    "input": "input_tokens",
    "output": "output_tokens",
    "cached": "cached_tokens",
    "reasoning": "reasoning_tokens",
    "tokens": "total_tokens",
    "attempt_count": "attempts",
    "request": "request_id",
    "client": "client_request_id",
    "response": "response_id",
    "ttft_ms": "ttft",
    "duration_ms": "duration",
}
STATES = ("abnormal", "open", "normal")


@dataclass(frozen=True, slots=True)
class Term:
    """One condition. `values` are alternatives, already of the field's kind; `written` is how they were typed."""

    field: str
    op: Op
    values: tuple[Any, ...]
    written: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{'-' * self.negated}{self.field}:{self.op}{self.written}"


@dataclass(frozen=True, slots=True)
class Text:
    """Something to look for in ids and error messages."""

    text: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{'-' * self.negated}{_quoted(self.text)}"


@dataclass(frozen=True, slots=True)
class Query:
    """A search that was understood: all of its parts must hold."""

    parts: tuple[Term | Text, ...] = ()

    def __str__(self) -> str:
        return " ".join(map(str, self.parts))

    def without(self, part: Term | Text) -> Query:
        return Query(tuple(other for other in self.parts if other != part))

    def asks_for(self, field: str) -> bool:
        return any(isinstance(part, Term) and part.field == field for part in self.parts)


_IN_QUOTES = r'"((?:[^"]|"")*)"'  # a quotation mark within is written twice
_PART = re.compile(
    rf"(?P<minus>-?)(?:(?P<name>[A-Za-z_]+):(?P<value>(?:{_IN_QUOTES}|[^\s\"])+)|(?P<quoted>{_IN_QUOTES})|(?P<plain>[^\s\"]+))"
)
_VALUE = re.compile(rf'{_IN_QUOTES}|([^,"]+)')
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?", re.ASCII)
_AGE = re.compile(r"(\d{1,6})(m|h|d|w)", re.ASCII)
_MS = {"ms": 1.0, "s": 1000.0, "m": 60_000.0, "h": 3_600_000.0}
_AGES = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse(text: str, now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)) -> Query:
    """What `text` asks for. `now` is asked only where an age is given, or a time without a zone: it is in that of `now`.

    Raises:
        QueryError: a field that does not exist, or a value that is not of its kind.
    """
    if len(text) > LONGEST:
        raise QueryError(f"the search is {len(text)} characters long; at most {LONGEST} are read")
    text = text.replace("\0", "")
    if text.count('"') % 2:
        raise QueryError('a quotation mark is not closed: "')
    parts: list[Term | Text] = []
    for found in _PART.finditer(text):
        part = _part(found, now)
        if part is not None and part not in parts:
            parts.append(part)
    if len(parts) > MOST_TERMS:
        raise QueryError(f"the search has {len(parts)} terms; at most {MOST_TERMS} are read")
    return Query(tuple(parts))


def term(field: str, value: str, negated: bool = False) -> Term:
    """The term that finds exactly `value`: what a click on a cell adds."""
    written = _quoted(value, always="*" in value or "," in value)
    return Term(field, Op.IS, (Literal(value) if written.startswith('"') else value,), written, negated)


def _part(found: re.Match[str], now: Callable[[], dt.datetime]) -> Term | Text | None:
    negated = bool(found["minus"])
    name, value = found["name"], found["value"]
    if name is None or value.startswith("//"):  # the second is an address: it was pasted
        quoted = None if found["quoted"] is None else found["quoted"][1:-1].replace('""', '"')
        return _plain(quoted, found["plain"] or f"{name}:{value}", negated)
    name = name.lower()
    field = ALIASES.get(name, name)
    if field not in FIELDS:
        raise QueryError(f'there is no field "{name}"; for the text itself write "{name}:{value.replace(chr(34), "")}" in quotes')
    return _term(field, value, negated, now)


def _plain(quoted: str | None, bare: str, negated: bool) -> Text | None:
    if quoted is not None:
        return Text(quoted, negated) if quoted.strip() else None
    name = bare.removesuffix(":").lower()
    if bare.endswith(":") and ALIASES.get(name, name) in FIELDS:
        kind = FIELDS[ALIASES.get(name, name)]
        raise QueryError(f'{name} has no value; expected {kind}. For the text itself write "{bare}" in quotes')
    return Text(bare.replace('"', ""), negated)


def _term(field: str, value: str, negated: bool, now: Callable[[], dt.datetime]) -> Term:
    kind = FIELDS[field]
    op = next((op for op in (Op.AT_LEAST, Op.AT_MOST, Op.MORE, Op.LESS) if value.startswith(op.value)), Op.IS)
    if op is not Op.IS and kind in (Kind.WORD, Kind.FLAG, Kind.STATE):
        raise QueryError(f"{field} cannot be compared by {op}; expected {kind}")
    if op is Op.IS and kind is Kind.MOMENT:
        raise QueryError(f"{field} wants a comparison, such as {field}:>2h for the last two hours")
    written = value[len(op) :]
    # A value is literal where it was quoted: "a*" is not a pattern.
    given = [(quoted.replace('""', '"'), True) if not plain else (plain, False) for quoted, plain in _VALUE.findall(written)]
    if not given:
        raise QueryError(f"{field} has no value; expected {kind}")
    if op is not Op.IS and len(given) > 1:
        raise QueryError(f"{field} is compared with several values; expected one")
    values = tuple(_value(field, kind, word, literal, now) for word, literal in given)
    return Term(field, op, values, written, negated)


def _value(field: str, kind: Kind, word: str, literal: bool, now: Callable[[], dt.datetime]) -> Any:
    try:
        if kind is Kind.WORD:
            return Literal(word) if literal else word
        return _READ[kind](word, now)
    except (ValueError, ArithmeticError):
        raise QueryError(f'{field} is "{word}"; expected {kind}') from None


class Literal(str):
    """A word in which `*` is only a star."""

    __slots__ = ()


def _duration(word: str, now: Callable[[], dt.datetime]) -> float:
    found = _DURATION.fullmatch(word)
    if found is None:
        raise ValueError(word)
    return float(found[1]) * _MS[found[2] or "ms"]


def _integer(word: str, now: Callable[[], dt.datetime]) -> int:
    if re.fullmatch(r"\d{1,18}", word, re.ASCII) is None:
        raise ValueError(word)
    return int(word)


def _money(word: str, now: Callable[[], dt.datetime]) -> Decimal:
    if re.fullmatch(r"\$?\d{1,9}(\.\d{1,10})?", word, re.ASCII) is None:
        raise ValueError(word)
    return Decimal(word.lstrip("$"))


def _flag(word: str, now: Callable[[], dt.datetime]) -> bool:
    if word.lower() not in ("yes", "no", "true", "false", "1", "0"):
        raise ValueError(word)
    return word.lower() in ("yes", "true", "1")


def _moment(word: str, now: Callable[[], dt.datetime]) -> dt.datetime:
    age = _AGE.fullmatch(word)
    moment = now() - dt.timedelta(**{_AGES[age[2]]: int(age[1])}) if age else dt.datetime.fromisoformat(word)
    return moment if moment.tzinfo else moment.replace(tzinfo=now().tzinfo)


def _state(word: str, now: Callable[[], dt.datetime]) -> str:
    if word not in STATES:
        raise ValueError(word)
    return word


_READ: dict[Kind, Callable[[str, Callable[[], dt.datetime]], Any]] = {
    Kind.DURATION: _duration,
    Kind.NUMBER: _integer,
    Kind.MONEY: _money,
    Kind.FLAG: _flag,
    Kind.MOMENT: _moment,
    Kind.STATE: _state,
}


def _quoted(text: str, always: bool = False) -> str:
    bare = re.fullmatch(r"[^\s\":,<>-][^\s\":]*", text) is not None
    doubled = text.replace('"', '""')
    return text if bare and not always else f'"{doubled}"'
