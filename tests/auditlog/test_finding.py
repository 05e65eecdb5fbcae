"""What each kind of condition finds, on the database at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from auditlog.finding import find
from auditlog.ingest import store_entries
from auditlog.query import parse, term
from tests.auditlog.test_looking import slowly

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]


@pytest.fixture
def rows(entry: Build) -> None:
    store_entries(
        [
            entry(request_id="req_a", model="gpt-5", provider="openai", ttft_ms=400, duration_ms=900, status=200, cost="0.01"),
            entry(request_id="req_b", model="gpt-5-mini", provider="openai", ttft_ms=2500, status=200, stream=True),
            entry(
                request_id="req_c",
                client_request_id="run-7",
                model="claude",
                outcome="upstream-premature",
                cause="eof",
                fault="upstream",
                error="Upstream stream closed before terminal event: 100% [odd]",
                evidence={"response_id": "chatcmpl-9"},
            ),
            entry(request_id="req_d", model='odd "name" *', outcome="rejected", cause="bad-key", fault="client", status=401),
            entry(request_id="req_e", model="gpt-5", outcome=None),
        ]
    )


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("", "abcde"),
        ("model:gpt-5", "ae"),
        ("model:gpt-5*", "abe"),
        ("model:*mini", "b"),
        ("model:g*5*i", "b"),
        ('model:"gpt-5*"', ""),
        ("model:GPT-5*", ""),
        ("-model:gpt-5", "bcd"),
        ("model:gpt-5,claude", "ace"),
        ("outcome:open", "e"),
        ("outcome:completed,open", "abe"),
        ("is:abnormal", "c"),
        ("is:normal", "abd"),
        ("-is:normal", "ce"),
        ("is:open", "e"),
        ("ttft:>2s", "b"),
        ("-ttft:>2s", "acde"),
        ("ttft:<=400ms", "a"),
        ("status:200 stream:yes", "b"),
        ("status:>=400", "d"),
        ("cost:>0.001", "a"),
        ("fault:upstream", "c"),
        ("-cause:eof,bad-key", "abe"),
        ("time:>1h", "abcde"),
        ("time:<1h", ""),
        ("req_c", "c"),
        ("run-7", "c"),
        ("chatcmpl-9", "c"),
        ("terminal", "c"),
        ('"100% [ODD]"', "c"),
        ("100_", ""),
        ("-terminal", "abde"),
        ("error:closed*", ""),
        ('error:"closed before"', "c"),
    ],
)
@pytest.mark.usefixtures("rows")
def test_a_search_finds(search: str, expected: str) -> None:
    found = find(parse(search)).entries.values_list("request_id", flat=True)
    assert "".join(sorted(name[-1] for name in found)) == expected


@pytest.mark.usefixtures("rows")
def test_a_click_finds_exactly_the_value_whatever_it_is() -> None:
    part = str(term("model", 'odd "name" *'))
    assert find(parse(part)).entries.get().request_id == "req_d"
    assert find(parse("-" + part)).entries.count() == 4


@pytest.mark.parametrize("value", ["a%b", "a_b", "a[x]b", "a?b", "a\\b", "a'b"])
def test_only_the_star_is_special_in_a_pattern(entry: Build, value: str) -> None:
    store_entries([entry(model=value), entry(model="axb"), entry(model="a")])
    assert find(parse(f"model:{value}*")).entries.get().model == value


def test_a_record_is_found_by_its_own_id(entry: Build) -> None:
    one = entry()
    store_entries([one, entry()])
    assert str(find(parse(one["id"])).entries.get().pk) == one["id"]


def test_the_wildcard_search_takes_no_time_that_grows_with_the_stars(entry: Build, django_assert_num_queries: Any) -> None:
    store_entries([entry(path="/" + "a" * 1900)])
    with django_assert_num_queries(1):
        assert not find(parse("path:" + "*a" * 60 + "*b")).entries.exists()


@pytest.mark.parametrize(
    ("search", "direction", "at_once"),
    [
        ("", "ingress", True),
        ("", "egress", True),
        ("time:>7d", "ingress", True),
        ("cause:eof", None, True),
        ("cause:eof time:>7d", None, True),
        ("is:abnormal", None, True),
        ("is:open", None, True),
        ("req_c", None, True),
        ("cause:eof", "ingress", False),
        ("cause:eof", "egress", False),
        ("cause:eof model:gpt-5", None, False),
        ("is:normal", None, False),
        ("-cause:eof", None, False),
        ("cause:e*", None, False),
        ("cause:eof,fin", None, False),
        ("ttft:>1s", None, False),
        ("nowhere", None, False),
    ],
)
@pytest.mark.usefixtures("rows")
def test_what_an_index_has_is_looked_up_at_once(search: str, direction: str | None, at_once: bool) -> None:
    assert (find(parse(search), direction).walk is None) == at_once


@pytest.mark.parametrize("search", ["cause:eof", "cause:eof time:>7d", "is:abnormal", "is:open", "req_c"])
@pytest.mark.usefixtures("rows")
def test_what_an_index_has_among_calls_of_our_own_is_asked_of_it_first(search: str) -> None:
    found = find(parse(search), "ingress")
    with CaptureQueriesContext(connection) as queries:
        assert len(found.page(10).items) == 1
    assert len([query for query in queries if query["sql"].startswith("SELECT") and "ORDER BY" in query["sql"]]) == 1


def test_calls_of_our_own_do_not_hold_up_a_page_of_what_clients_asked_for(entry: Build) -> None:
    store_entries([entry(provider="probed", request_id="req_z")])
    store_entries([entry(provider="probed", direction="egress") for _ in range(10)])
    asked: list[str] = []

    def first_one_is_slow(execute: Any, sql: str, *rest: Any) -> Any:
        if '"provider" = ' in sql:
            asked.append(sql)
            if len(asked) == 1:
                slowly()
        return execute(sql, *rest)

    began = time.monotonic()
    with connection.execute_wrapper(first_one_is_slow):
        page = find(parse("provider:probed"), "ingress").page(10)
    assert time.monotonic() - began < 20
    assert [one.request_id for one in page.items] == ["req_z"]
    assert len(asked) > 1
