"""The Errors tab in a real browser, over what a real gateway recorded; with keys, and without a script."""

from __future__ import annotations

import re
from typing import Any

import httpx
from playwright.sync_api import Page, expect
from pytest import Subtests

from tests.browser.conftest import HOSTILE, ask
from tests.browser.looking import look
from tests.gateways import KEY, Gateway

LIST = "/admin/errorlog/errorgroup/"


def row(page: Page, name: str, words: str = "") -> Any:
    return page.locator("#result_list tbody tr").filter(has_text=name).filter(has_text=words).first


def test_every_kind_of_group_opens_and_looks_right(page: Page) -> None:
    page.goto(f"{LIST}?state=all")
    links = page.locator("#result_list .ep-l1 > a")
    addresses = [str(link.get_attribute("href")) for link in links.all()]
    names = links.all_inner_texts()
    assert {"StreamUpstreamPrematureClose", "StreamUpstreamError", HOSTILE} <= set(names)
    for number, address in enumerate(addresses):
        page.goto(address)
        expect(page.locator("#ep-verdict")).to_contain_text("Fault:")
        look(page, f"error-{number}")


VIEWS = (
    "?state=rehearsed",
    "?state=muted",
    "?q=nothing-like-this",
    "?period=28d&sort=rate",
    "?period=1h",
    "?fault=upstream&q=-cause:eof",
)


def test_every_view_of_the_list_looks_right(page: Page, subtests: Subtests) -> None:
    for query in VIEWS:
        with subtests.test(query):
            page.goto(LIST + query)
            look(page, f"errors{query.translate(str.maketrans('?=&:', '----'))}")


def test_confirmations_look_right(page: Page) -> None:
    page.goto(f"{LIST}clear/")
    expect(page.get_by_role("button", name="Delete")).to_be_visible()
    look(page, "errors-clear")


def test_a_broken_stream_is_told_drawn_and_linked_to_its_audit_entry(page: Page) -> None:
    page.goto(f"{LIST}?q=cause:eof+model:gpt-5-mini")
    row(page, "StreamUpstreamPrematureClose").get_by_role("link", name="StreamUpstreamPrematureClose").click()
    expect(page.locator("#ep-verdict")).to_contain_text("The upstream openai closed the connection cleanly after")
    drawing = page.locator("svg.ep-timeline[role=img]")
    assert drawing.locator(".s-stream").first.bounding_box()
    page.get_by_role("link", name="Audit entry of").click()
    page.wait_for_url("**/auditlog/auditentry/**")


def test_three_clicks_on_a_phone_lead_from_the_red_number_to_one_victims_stream(page: Page, gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=20) as client:
        gateway.entry(ask(client, "qwen3-coder-480b"))  # which nobody has read
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto("/admin/")
    expect(page.locator("#ep-badge")).to_be_in_viewport()
    page.locator("#ep-badge").click()
    group = row(page, "StreamUpstreamError", "error-event")
    # what breaks, how often, whose fault, since when
    for words in ("vllm-berlin", "qwen3-coder-480b", "fault upstream", "since today", "unread"):
        expect(group).to_contain_text(words)
    expect(group.locator(".field-count")).to_contain_text(re.compile(r"\d % of \d"))
    group.get_by_role("link", name="StreamUpstreamError").click()
    expect(page.locator("#ep-verdict")).to_contain_text("The upstream vllm-berlin sent an error")
    expect(page.locator("#ep-verdict")).to_contain_text("Fault: upstream.")
    page.get_by_role("link", name="Audit entry of").click()
    expect(page.locator(".ep-event-head")).to_contain_text("upstream-error")
    expect(page.locator(".ep-tl-draw > svg")).to_be_visible()


def test_keys_move_select_and_decide(page: Page) -> None:
    page.goto(f"{LIST}?q=cause:rate-limited")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(".action-counter")).to_have_text("1 of 1 selected")
    page.keyboard.press("e")
    expect(page.locator(".messagelist")).to_contain_text("Resolved: 1 group.")
    page.goto(f"{LIST}?q=cause:rate-limited")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/")
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_role("button", name="Resolve")).to_be_visible()
    page.keyboard.press("m")
    page.get_by_role("button", name="for 1 hour").click()
    expect(page.locator(".ep-lede").nth(1)).to_contain_text("Muted until")
    page.get_by_role("button", name="Reopen").click()


def test_what_is_copied_is_the_event(page: Page, gateway: Gateway) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=gateway.url)
    page.goto(f"{LIST}?q=cause:eof")
    page.locator("#result_list .ep-l1 > a").first.click()
    page.get_by_role("link", name="Copy as Markdown").click()
    expect(page.locator("#ep-said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("## StreamUpstreamPrematureClose · eof")


def test_the_badge_grows_when_something_breaks_and_falls_when_all_is_read(own_page: Page, gateway: Gateway) -> None:
    own_page.goto(LIST)
    own_page.get_by_role("button", name="Mark all read").click()
    expect(own_page.locator("#ep-badge")).to_have_attribute("data-unread", "0")
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=20) as client:
        gateway.entry(ask(client, "gpt-5-mini"))
    own_page.clock.install()
    own_page.goto("/admin/")
    expect(own_page.locator("#ep-badge")).to_have_attribute("data-unread", "1")
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=20) as client:
        gateway.entry(ask(client, "gpt-5-mini"))
    own_page.clock.fast_forward(31_000)
    expect(own_page.locator("#ep-badge")).to_have_attribute("data-unread", "2")


def test_everything_works_without_a_script(plain: Page) -> None:
    plain.goto(f"{LIST}?state=all")
    plain.locator("summary", has_text="Fault").click()
    plain.locator("#changelist-filter").get_by_role("link", name="upstream").first.click()
    assert "fault=upstream" in plain.url
    plain.get_by_role("link", name="rate").click()
    assert "sort=rate" in plain.url and "fault=upstream" in plain.url
    plain.fill("#searchbar", "cause:connect-refused")
    plain.locator("#changelist-search [type=submit]").click()
    assert "fault=upstream" in plain.url and "connect-refused" in plain.url
    row(plain, "StreamUpstreamError", "connect-refused").locator(".action-select").check()
    plain.get_by_role("button", name="Ignore").click()
    expect(plain.locator(".messagelist")).to_contain_text("Ignored: 1 group.")
    plain.locator("#result_list .ep-l1 > a").first.click()
    expect(plain.locator("#ep-verdict")).to_contain_text("refused the connection")
    plain.get_by_role("button", name="Reopen").click()
    plain.context.watch.forgiven.append("favicon.ico")  # type: ignore[attr-defined]  # a text cannot say where its icon is
    plain.get_by_role("link", name="Copy as JSON").click()
    plain.wait_for_url("**as=json*")
    expect(plain.locator("body")).to_contain_text("connect-refused")
