"""The list: how much and whose fault, by kind, by state, in which order; and an empty list that says why it is empty."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client, RequestFactory
from django.utils import timezone

from auditlog.models import AuditEntry, HourlyCount
from errorlog import filters
from errorlog.counting import start_of_hour
from errorlog.ingest import store_events
from errorlog.models import ErrorGroup, TopValue

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
LIST = "/admin/errorlog/errorgroup/"
HOUR = 3600


def page(client: Client, **query: str) -> str:
    answer = client.get(LIST, query)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def words(text: str) -> str:
    """The page as it reads."""
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def order(text: str) -> list[str]:
    return re.findall(r'/change/">([^<]+)</a>', text)


def group(event: Build, name: str, count: int = 1, hours_ago: float = 0, **context: Any) -> None:
    cause = context.pop("cause", "eof")
    at = time.time() - hours_ago * HOUR
    known = {"fault": "upstream", "cause": cause, "provider": name, **context}
    store_events([event(name=name, time=at, fingerprint=[name, cause, name, "200", "x"], context=known) for _ in range(count)])


def requests(upstream: str, count: int, hours_ago: int = 0) -> None:
    hour = start_of_hour(timezone.now()) - timedelta(hours=hours_ago)
    HourlyCount.objects.create(hour=hour, provider=upstream, model="m", outcome="completed", count=count)


def test_the_head_says_how_many_of_how_many_and_whose_fault(admin_client: Client, event: Build) -> None:
    group(event, "a", 30)
    group(event, "b", 10, fault="client", cause="fin")
    store_events([event(name="TypeError", context={}, source="renderer", fingerprint=["TypeError"])])
    requests("a", 3000)
    requests("b", 1000, hours_ago=23)
    requests("b", 99_000, hours_ago=24)
    text = words(page(admin_client))
    assert "40 of 4,000 requests ended abnormally in the last 24 hours (1.0 %)" in text
    assert "1 exception or report beside them" in text
    for share in ("upstream 30 73 %", "client 10 24 %", "relay 1 2.4 %", "operator 0 0 %"):
        assert share in text


def test_kinds_are_tiles_that_filter(admin_client: Client, event: Build) -> None:
    group(event, "StreamUpstreamError", 5)
    group(event, "StreamClientAbort", 2, cause="fin")
    for index in range(8):
        store_events([event(name=f"Error{index}", context={}, fingerprint=[f"Error{index}"])])
    text = page(admin_client)
    tiles = re.findall(r'class="ep-kind[^"]*" href="([^"]+)" title="([^"]+)"', text)
    assert [name for _, name in tiles] == ["StreamUpstreamError", "StreamClientAbort", "Exceptions and reports"]
    assert order(page(admin_client, name="StreamClientAbort")) == ["StreamClientAbort"]
    assert len(order(page(admin_client, name="-"))) == 8
    assert "is-active" in page(admin_client, name="StreamClientAbort")


def test_a_menu_offers_the_most_frequent_values_and_no_others_are_read(
    event: Build, django_assert_num_queries: Any, admin_client: Client
) -> None:
    for name, counts in (("a", dict.fromkeys(range(60), 1)), ("b", {59: 9, 58: 5})):
        group(event, name)
        of = ErrorGroup.objects.get(name=name)
        for field in ("model", "close_code"):  # of which the second has no menu
            TopValue.objects.bulk_create(TopValue(group=of, field=field, value=f"m{n:02}", count=k) for n, k in counts.items())
    with django_assert_num_queries(1):
        totals = filters._totals(RequestFactory().get(LIST))
    assert totals["model"] == {"m59": 10, "m58": 6, **{f"m{n:02}": 1 for n in range(48)}}
    assert totals["upstream"] == {"a": 1, "b": 1} and "close_code" not in totals
    offered = re.findall(r"[?;&]model=(m\d\d)", page(admin_client))
    assert [*dict.fromkeys(offered)][-filters.OFFERED :][:3] == ["m59", "m58", "m00"]


def test_the_order_is_by_last_seen_count_rate_or_keys(admin_client: Client, event: Build) -> None:
    group(event, "few-of-few", 5, hours_ago=1)
    group(event, "many-of-many", 50, hours_ago=2)
    group(event, "old", 500, hours_ago=30)
    for key in ("k1", "k2", "k3"):
        group(event, "keys", 1, hours_ago=3, client_key=key)
    for name, count in (("few-of-few", 10), ("many-of-many", 10_000), ("keys", 100)):
        requests(name, count, hours_ago=1)
    assert order(page(admin_client)) == ["few-of-few", "many-of-many", "keys", "old"]
    assert order(page(admin_client, sort="count")) == ["many-of-many", "few-of-few", "keys", "old"]
    assert order(page(admin_client, sort="count", period="7d")) == ["old", "many-of-many", "few-of-few", "keys"]
    assert order(page(admin_client, sort="rate")) == ["few-of-few", "keys", "many-of-many", "old"]
    assert order(page(admin_client, sort="keys"))[0] == "keys"
    assert "50 % of 10" in words(page(admin_client, sort="rate"))


def test_an_exception_has_no_rate_though_it_names_an_upstream(admin_client: Client, event: Build) -> None:
    group(event, "a", 2, cause="")
    group(event, "b", 1)
    requests("a", 4)
    requests("b", 100)
    text = page(admin_client, sort="rate")
    assert order(text) == ["b", "a"] and "not a stream" in text and " of 4" not in words(text).split("Last seen")[1]


def test_a_period_narrows_the_list_and_its_figures(admin_client: Client, event: Build) -> None:
    group(event, "now", 3)
    group(event, "days-ago", 7, hours_ago=80)
    assert order(page(admin_client)) == ["now", "days-ago"]
    assert order(page(admin_client, period="24h")) == order(page(admin_client, period="1h")) == ["now"]
    assert order(page(admin_client, period="7d")) == ["now", "days-ago"]
    requests("now", 1000)
    assert "10 of 1,000 requests" in words(page(admin_client, period="7d"))
    assert "3 of 1,000 requests" in words(page(admin_client, period="1h"))


@pytest.mark.parametrize("period", ["1h", "24h", "7d", "28d", "x"])
def test_sparklines_hold_as_many_events_as_the_count_says(admin_client: Client, event: Build, period: str) -> None:
    for hours_ago in (0, 0, 5, 30, 200, 600):
        group(event, "a", 1, hours_ago=hours_ago)
    text = page(admin_client, period=period, state="all")
    shown = {"1h": 3, "24h": 3, "7d": 4, "28d": 6, "x": 3}[period]
    assert f'aria-label="{shown} in the last' in text


def test_tabs_count_what_the_other_filters_leave(admin_client: Client, event: Build) -> None:
    for name in ("a", "b", "c", "d"):
        group(event, name, model="gpt" if name < "d" else "other")
    ErrorGroup.objects.filter(name="a").resolve()
    ErrorGroup.objects.filter(name="b").mute()
    assert "Unresolved 2 Regressed 0 Muted 1 Resolved 1 All 4 Rehearsed 0" in words(page(admin_client))
    text = words(page(admin_client, model="gpt", sort="count"))
    assert "Unresolved 1 Regressed 0 Muted 1 Resolved 1 All 3" in text
    assert order(page(admin_client, state="muted")) == ["b"]


def test_what_was_rehearsed_is_shown_apart(admin_client: Client, event: Build) -> None:
    store_events([event(drill=True, name="Rehearsal", message="cut on purpose")])
    assert "cut on purpose" in page(admin_client, state="rehearsed")
    text = words(page(admin_client))
    assert "Rehearsed 1" in text and "cut on purpose" not in text


def test_every_filter_is_a_chip_that_can_be_removed(admin_client: Client, event: Build) -> None:
    group(event, "a", model="gpt")
    text = page(admin_client, model="gpt", q='-cause:fin "two words"', state="all")
    chips = re.findall(r'class="ep-chip([^"]*)">(.*?)<a href="([^"]*)"', text)
    assert [words(label) for _, label, _ in chips] == ["model gpt", "not cause fin", "text two words"]
    assert [css.strip() for css, _, _ in chips] == ["", "is-not", ""]
    assert "model" not in chips[0][2] and "q=" in chips[0][2]
    assert "cause" not in chips[1][2] and "two" in chips[1][2]


def test_a_search_without_result_says_which_filter_to_drop(admin_client: Client, event: Build) -> None:
    group(event, "a", model="gpt")
    text = words(page(admin_client, model="gpt", q="zzz"))
    assert "No group matches these filters" in text and "Without the text: 1 group" in text
    ErrorGroup.objects.resolve()
    text = words(page(admin_client))
    assert "Nothing is unresolved" in text and "In every state: 1 group" in text


@pytest.mark.parametrize(
    ("query", "remark"),
    [
        ({"q": "cause:nonsense"}, 'There is no cause "nonsense".'),
        ({"q": "cause:idle_timeout"}, 'There is no cause "idle_timeout"; the nearest are idle-timeout, '),
        ({"q": "fault:bar"}, 'There is no fault "bar"; there are client, operator, relay, unknown, upstream.'),
        ({"q": "-fault:bar"}, 'There is no fault "bar"; there are '),
        ({"q": "phase:flying"}, 'There is no phase "flying"; there are connecting, '),
        ({"q": "status:new"}, 'There is no status "new"; there are ignored, muted, resolved, unresolved.'),
        ({"cause": "quota"}, 'There is no cause "quota"; the nearest is quota-exhausted.'),
        ({"q": "outcome:foo"}, 'There is no field "outcome" here, so "outcome:foo" was looked for as text.'),
    ],
)
def test_a_word_that_no_group_can_have_is_said_to_be_one(
    admin_client: Client, event: Build, query: dict[str, str], remark: str
) -> None:
    group(event, "a")
    assert remark in words(unescape(page(admin_client, **query)))


def test_a_search_for_a_word_that_there_is_not_is_one_that_cannot_be_understood(admin_client: Client, event: Build) -> None:
    group(event, "a")
    text = words(unescape(page(admin_client, q="cause:nonsense")))
    assert 'This search cannot be understood There is no cause "nonsense". Without the text: 1 group' in text
    assert text.count('There is no cause "nonsense"') == 1 and "No group matches" not in text
    assert "Unresolved Regressed Muted Resolved All" in text  # no noughts that would be believed
    excluding = words(unescape(page(admin_client, q="-cause:nonsense")))
    assert "cannot be understood" not in excluding and 'There is no cause "nonsense".' in excluding and "All 1" in excluding
    assert "No group matches these filters" in words(unescape(page(admin_client, q="outcome:foo")))


@pytest.mark.parametrize("text", ["cause:eof", "cause:stalled", "-cause:eof", "cause:from-a-report", "model:nonsense", '"a:b"'])
def test_a_word_that_a_group_may_have_is_not(admin_client: Client, event: Build, text: str) -> None:
    """A report from outside brings words of its own."""
    group(event, "a")
    group(event, "b", cause="from-a-report")
    assert "There is no " not in page(admin_client, q=text)


def test_an_empty_list_says_how_fresh_its_silence_is(admin_client: Client, settings: Any) -> None:
    assert "no request has been recorded so far" in words(page(admin_client))
    AuditEntry.objects.create(id="0197a7c4-1f2a-7f0e-90d3-000000000001", time=timezone.now(), outcome="completed")
    requests("a", 1204)
    text = words(page(admin_client))
    assert "No abnormal ending among 1,204 requests in the last 24 hours" in text
    assert "Every stream reached its end" in text and "just now, so this silence is real" in text
    settings.ERRORLOG = {**settings.ERRORLOG, "ENABLED": False}
    assert "The error log is switched off" in page(admin_client)


def test_without_panels_there_are_counts_and_no_rates(admin_client: Client, event: Build, settings: Any) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "PANELS": ""}
    group(event, "a", 3)
    for query in ({}, {"sort": "rate"}):
        text = words(page(admin_client, **query))
        assert "3 events in the last 24 hours" in text and " of " not in text.split("Last seen")[1].split("1 group")[0]


def test_states_are_chips(admin_client: Client, event: Build) -> None:
    group(event, "new")
    group(event, "escalating", 1, hours_ago=20)
    group(event, "escalating", 40)
    group(event, "steady", 30, hours_ago=30)
    group(event, "steady", 3)
    group(event, "regressed", 1, hours_ago=1)
    ErrorGroup.objects.filter(name="regressed").resolve()
    ErrorGroup.objects.filter(name="regressed").update(resolved_at=timezone.now() - timedelta(minutes=5))
    group(event, "regressed")
    text = page(admin_client)
    rows = {order(row)[0]: re.findall(r"ep-state st-(\w+)", row) for row in text.split('<tr class="k-')[1:]}
    assert rows == {"new": ["new"], "escalating": ["new", "escalating"], "steady": [], "regressed": ["regressed"]}


def test_a_client_fault_is_counted_and_stays_quiet(admin_client: Client, event: Build) -> None:
    group(event, "a", 4, fault="client", cause="fin")
    text = page(admin_client)
    row = text.split('<tr class="k-')[1]
    assert row.startswith('client"') and "unread" not in row and "<b>4</b>" in row


@pytest.mark.parametrize(
    "query", [{"sort": "x"}, {"state": "x"}, {"period": "\0"}, {"p": "99"}, {"o": "1"}, {"q": "\0"}, {"fault": "\0"}]
)
def test_odd_addresses_are_answered(admin_client: Client, event: Build, query: dict[str, str]) -> None:
    group(event, "a")
    assert admin_client.get(LIST, query).status_code in (200, 302)


def test_pages_of_fifty(admin_client: Client, event: Build) -> None:
    store_events([event(fingerprint=[f"g{index}"], name=f"g{index}", time=1e9 + index) for index in range(60)])
    first, second = page(admin_client), page(admin_client, p="2")
    assert len(order(first)) == 50 and len(order(second)) == 10 and not set(order(first)) & set(order(second))
    assert "Page 1 of 2" in words(first) and 'rel="next"' in first and 'rel="prev"' in second


def test_the_button_that_reads_all_says_what_the_badge_leaves_out(admin_client: Client, event: Build) -> None:
    group(event, "a", 3)
    assert "badge leaves out" not in page(admin_client)
    group(event, "b", 2, fault="client", cause="fin")
    text = page(admin_client)
    assert "Mark all read 5" in words(text)
    assert "The badge leaves out 2 of them" in text
