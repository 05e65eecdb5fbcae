"""The Audit view in a real browser, over what a real gateway of two workers records while it is looked at."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from pytest import Subtests

from tests.browser.conftest import HOSTILE, ask
from tests.browser.looking import look
from tests.gateways import KEY, Gateway

LIST = "/admin/auditlog/auditentry/"


def rows(page: Page) -> Any:
    return page.locator("#result_list .ep-row")


@pytest.fixture
def client(gateway: Gateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as made:
        yield made


@contextmanager
def streams(gateway: Gateway, count: int) -> Iterator[list[list[str]]]:
    """Streams in flight, each over a connection of its own; what each of them was sent, as it comes."""
    got: list[list[str]] = [[] for _ in range(count)]

    def read(number: int) -> None:
        body = {"model": f"long-{number}", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
        own = httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60)
        with own, own.stream("POST", "/v1/chat/completions", json=body) as answer:
            got[number].append(answer.headers["x-request-id"])
            got[number].extend(line for line in answer.iter_lines() if line)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    yield got
    for thread in threads:
        thread.join(60)


# ---- how it looks


VIEWS = (
    "",
    "?q=is:abnormal",
    "?q=model:gpt-5+-fault:client+duration:<5m",
    "?q=outcome:rejected+model:none",
    "?q=ttft:>soon",
    "?direction=egress",
)


def test_every_view_of_the_list_looks_right(page: Page, subtests: Subtests) -> None:
    for query in VIEWS:
        with subtests.test(query):
            page.goto(LIST + query)
            look(page, f"audit{re.sub('[^a-z0-9]+', '-', query)}")


def test_an_entry_of_each_outcome_opens_and_looks_right(page: Page) -> None:
    page.goto(LIST)
    addresses = {}
    for row in rows(page).all():
        ending = row.locator(".field-ending").inner_text()
        addresses.setdefault(ending, row.locator(".field-time a").get_attribute("href"))
    assert len(addresses) >= 5
    for number, (ending, address) in enumerate(addresses.items()):
        page.goto(str(address))
        expect(page.locator(".ep-event-head")).to_contain_text(ending.split()[0])
        look(page, f"audit-entry-{number}")


def test_the_menus_and_the_settings_look_right(page: Page) -> None:
    page.goto(LIST)
    page.get_by_text("Settings…").click()
    expect(page.get_by_label("Entries that are kept")).to_be_visible()
    look(page, "audit-settings")
    page.goto(f"{LIST}clear/")
    look(page, "audit-clear")


def test_hostile_text_is_only_text(page: Page) -> None:
    page.goto(LIST)
    row = rows(page).filter(has_text="<script>").first
    row.locator(".field-time a").click()
    expect(page.locator(".ep-lede")).to_contain_text(HOSTILE[:30])
    page.go_back()
    rows(page).filter(has_text="<script>").first.locator(".field-model a.ep-model").click()
    expect(page.locator(".ep-chip")).to_contain_text("<script>")
    expect(rows(page).first).to_contain_text("<script>")


# ---- searching


def test_a_search_is_typed_becomes_chips_and_is_taken_back(page: Page) -> None:
    page.goto(LIST)
    page.keyboard.press("/")
    page.keyboard.type("model:gpt-5-mini outcome:upstream-premature")
    page.keyboard.press("Enter")
    expect(page.locator(".ep-chip")).to_have_count(2)
    expect(page).to_have_url(re.compile(r"\?q=model%3Agpt-5-mini\+outcome%3Aupstream-premature$"))
    assert set(page.locator(".field-model a.ep-model").all_inner_texts()) == {"gpt-5-mini"}
    page.get_by_label("Remove model gpt-5-mini").click()
    expect(page.locator(".ep-chip")).to_have_count(1)
    assert rows(page).count() > 2


def test_a_click_on_a_cell_excludes_what_it_shows(page: Page) -> None:
    page.goto(LIST)
    cell = rows(page).filter(has_text="gpt-5-mini").first.locator(".field-model")
    cell.hover()
    cell.get_by_label("Exclude this model").click()
    expect(page.locator(".ep-chip.is-not")).to_contain_text("not model:gpt-5-mini")
    expect(page.locator(".field-model a.ep-model", has_text=re.compile("^gpt-5-mini$"))).to_have_count(0)


def test_space_looks_inside_a_row_and_closes_it_again(page: Page) -> None:
    page.goto(f"{LIST}?q=model:gpt-5-mini")
    page.keyboard.press("j")
    page.keyboard.press("Space")
    inside = page.locator(".ep-expand")
    expect(inside).to_contain_text("closed the connection cleanly")
    expect(inside.locator(".ep-tl-draw > svg")).to_be_visible()
    look(page, "audit-inside")
    page.keyboard.press("Space")
    expect(inside).to_have_count(0)


# ---- live


def test_what_comes_appears_by_itself(page: Page, client: httpx.Client) -> None:
    page.goto(LIST)
    expect(page.locator(".ep-live")).to_be_visible()
    request = ask(client, "gpt-5")
    expect(page.locator(f'.field-time a[title="{request}"]')).to_be_visible()
    assert rows(page).first.locator(".field-time a").get_attribute("title") == request


def test_nothing_moves_while_somebody_reads_and_what_is_held_back_is_counted(page: Page, client: httpx.Client) -> None:
    page.goto(LIST)
    page.evaluate("window.scrollTo(0, 600)")
    first = rows(page).first.get_attribute("data-entry")
    wanted = [ask(client, "gpt-5") for _ in range(3)]
    bar = page.locator("#ep-newrows")
    expect(bar).to_contain_text("3 new")
    assert rows(page).first.get_attribute("data-entry") == first
    bar.click()
    expect(bar).to_be_hidden()
    shown = [rows(page).nth(number).locator(".field-time a").get_attribute("title") for number in range(3)]
    assert shown == wanted[::-1]


def test_only_what_the_view_is_filtered_by_appears(page: Page, client: httpx.Client) -> None:
    page.goto(f"{LIST}?q=model:gpt-5-mini")
    other, wanted = ask(client, "gpt-5"), ask(client, "gpt-5-mini")
    expect(page.locator(f'.field-time a[title="{wanted}"]')).to_be_visible()
    expect(page.locator(f'.field-time a[title="{other}"]')).to_have_count(0)


def test_the_column_of_costs_opens_with_the_first_cost_that_arrives(page: Page, gateway: Gateway, client: httpx.Client) -> None:
    def chat(model: str) -> None:
        answer = client.post("/api/chat", json={"model": model, "messages": [{"role": "user", "content": "Hello"}]})
        gateway.entry(answer.headers["x-request-id"])

    chat("gpt-5-codex")  # is cut before its usage comes
    page.goto(f"{LIST}?q=tag:ollama")
    expect(rows(page)).to_have_count(1)
    expect(page.locator("#result_list")).to_have_class(re.compile("is-costless"))
    chat("gpt-5")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first.locator(".field-cost")).to_have_text("0.00006")
    expect(page.locator("#result_list")).not_to_have_class(re.compile("is-costless"))


def test_streams_in_flight_are_shown_and_ended_whichever_worker_runs_them(page: Page, gateway: Gateway) -> None:
    with streams(gateway, 6) as got:
        page.goto(LIST)
        strip = page.locator("#ep-inflight")
        expect(strip).to_contain_text("6 in flight")
        look(page, "audit-in-flight")
        page.goto(f"{LIST}?q=is:open")
        addresses = [str(link.get_attribute("href")) for link in rows(page).locator(".field-time a").all()]
        assert len(addresses) == 6
        for address in addresses:
            page.goto(address)
            expect(page.locator("#ep-verdict")).to_contain_text("In flight")
            page.get_by_role("button", name="End this stream").click()
            expect(page.locator(".messagelist")).to_contain_text("is being ended")
        page.goto(LIST)
        expect(strip).to_be_hidden()
    for request, *lines in got:
        entry = gateway.entry(request)
        assert (entry["outcome"], entry["cause"], entry["fault"]) == ("relay-shutdown", "operator-kill", "operator")
        assert "[DONE]" not in lines[-1], "the client was told that all is well"
        assert "error" in lines[-1]


COUNTED = """() => {
  const shown = document.querySelector("#ep-inflight td:nth-child(7)")?.textContent;
  window.seen ??= new Set();
  if (shown > "") window.seen.add(shown);
  return window.seen.size >= 4;
}"""


def test_what_is_known_of_a_stream_is_fresh_while_somebody_looks(page: Page, gateway: Gateway) -> None:
    with streams(gateway, 1):
        page.goto(LIST)
        expect(page.locator("#ep-inflight")).to_contain_text("1 in flight")
        page.wait_for_function(COUNTED, timeout=8000)  # four figures; at one in five seconds they would take fifteen
        assert page.evaluate("[...window.seen].map(Number)") == sorted(page.evaluate("[...window.seen].map(Number)"))
        page.locator("#ep-inflight").get_by_role("button", name="End this stream").click()


def test_a_stream_is_ended_from_the_strip_too(page: Page, gateway: Gateway) -> None:
    with streams(gateway, 1) as got:
        page.goto(LIST)
        page.locator("#ep-inflight").get_by_role("button", name="End this stream").click()
        expect(page.locator(".messagelist")).to_contain_text("is being ended")
    assert gateway.entry(got[0][0])["cause"] == "operator-kill"


# ---- what is recorded, and what is taken away


def test_recording_is_paused_and_goes_on(page: Page, gateway: Gateway, client: httpx.Client) -> None:
    page.goto(LIST)
    page.get_by_role("button", name="Pause recording").click()
    try:
        expect(page.locator("#ep-lede")).to_contain_text("Paused: 0 not recorded")
        look(page, "audit-paused")
        # Every process obeys within a second; the page itself tells when one was left out.
        expect_more = page.locator("#ep-lede b").first
        for _ in range(40):
            ask(client, "gpt-5")
            page.wait_for_timeout(100)
            if expect_more.inner_text() != "0":
                break
        assert expect_more.inner_text() != "0"
    finally:
        page.get_by_role("button", name="Go on recording").click()
    expect(page.locator("#ep-lede")).to_contain_text("Recording all abnormal")


def test_payloads_are_captured_when_asked_for_redacted_and_shown(page: Page, gateway: Gateway, client: httpx.Client) -> None:
    page.goto(LIST)
    page.get_by_text("Settings…").click()
    page.get_by_label("Capture payloads").check()
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#ep-lede")).to_contain_text("with payloads")
    try:
        page.wait_for_timeout(1000)  # every worker looks twice a second
        body = {"model": "gpt-5", "stream": True, "messages": [{"role": "user", "content": "Hush: sk-abcdefghijklmnopqrst12"}]}
        request = client.post("/v1/chat/completions", json=body).headers["x-request-id"]
        assert "payloads" not in gateway.entry(request)
        page.goto(f"{LIST}?q={request}")
        page.locator(".field-time a").click()
        card = page.locator(".ep-card", has_text="Request and response")
        for name in ("request", "answer"):
            card.locator("summary", has_text=name).click()
        expect(card).to_contain_text("Hush: sk-…12")
        expect(card).to_contain_text("data: [DONE]")
        look(page, "audit-captured")
    finally:
        gateway.api.patch("/api/audit/state", json={"capture": False}).raise_for_status()


@pytest.mark.parametrize(("kind", "last"), [("CSV", None), ("JSON Lines", '"complete": true')])
def test_the_filtered_set_is_taken_away_as_a_file(page: Page, kind: str, last: str | None) -> None:
    page.goto(f"{LIST}?q=is:abnormal")
    page.get_by_text("Export…").click()
    with page.expect_download() as download:
        page.get_by_role("link", name=kind, exact=True).click()
    text = download.value.path().read_text()
    assert "upstream-premature" in text
    assert '"completed"' not in text
    assert last is None or last in text.splitlines()[-1]


def test_an_entry_is_copied_as_markdown_and_as_a_command(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{LIST}?q=model:gpt-5-mini")
    rows(page).first.locator(".field-time a").click()
    for button, begins in (("Copy as Markdown", "## upstream-premature · eof"), ("curl to ask again", "curl -N ")):
        page.get_by_role("button", name=button).click()
        expect(page.locator("#ep-said")).to_have_text("Copied")
        assert page.evaluate("navigator.clipboard.readText()").startswith(begins)


def test_everything_can_be_read_and_done_without_a_script(plain: Page) -> None:
    plain.goto(LIST)
    plain.fill("#searchbar", "model:gpt-5-mini")
    plain.get_by_role("button", name="Search").click()
    assert set(plain.locator(".field-model a.ep-model").all_inner_texts()) == {"gpt-5-mini"}
    rows(plain).first.locator(".field-time a").click()
    expect(plain.locator("#ep-verdict")).to_contain_text("Fault: upstream.")
    plain.get_by_role("link", name="Its error event").click()
    expect(plain.locator("#ep-verdict")).to_contain_text("Fault:")
