"""The search: what a word finds, what a pair finds, what a minus leaves, and that no word reads every event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from errorlog.ingest import store_events
from errorlog.models import ErrorGroup
from errorlog.search import search, terms

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def groups(event: Build) -> None:
    store_events(
        [
            event(name="Early", fingerprint=["a"], message="an old message", request_id="req_old", context={"model": "gpt-5"}),
            event(name="Early", fingerprint=["a"], message="handshake failed", request_id="req_new", context={"model": "o4"}),
            event(name="Late", fingerprint=["b"], message="a handshake too", context={"fault": "client", "cause": "fin"}),
            event(name="Drill", drill=True, request_id="req_drill", message="handshake"),
        ]
    )


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {"Early", "Late"}),
        ("handshake", {"Early", "Late"}),
        ("HANDSHAKE too", {"Late"}),
        ("req_old", {"Early"}),
        ("req_new", {"Early"}),
        ("req_drill", set()),
        ("-req_old", {"Late"}),
        ("-handshake", set()),
        ("-fault:client", {"Early"}),
        ("model:gpt-5 model:o4", {"Early"}),
        ("model:gpt-5 -model:o4", set()),
        ("kind:Late", {"Late"}),
        ('"a handshake"', {"Late"}),
        ("no:such handshake", set()),
        ("%", set()),
    ],
)
def test_what_a_search_finds(text: str, names: set[str]) -> None:
    assert set(search(ErrorGroup.objects.all(), text).values_list("name", flat=True)) == names


def test_each_term_knows_the_search_without_it() -> None:
    found = list(terms('model:gpt-5 "two words" -cause:eof'))
    assert [(term.field, term.value, term.excludes) for term, _ in found] == [
        ("model", "gpt-5", False),
        ("", "two words", False),
        ("cause", "eof", True),
    ]
    assert [rest for _, rest in found] == ['"two words" -cause:eof', "model:gpt-5 -cause:eof", 'model:gpt-5 "two words"']
