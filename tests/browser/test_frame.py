"""The frame of every page: tabs, badge, palette, keys, themes; read without a script too."""

from __future__ import annotations

import re
import time
from datetime import datetime
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect
from pytest import Subtests

from tests.browser.conftest import HOSTILE, PASSWORD, USER, ask, sign_in
from tests.browser.looking import look
from tests.browser.profiles import Profile
from tests.gateways import KEY, Gateway

TABS = {
    "Overview": "/admin/",
    "Errors": "/admin/errorlog/errorgroup/",
    "Audit": "/admin/auditlog/auditentry/",
    "Upstreams": "/admin/relay/upstream/",
    "Client keys": "/admin/relay/clientkey/",
    "Set up": "/admin/setup/",
}


def test_a_tab_leads_to_its_page_and_is_marked_there(page: Page, subtests: Subtests) -> None:
    page.goto("/admin/password_change/")
    for tab, path in TABS.items():
        with subtests.test(tab):
            page.get_by_role("navigation", name="Main").get_by_role("link", name=tab).click()
            page.wait_for_url(f"**{path}")
            expect(page.locator("#ep-nav [aria-current=page]")).to_have_count(1)
            expect(page.locator("#ep-nav [aria-current=page]")).to_contain_text(tab)


def test_the_login_page_looks_right(stranger: Page) -> None:
    stranger.goto("/admin/login/")
    expect(stranger.locator("#ep-nav")).to_have_count(0)
    look(stranger, "login")


def test_without_a_script_the_badge_has_its_number_and_links_work(scriptless: Profile) -> None:
    with scriptless.lent():
        page = scriptless.page()
        sign_in(page, USER, PASSWORD)
        badge = page.locator("#ep-badge")
        assert int(badge.inner_text().split()[0]) >= 1
        page.get_by_role("link", name="Errors").first.click()
        page.wait_for_url("**/errorlog/errorgroup/")
        expect(badge).to_be_visible()


def test_the_badge_grows_while_the_page_is_open(own_page: Page, gateway: Gateway) -> None:
    own_page.goto("/admin/")
    own_page.clock.install()
    own_page.reload()
    before = int(own_page.locator("#ep-badge").get_attribute("data-unread") or 0)
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}) as client:
        gateway.entry(ask(client, "gpt-5-mini"))
    with own_page.expect_response("**/api/errors/badge"):
        own_page.clock.fast_forward(31_000)
    expect(own_page.locator("#ep-badge")).to_have_attribute("data-unread", str(before + 1))
    expect(own_page.locator("#ep-badge")).to_have_class("ep-badge is-growing")


def test_the_badge_does_not_ask_while_nobody_can_see_it(own_page: Page) -> None:
    own_page.clock.install()
    own_page.goto("/admin/")
    asked: list[str] = []
    own_page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/errors/badge") else None)
    hidden = "(state) => { Object.defineProperty(document, 'visibilityState', { value: state, configurable: true }); }"
    own_page.evaluate(hidden, "hidden")
    own_page.clock.run_for(95_000)
    assert asked == []
    own_page.evaluate(hidden, "visible")
    with own_page.expect_response("**/api/errors/badge"):
        own_page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")


def test_the_badge_says_99_plus(page: Page) -> None:
    page.goto("/admin/")
    page.evaluate("window.epitaphBadge(607)")
    expect(page.locator("#ep-badge")).to_contain_text("99+")
    expect(page.locator("#ep-badge")).to_have_attribute("title", "607 unread events")


def test_the_palette_narrows_and_opens(page: Page) -> None:
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    expect(page.locator("#ep-palette-input")).to_be_focused()
    page.keyboard.type("client keys")
    page.keyboard.press("Enter")
    page.wait_for_url("**/relay/clientkey/")


def test_the_palette_searches_the_audit_for_what_it_does_not_know(page: Page) -> None:
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.keyboard.type("019ab3&x=1")
    page.keyboard.press("Enter")
    page.wait_for_url("**/auditlog/auditentry/?q=019ab3%26x%3D1*")


def test_j_and_k_move_through_rows_and_enter_opens(page: Page) -> None:
    page.goto("/admin/relay/upstream/")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    current = page.locator("#result_list tr.is-current")
    expect(current).to_have_count(1)
    expect(current).to_contain_text("closed")
    page.keyboard.press("Enter")
    page.wait_for_url("**/relay/upstream/*/change/")


def test_c_copies_what_is_open(page: Page, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/admin/errorlog/errorgroup/?state=all")
    page.locator("#result_list .ep-l1 > a").first.click()
    page.wait_for_url("**/change/**")
    page.keyboard.press("c")
    expect(page.locator("#ep-said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").startswith("## ")


def test_e_resolves_what_x_selected(page: Page) -> None:
    page.goto("/admin/errorlog/errorgroup/?q=cause:rate-limited")
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.locator(".action-counter")).to_contain_text("1 of")
    with page.expect_navigation():
        page.keyboard.press("e")
    page.goto("/admin/errorlog/errorgroup/?state=resolved")
    expect(page.locator("#result_list")).to_contain_text("rate-limited")


def test_slash_goes_to_the_search_and_typing_there_is_typing(page: Page) -> None:
    page.goto("/admin/relay/upstream/")
    page.keyboard.press("/")
    page.keyboard.type("jkx?")
    expect(page.locator("#searchbar")).to_have_value("jkx?")
    expect(page.locator("#ep-help")).to_be_hidden()


def test_a_question_mark_shows_the_keys(page: Page) -> None:
    page.goto("/admin/")
    page.keyboard.press("?")
    expect(page.locator("#ep-help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#ep-help")).to_be_hidden()


def test_a_script_error_of_our_page_becomes_an_event(page: Page, context: BrowserContext, gateway: Gateway) -> None:
    context.watch.forgiven.append("told by a test")  # type: ignore[attr-defined]
    page.goto("/admin/")
    with page.expect_response("**/api/errors/report") as answer:
        page.evaluate("() => { setTimeout(() => { throw new TypeError('told by a test'); }); }")
    assert answer.value.status == 202
    deadline = time.monotonic() + 10
    while not any(event["name"] == "TypeError" and event["source"] == "renderer" for event in gateway.events("")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_hostile_text_is_shown_as_text(page: Page, subtests: Subtests) -> None:
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    for path in ("/admin/", "/admin/errorlog/errorgroup/", "/admin/auditlog/auditentry/"):
        with subtests.test(path):
            page.goto(path)
            assert not dialogs
            assert page.locator("img[src=x]").count() == 0
            assert HOSTILE in (page.locator("body").text_content() or "") or path == "/admin/"


def test_the_palette_finds_what_only_the_server_knows(page: Page) -> None:
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.keyboard.type("vllm-b")
    expect(page.locator("#ep-palette-list .ep-found").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.locator("#ep-palette-list .ep-found a", has_text="upstream").first.click()
    page.wait_for_url("**/change/")


STILL = """() => new Promise((done) => { let sum = 0;
  new PerformanceObserver((list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 300); })"""


FAR = {"offline": False, "latency": 100, "downloadThroughput": -1, "uploadThroughput": -1}


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("path", [*TABS.values(), "/admin/relay/upstream/add/"])
def test_nothing_jumps_while_a_page_loads(page: Page, context: BrowserContext, path: str, width: int) -> None:
    # What jumps before the first paint is not seen: so the files come from afar, and not from the cache.
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.send("Network.setCacheDisabled", {"cacheDisabled": True})
    network.send("Network.emulateNetworkConditions", FAR)
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(path)
    assert page.evaluate(STILL) < 0.1  # Web Vitals' bound of a good page; a busy machine paints in more steps


FOCUS = """() => { const e = document.activeElement; if (e === document.body) return null; const s = getComputedStyle(e);
  const ring = (s) => (s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0) || s.boxShadow !== "none";
  const around = e.closest("form > div, details"); const says = ring(s) || (around && ring(getComputedStyle(around)));
  return { says, what: e.outerHTML.slice(0, 90) }; }"""


def test_the_focus_is_seen_wherever_tab_leads(page: Page, subtests: Subtests) -> None:
    for path in (*TABS.values(), "/admin/relay/upstream/add/"):
        with subtests.test(path):
            page.goto(path)
            seen = 0
            for _ in range(30):
                page.keyboard.press("Tab")
                focus = page.evaluate(FOCUS)
                if focus is None:
                    break
                assert focus["says"], focus["what"]
                seen += 1
            assert seen > 8


def test_without_a_script_a_page_reads_the_same(page: Page, plain: Page, subtests: Subtests) -> None:
    for path in TABS.values():
        with subtests.test(path):
            texts = []
            for shown in (page, plain):
                shown.goto(path)
                texts.append(shown.locator("#content h1, #content h2, #result_list th a, #result_list td a").all_inner_texts())
            assert texts[0] == texts[1]
            assert texts[0]


def test_a_page_that_is_not_there_says_so_in_our_own_words(page: Page, context: BrowserContext) -> None:
    context.watch.forgiven.append("404")  # type: ignore[attr-defined]
    answer = page.goto("/admin/nothing/here/")
    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()
    look(page, "not-found")


def test_the_overview_keeps_itself_fresh(own_page: Page, gateway: Gateway) -> None:
    own_page.clock.install()
    own_page.goto("/admin/")
    before = own_page.locator("#ov-endings h2").inner_text()
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}) as client:
        gateway.entry(ask(client, "gpt-5"))
    own_page.clock.fast_forward(21_000)
    expect(own_page.locator("#ov-endings h2")).not_to_have_text(before)


def test_times_are_in_the_readers_zone_as_the_browser_tells_it(browser: Browser, gateway: Gateway) -> None:
    context = browser.new_context(base_url=gateway.url, timezone_id="Asia/Kolkata")
    page = context.new_page()
    sign_in(page, USER, PASSWORD)
    page.goto(TABS["Audit"])
    expect(page.locator("#result_list thead")).to_contain_text("Time IST")
    there = page.locator(".field-time time").first
    clock, utc = there.inner_text(), str(there.get_attribute("datetime"))
    assert datetime.fromisoformat(utc).astimezone(ZoneInfo("Asia/Kolkata")).strftime("%H:%M:%S") == clock[:8]
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}) as client:
        request = ask(client, "gpt-5")
    fresh = page.locator(f'.field-time a[title="{request}"] time')
    expect(fresh).to_be_visible()
    clock, utc = fresh.inner_text(), str(fresh.get_attribute("datetime"))
    assert datetime.fromisoformat(utc).astimezone(ZoneInfo("Asia/Kolkata")).strftime("%H:%M:%S") == clock[:8]
    fresh.click()
    expect(page.locator(".ep-event-head")).to_contain_text(re.compile(r"IST \(.*UTC\)"))
    context.close()


def test_the_sidebar_folds_and_stays_folded(page: Page) -> None:
    page.goto("/admin/relay/upstream/")
    sidebar = page.locator("#nav-sidebar")
    expect(sidebar).to_be_visible()
    page.locator("#toggle-nav-sidebar").click()
    expect(sidebar).to_be_hidden()
    page.reload()
    expect(sidebar).to_be_hidden()
    page.locator("#toggle-nav-sidebar").click()
    expect(sidebar).to_be_visible()


def test_nothing_in_the_header_lies_on_anything_else(page: Page, subtests: Subtests) -> None:
    page.goto("/admin/")
    for width in (390, 768, 1024, 1025, 1180, 1181, 1320, 1440):
        with subtests.test(width=width):
            page.set_viewport_size({"width": width, "height": 900})
            assert_nothing_overlaps_in_the_header(page, width)


def assert_nothing_overlaps_in_the_header(page: Page, width: int) -> None:
    boxes = [page.locator(name).bounding_box() for name in ("#branding", "#ep-nav", ".ep-goto", "#user-tools")]
    for number, one in enumerate(boxes):
        for other in boxes[number + 1 :]:
            assert one is not None
            assert other is not None
            if (one, other) == (boxes[1], boxes[2]):
                continue  # the button is part of the navigation
            beside = one["x"] + one["width"] <= other["x"] + 1 or other["x"] + other["width"] <= one["x"] + 1
            above = one["y"] + one["height"] <= other["y"] + 1 or other["y"] + other["height"] <= one["y"] + 1
            assert beside or above, (width, one, other)
    last_tab = page.locator("#ep-nav li a").last.bounding_box()
    assert width < 768 or (last_tab and boxes[2] and last_tab["x"] + last_tab["width"] <= boxes[2]["x"]), width
