"""The search grammar: what is understood, what is refused and how, and that what was read can be written back."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.query import FIELDS, Op, QueryError, Term, Text, parse, term

NOW = dt.datetime(2026, 3, 1, 14, 0, tzinfo=dt.UTC)


def read(text: str) -> list[Any]:
    return list(parse(text, lambda: NOW).parts)


@pytest.mark.parametrize(
    ("text", "field", "op", "values"),
    [
        ("model:gpt-5", "model", Op.IS, ("gpt-5",)),
        ("MODEL:gpt-5", "model", Op.IS, ("gpt-5",)),
        ("upstream:openai", "provider", Op.IS, ("openai",)),
        ("key:laptop", "client_key", Op.IS, ("laptop",)),
        ("outcome:upstream-premature,upstream-error", "outcome", Op.IS, ("upstream-premature", "upstream-error")),
        ('model:"a b","c,d"', "model", Op.IS, ("a b", "c,d")),
        ('model:"say ""hi"""', "model", Op.IS, ('say "hi"',)),
        ("ttft:>2s", "ttft", Op.MORE, (2000.0,)),
        ("ttft:>=250ms", "ttft", Op.AT_LEAST, (250.0,)),
        ("duration:<1.5m", "duration", Op.LESS, (90_000.0,)),
        ("duration:<=90", "duration", Op.AT_MOST, (90.0,)),
        ("status:429", "status", Op.IS, (429,)),
        ("cost:>$0.05", "cost", Op.MORE, (Decimal("0.05"),)),
        ("stream:yes", "stream", Op.IS, (True,)),
        ("time:>2h", "time", Op.MORE, (NOW - dt.timedelta(hours=2),)),
        ("time:<2026-03-01T13:00", "time", Op.LESS, (dt.datetime(2026, 3, 1, 13, 0, tzinfo=dt.UTC),)),
        ("is:abnormal", "is", Op.IS, ("abnormal",)),
    ],
)
def test_a_term_is_read(text: str, field: str, op: Op, values: tuple[Any, ...]) -> None:
    (found,) = read(text)
    assert (found.field, found.op, found.values, found.negated) == (field, op, values, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("req_01", Text("req_01")),
        ('"connection reset by peer"', Text("connection reset by peer")),
        ("-timeout", Text("timeout", negated=True)),
        ("https://example.com/v1", Text("https://example.com/v1")),
        ('"model:gpt-5"', Text("model:gpt-5")),
    ],
)
def test_what_is_no_term_is_text(text: str, expected: Text) -> None:
    assert read(text) == [expected]


def test_a_minus_excludes_and_what_stands_twice_stands_once() -> None:
    fin, text = read("-cause:fin boom -cause:fin boom")
    assert (fin.field, fin.negated, text) == ("cause", True, Text("boom"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("modle:gpt-5", 'no field "modle"'),
        ("ttft:>soon", "expected a duration"),
        ("model:>gpt", "cannot be compared"),
        ("ttft:>1s,2s", "several values"),
        ("status:many", "whole number"),
        ("stream:maybe", "yes or no"),
        ("time:2h", "comparison"),
        ("time:>yesterday", "a date such as"),
        ("is:broken", "abnormal, open, normal"),
        ("model:", "model has no value"),
        ('model:"a', "not closed"),
        ("a" * 2001, "2001 characters"),
        (" ".join(f"t{number}" for number in range(31)), "31 terms"),
        ("status:9999999999999999999", "whole number"),
    ],
)
def test_what_cannot_be_understood_is_said(text: str, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        parse(text)


@given(st.text(alphabet="ab :,\"*-<>\\[]?%_'é", max_size=20), st.booleans())
def test_a_clicked_value_is_found_again_exactly(value: str, negated: bool) -> None:
    part = term("model", value, negated)
    assert parse(str(part)).parts == (part,)
    assert str(part.values[0]) == value


@given(st.text(max_size=60))
def test_whatever_is_typed_is_understood_or_refused_and_reads_the_same_when_written_back(text: str) -> None:
    try:
        query = parse(text, lambda: NOW)
    except QueryError:
        return
    assert parse(str(query), lambda: NOW) == query


def test_taking_a_chip_out_leaves_the_others() -> None:
    query = parse("model:a ttft:>1s boom")
    assert str(query.without(query.parts[1])) == "model:a boom"
    assert query.asks_for("ttft")
    assert not query.without(query.parts[1]).asks_for("ttft")


def test_every_field_can_be_asked_for() -> None:
    for field, kind in FIELDS.items():
        word = {"yes or no": "yes"}.get(kind.value, "1")
        if field == "time":
            word = ">1h"
        if field == "is":
            word = "open"
        (found,) = read(f"{field}:{word}")
        assert isinstance(found, Term)
