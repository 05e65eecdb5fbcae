"""The list and the page of an entry, as an operator and as a viewer get them, without any script."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from auditlog.changing import change
from auditlog.ingest import store_entries
from auditlog.models import AuditEntry, RecordingState
from tests.people import BACKEND, staff

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
LIST = "/admin/auditlog/auditentry/"
EVIL = "<script>alert('model')</script>"


@pytest.fixture
def viewer() -> Client:
    """Somebody who may look and no more."""
    return staff("view_auditentry")


def page(client: Client, address: str = LIST, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200
    return answer.content.decode()


def shown(html: str) -> list[str]:
    """The request ids of the rows, in their order."""
    return re.findall(r'<td class="field-time"[^>]*><a href="[^"]+" title="([^"]*)"', html)


def broken(build: Build, **fields: Any) -> dict[str, Any]:
    evidence = {
        "provider": "openai",
        "event_count": 53,
        "timeline": {"connected": 9, "request_sent": 10, "first_event": 3480, "last_upstream_byte": 8640, "ended": 49_840},
        "attempts": [
            {"upstream": "openai", "credential": "team-a", "status": 503, "ms": 200, "outcome": "upstream-error", "detail": EVIL},
            {
                "upstream": "openai",
                "credential": "team-b",
                "status": 200,
                "ms": 49_000,
                "next": "not tried again: it began",
            },
        ],
        "last_events": [{"type": "delta", "size": 214, "at": 7900}, {"type": EVIL, "size": 219, "at": 8640}],
        "client_socket": {"peer": "direct", "closed": "fin"},
    }
    base = {
        "outcome": "upstream-premature",
        "cause": "eof",
        "fault": "upstream",
        "fault_reason": "silence",
        "provider": "openai",
        "credential": "team-b",
        "attempt_count": 2,
        "evidence": evidence,
    }
    return build(**(base | fields))


# ---- the list


@pytest.mark.parametrize(
    ("text", "remark"),
    [
        ("cause:nonsense", 'There is no cause "nonsense".'),
        ("model:a -cause:eof,truncated", 'There is no cause "truncated"; the nearest is truncated-body.'),
        ("cause:timeout", 'There is no cause "timeout"; the nearest are tcp-timeout, idle-timeout, total-timeout.'),
        ("outcome:foo", 'There is no outcome "foo"; there are client-abort, client-write-failed, completed, '),
        ("fault:bar*", 'There is no fault "bar*"; there are client, operator, relay, unknown, upstream.'),
        ("phase:flying", 'There is no phase "flying"; there are connecting, finishing, receiving, '),
        ("direction:up", 'There is no direction "up"; there are egress, ingress.'),
    ],
)
def test_a_word_that_no_entry_can_have_is_said_to_be_one(admin_client: Client, entry: Build, text: str, remark: str) -> None:
    store_entries([entry()])
    html = page(admin_client, q=text)
    assert remark in unescape(html)
    assert shown(html) == []


@pytest.mark.parametrize(
    "text",
    ["outcome:open", "cause:up*", 'cause:"eof"', "-phase:waiting", "fault:upstream,relay", "model:nonsense", "cause:of-old"],
)
def test_a_word_that_an_entry_may_have_is_not(admin_client: Client, entry: Build, text: str) -> None:
    """Entries of an earlier version keep its words."""
    store_entries([broken(entry, cause="of-old")])
    assert "here is no " not in page(admin_client, q=text)


def test_the_foot_of_the_list_tells_its_span_and_that_nothing_is_counted(admin_client: Client, entry: Build) -> None:
    store_entries([entry()])
    foot = re.sub(r"<[^>]*>", "", page(admin_client).split('<div class="paginator')[1])
    assert re.search(r"50 a page, [0-9:]+( to [0-9:]+)?; no total is counted", foot), foot[:300]


def test_each_row_shows_its_ending_and_its_request_id_newest_first(admin_client: Client, entry: Build) -> None:
    now = time.time()
    store_entries([entry(time=now - 1, request_id="req_old"), broken(entry, time=now, request_id="req_new", model="gpt-5")])
    html = page(admin_client)
    assert shown(html) == ["req_new", "req_old"]
    for word in ("upstream-premature", "eof", "completed", "gpt-5", "×2", "team-b"):
        assert word in html


def test_a_page_goes_on_and_comes_back(admin_client: Client, entry: Build) -> None:
    store_entries([entry(time=1000.0 + number, request_id=f"req_{number:03}") for number in range(120)])
    first = page(admin_client)
    seen = shown(first)
    assert seen[0] == "req_119"
    older = link(first, "Older")
    second = page(admin_client, LIST + older)
    seen += shown(second)
    third = page(admin_client, LIST + link(second, "Older"))
    seen += shown(third)
    assert seen == [f"req_{number:03}" for number in reversed(range(120))]
    assert "is-off" in third
    assert shown(page(admin_client, LIST + link(third, "Newer"))) == seen[50:100]


def link(html: str, text: str) -> str:
    found = re.search(rf'<a class="ep-btn" href="([^"]+)"[^>]*>[^<]*{text}', html)
    assert found is not None, text
    return unescape(found[1])


def test_the_list_asks_the_same_questions_however_long_it_is(
    admin_client: Client, entry: Build, django_assert_max_num_queries: Any
) -> None:
    store_entries([broken(entry) for _ in range(60)])
    with django_assert_max_num_queries(16) as asked:
        page(admin_client)
    assert not [query["sql"] for query in asked if "COUNT(" in query["sql"].upper() and "auditlog_auditentry" in query["sql"]]


def test_a_search_stands_in_chips_that_can_be_taken_out(admin_client: Client, entry: Build) -> None:
    store_entries([entry(model="a", request_id="req_a"), entry(model="b", request_id="req_b")])
    html = page(admin_client, q="model:a -key:load-test")
    assert shown(html) == ["req_a"]
    chips = re.findall(r'<span class="ep-chip( is-not)?">(.*?)</span>', html)
    assert [(kind, re.sub("<[^>]+>", "", text)) for kind, text in chips] == [("", "model:a×"), (" is-not", "not key:load-test×")]
    without = re.search(r'href="([^"]+)" aria-label="Remove model a"', html)
    assert without is not None
    assert len(shown(page(admin_client, LIST + unescape(without[1])))) == 2


def test_what_is_typed_joins_the_chips_in_one_address(admin_client: Client) -> None:
    answer = admin_client.get(LIST, {"terms": "model:a", "q": "ttft:>2s boom", "direction": "egress"})
    assert (answer.status_code, answer["location"]) == (302, "?q=model%3Aa+ttft%3A%3E2s+boom&direction=egress")
    html = page(admin_client, LIST + answer["location"])
    assert 'name="q" value="boom"' in html
    assert 'name="terms" value="model:a ttft:&gt;2s"' in html


def test_a_click_on_a_cell_filters_by_it_or_excludes_it(admin_client: Client, entry: Build) -> None:
    models = {"req_odd": 'odd "name", *', "req_b": "b", "req_c": "c"}  # three, so that all but one are not one
    now = time.time()
    store_entries([entry(model=model, request_id=name, time=now - at) for at, (name, model) in enumerate(models.items())])
    html = page(admin_client)
    links = re.findall(r'<a href="([^"]+)" aria-label="(Only|Exclude) this model">', html)
    found = [(unescape(href), word) for href, word in links]
    results = {(word, *shown(page(admin_client, LIST + href))) for href, word in found}
    assert results == {
        *(("Only", name) for name in models),
        *(("Exclude", *(other for other in models if other != name)) for name in models),
    }


def test_every_menu_leads_where_it_says(admin_client: Client, entry: Build) -> None:
    store_entries([broken(entry, request_id="req_1"), entry(request_id="req_2", time=time.time() - 7200)])
    html = page(admin_client)
    menus = dict(re.findall(r"<summary>([^<]+)</summary><ul>(.*?)</ul>", html))
    assert {"Outcome", "Cause", "Fault", "Upstream", "Credential", "Period"} <= set(menus)
    hrefs = {text: unescape(href) for href, text in re.findall(r'<a href="([^"]+)">([^<]+)</a>', menus["Period"])}
    assert shown(page(admin_client, LIST + hrefs["1 hour"])) == ["req_1"]
    chosen = page(admin_client, q="time:>24h")
    assert "Period: 24 hours" in chosen
    assert len(shown(chosen)) == 2


def test_a_search_that_cannot_be_understood_is_explained_and_shows_nothing(admin_client: Client, entry: Build) -> None:
    store_entries([entry(request_id="req_1")])
    html = page(admin_client, q="ttft:>soon")
    assert "expected a duration" in html
    assert 'value="ttft:&gt;soon"' in html
    assert shown(html) == []


def test_an_address_of_a_page_that_does_not_exist_is_explained(admin_client: Client) -> None:
    assert "does not exist" in page(admin_client, before="nonsense")


def test_zero_is_explained(admin_client: Client, entry: Build) -> None:
    assert "Nothing is hidden: recording is on" in page(admin_client)
    store_entries([entry(model="a"), entry(model="a", outcome="upstream-error")])
    html = page(admin_client, q="model:a outcome:rejected")
    assert "No request matches" in html
    assert re.search(r"Without <code>outcome:rejected</code>: <a[^>]*>2 entries</a>", html)
    change({"paused": True})
    store_entries([entry()])
    assert "Recording is paused: 1 requests were not recorded" in page(admin_client, q="model:none")


def test_what_comes_from_outside_is_escaped_on_every_page(admin_client: Client, entry: Build) -> None:
    names = ("model", "upstream_model", "provider", "credential", "client_key", "user_agent", "path", "client_request_id")
    store_entries([broken(entry, error=EVIL, request_id=EVIL, **dict.fromkeys(names, EVIL), payloads={EVIL: EVIL})])
    pk = AuditEntry.objects.get().pk
    for address in (LIST, f"{LIST}?q=model:%22{EVIL}%22", f"{LIST}{pk}/change/", f"{LIST}{pk}/inside/"):
        assert EVIL not in page(admin_client, address), address


def test_whatever_the_evidence_is_the_pages_open(admin_client: Client, entry: Build) -> None:
    odd: list[Any] = [
        {},
        {"timeline": [], "attempts": {"a": 1}, "last_events": "no", "gaps": 7, "client_socket": [], "relay": "x"},
    ]
    odd += [{"attempts": [1, None, {"ms": "long"}], "timeline": {"ended": "late"}, "credential": "x", "live": {"silent_ms": "y"}}]
    for evidence in odd:
        store_entries([broken(entry, evidence=evidence), entry(outcome=None, evidence=evidence)])
    page(admin_client)
    for pk in AuditEntry.objects.values_list("pk", flat=True):
        page(admin_client, f"{LIST}{pk}/change/")
        page(admin_client, f"{LIST}{pk}/inside/")


def test_every_page_is_sent_with_a_policy_that_allows_nothing_inline(admin_client: Client, entry: Build) -> None:
    store_entries([broken(entry)])
    for address in (LIST, f"{LIST}{AuditEntry.objects.get().pk}/change/", f"{LIST}clear/"):
        answer = admin_client.get(address)
        assert "unsafe" not in answer["content-security-policy"]
        html = answer.content.decode()
        assert "<style" not in html
        assert not re.search(r"<script(?![^>]*\ssrc=)", html)
        assert not re.search(r'\s(?:style|on[a-z]+)="', html)


# ---- streams in flight


def test_streams_in_flight_stand_on_top_the_longest_silence_first(admin_client: Client, entry: Build) -> None:
    for name, silent in (("req_a", 200.0), ("req_b", 41_000.0)):
        live = {"silent_ms": silent, "idle_timeout_ms": 60_000, "seen_ms": 100.0}
        store_entries([entry(outcome=None, request_id=name, model=name, evidence={"event_count": 61, "live": live})])
    html = page(admin_client)
    strip = html[html.index('id="ep-inflight"') : html.index('id="toolbar"')]
    assert strip.index("req_b") < strip.index("req_a")
    assert 'class="f-upstream" width="68.33%"' in strip
    assert strip.count("End this stream") == 2


def test_an_operator_ends_a_stream_and_that_is_noted(admin_client: Client, entry: Build) -> None:
    from relay.models import StopOrder

    store_entries([entry(outcome=None, request_id="req_live")])
    pk = AuditEntry.objects.get().pk
    answer = admin_client.post(reverse("admin:auditlog_auditentry_end"), {"entry": str(pk), "back": "?q=model%3Aa"})
    assert (answer.status_code, answer["location"]) == (302, f"{LIST}?q=model%3Aa")
    assert StopOrder.objects.get().request_id == "req_live"
    assert LogEntry.objects.get().object_id == str(pk)


def test_what_has_ended_cannot_be_ended_again(admin_client: Client, entry: Build) -> None:
    from relay.models import StopOrder

    store_entries([entry()])
    address = reverse("admin:auditlog_auditentry_end")
    answer = admin_client.post(address, {"entry": str(AuditEntry.objects.get().pk)}, follow=True)
    assert "had ended already" in answer.content.decode()
    assert not StopOrder.objects.exists()


@pytest.mark.parametrize("back", ["https://elsewhere.example/", "//elsewhere.example/", "\\elsewhere"])
def test_the_way_back_never_leads_elsewhere(admin_client: Client, back: str) -> None:
    answer = admin_client.post(reverse("admin:auditlog_auditentry_recording"), {"set": "pause", "back": back})
    assert answer["location"] == LIST


# ---- what is recorded


def test_recording_is_paused_and_goes_on_from_the_page(admin_client: Client) -> None:
    address = reverse("admin:auditlog_auditentry_recording")
    assert "Paused" in admin_client.post(address, {"set": "pause"}, follow=True).content.decode()
    assert RecordingState.current().paused
    assert "ep-ok" in admin_client.post(address, {"set": "resume"}, follow=True).content.decode()
    assert not RecordingState.current().paused


def test_what_is_kept_is_set_on_the_page_and_trims_at_once(admin_client: Client, entry: Build) -> None:
    store_entries([entry(time=1000.0 + number) for number in range(5)])
    given = {"set": "rules", "enabled": "on", "percent": "12.5", "capacity": "2", "keep_days": "", "payload_days": "7"}
    html = admin_client.post(reverse("admin:auditlog_auditentry_recording"), given, follow=True).content.decode()
    state = RecordingState.current()
    assert (state.sampling, state.capacity, state.keep_days, state.size) == (0.125, 2, None, 2)
    assert "3 entries had to go" in html
    assert "12.5 % of normal requests" in html


@pytest.mark.parametrize(
    ("name", "value"), [("percent", "101"), ("percent", ""), ("capacity", "0"), ("keep_days", "-1"), ("payload_days", "0")]
)
def test_what_cannot_be_kept_is_said_and_changes_nothing(admin_client: Client, name: str, value: str) -> None:
    given = {
        "set": "rules",
        "enabled": "on",
        "percent": "100",
        "capacity": "7",
        "keep_days": "",
        "payload_days": "7",
        name: value,
    }
    html = admin_client.post(reverse("admin:auditlog_auditentry_recording"), given, follow=True).content.decode()
    assert "Nothing was changed" in html
    assert RecordingState.current().capacity == 10_000_000


def test_all_entries_are_deleted_only_once_that_was_confirmed(admin_client: Client, entry: Build) -> None:
    store_entries([entry(), entry()])
    assert "Delete all 2 entries" in page(admin_client, f"{LIST}clear/")
    assert AuditEntry.objects.count() == 2
    assert "2 entries were deleted" in admin_client.post(f"{LIST}clear/", follow=True).content.decode()
    assert not AuditEntry.objects.exists()


# ---- who may


def test_a_viewer_sees_and_is_offered_nothing_to_do(viewer: Client, entry: Build) -> None:
    store_entries([entry(outcome=None, request_id="req_live"), broken(entry, payloads={"request": "hush"}, request_id="req_x")])
    html = page(viewer)
    for word in ("End this stream", "Pause recording", "Settings", "Delete all"):
        assert word not in html
    assert "Export" in html
    detail = page(viewer, f"{LIST}{AuditEntry.objects.get(request_id='req_x').pk}/change/")
    assert "hush" not in detail
    assert "needs a permission" in detail


@pytest.mark.parametrize("name", ["end", "recording", "clear"])
def test_a_viewer_may_not_act(viewer: Client, entry: Build, name: str) -> None:
    store_entries([entry(outcome=None)])
    given = {"entry": str(AuditEntry.objects.get().pk), "set": "pause"}
    assert viewer.post(reverse(f"admin:auditlog_auditentry_{name}"), given).status_code == 403
    assert AuditEntry.objects.count() == 1
    assert not RecordingState.current().paused


def test_staff_without_the_permission_sees_nothing(entry: Build) -> None:
    store_entries([entry()])
    client = staff()
    pk = AuditEntry.objects.get().pk
    for address in (LIST, f"{LIST}{pk}/change/", f"{LIST}{pk}/inside/", f"{LIST}export/?format=csv", f"{LIST}clear/"):
        assert client.get(address).status_code == 403, address


def test_acting_needs_a_post_with_its_token(admin_user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user, BACKEND)
    for name in ("end", "recording"):
        assert client.get(reverse(f"admin:auditlog_auditentry_{name}")).status_code == 405
        assert client.post(reverse(f"admin:auditlog_auditentry_{name}"), {"set": "pause"}).status_code == 403
    assert not RecordingState.current().paused


# ---- one entry


def test_a_row_opens_on_its_verdict_attempts_events_and_evidence(admin_client: Client, entry: Build) -> None:
    store_entries([broken(entry, request_id="req_1", model="gpt-5", tag="chat", path="/v1/chat/completions", stream=True)])
    html = page(admin_client, f"{LIST}{AuditEntry.objects.get().pk}/change/")
    assert "closed the connection cleanly after <b>53 events</b>" in html
    assert "Fault: upstream." in html
    assert "Timeline of req_1, to scale" in html
    assert "Not tried again: it began." in html
    assert "+740 ms" in html
    assert "fin, direct" in html
    assert "curl -N http://testserver/v1/chat/completions" in html


def test_an_entry_of_a_request_leads_to_its_error_event_and_to_what_was_asked_beside_it(
    admin_client: Client, entry: Build, event: Build
) -> None:
    from errorlog.ingest import store_events

    store_events([event(request_id="req_1")])
    store_entries([broken(entry, request_id="req_1"), entry(request_id="req_1", direction="egress", outcome="upstream-error")])
    html = page(admin_client, f"{LIST}{AuditEntry.objects.get(direction='ingress').pk}/change/")
    assert "Its error event <code>StreamUpstreamPrematureClose</code>" in html
    assert "egress: upstream-error" in html


def test_older_and_newer_lead_to_the_neighbours(admin_client: Client, entry: Build) -> None:
    store_entries([entry(time=1000.0 + number, request_id=f"req_{number}") for number in range(3)])
    pks = {row.request_id: row.pk for row in AuditEntry.objects.all()}
    html = page(admin_client, f"{LIST}{pks['req_1']}/change/")
    assert f'href="{LIST}{pks["req_0"]}/change/" rel="prev"' in html
    assert f'href="{LIST}{pks["req_2"]}/change/" rel="next"' in html


def test_an_entry_that_is_not_there_is_404(admin_client: Client) -> None:
    for pk in ("nonsense", "00000000-0000-7000-8000-000000000000"):
        assert admin_client.get(f"{LIST}{pk}/change/").status_code in (302, 404)
        assert admin_client.get(f"{LIST}{pk}/inside/").status_code == 404


def test_a_column_of_costs_takes_room_only_where_a_cost_is_known(admin_client: Client, entry: Build) -> None:
    store_entries([entry(request_id="req_free")])
    assert "is-costless" in page(admin_client)
    store_entries([entry(request_id="req_priced", cost="0.25")])
    body = page(admin_client)
    assert "is-costless" not in body and "Cost, USD" in body and ">0.25<" in body


def test_a_small_cost_is_shown_with_the_digits_that_it_has_and_the_currency(
    admin_client: Client, entry: Build, settings: Any
) -> None:
    settings.CURRENCY = "EUR"
    store_entries([entry(request_id="req_cheap", cost="0.0004"), entry(request_id="req_priced", cost="1204.5")])
    body = page(admin_client)
    assert "Cost, EUR" in body and ">0.0004<" in body and ">1,204.50<" in body
    pk = AuditEntry.objects.get(request_id="req_cheap").pk
    assert "0.0004 EUR" in page(admin_client, f"{LIST}{pk}/change/")
