"""Texts never cost their row; figures that are none are refused before any database sees them."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog import columns

ID = str(uuid.uuid4())


@pytest.mark.parametrize(
    ("name", "given", "kept"),
    [
        ("model", "x" * 600, "x" * 499 + "…"),
        ("error", "a\0b\ud800", "a\\u0000b\\ud800"),
        ("model", 7, "7"),
        ("status", 200.0, 200),
        ("ttft_ms", 12, 12),
        ("cost", "0.05", Decimal("0.0500000000")),
        ("outcome", "", None),
        ("time", 0, dt.datetime(1970, 1, 1, tzinfo=dt.UTC)),
        ("evidence", None, {}),
        ("evidence", {"a": float("nan"), "b\0": ["\0", (1, object)]}, {"a": None, "b\\u0000": ["\\u0000", [1, str(object)]]}),
        ("stream", True, True),
        ("credential_id", 2**40, 2**40),
    ],
)
def test_a_value_becomes_what_its_column_takes(name: str, given: Any, kept: Any) -> None:
    assert columns.values({"id": ID, name: given})[name] == kept


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("status", "many"),
        ("status", 2**31),
        ("status", True),
        ("bytes_out", 2**63),
        ("ttft_ms", float("inf")),
        ("cost", "much"),
        ("cost", 10**11),
        ("time", "now"),
        ("time", 1e20),
        ("time", None),
        ("stream", "yes"),
        ("direction", "sideways"),
        ("evidence", "text"),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(name: str, given: Any) -> None:
    with pytest.raises(columns.BadEntry, match=name):
        columns.values({"id": ID, name: given})


@pytest.mark.parametrize("given", [None, "", "7", 7])
def test_an_entry_without_an_id_is_refused(given: Any) -> None:
    with pytest.raises(columns.BadEntry, match="id"):
        columns.record_id({"id": given})


def test_what_is_no_column_is_left_out_and_the_answers_id_is_lifted_from_the_evidence() -> None:
    found = columns.values({"id": ID, "nonsense": 1, "evidence": {"response_id": "chatcmpl-1"}})
    assert found == {"evidence": '{"response_id":"chatcmpl-1"}', "response_id": "chatcmpl-1"}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=5), inside, max_size=3),
    )
)
def test_whatever_the_evidence_holds_the_quick_way_keeps_what_the_long_way_does(value: Any) -> None:
    kept = columns.values({"id": ID, "evidence": {"value": value}})["evidence"]
    if isinstance(kept, columns.Written):
        kept = json.loads(kept)
    assert kept == columns._storable({"value": value})


def test_json_that_is_too_deep_is_cut() -> None:
    deep: Any = "end"
    for _ in range(100):
        deep = [deep]
    found = columns.values({"id": ID, "evidence": {"deep": deep}})["evidence"]["deep"]
    for _ in range(columns.DEEPEST - 1):
        found = found[0]
    assert found == "…"
