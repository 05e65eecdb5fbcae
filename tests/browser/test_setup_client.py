"""Set up a client: lines to paste, and a check that tells the truth about the whole path."""

from __future__ import annotations

import re

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.looking import look
from tests.gateways import KEY


def check(page: Page, model: str, key: str = "") -> None:
    page.goto("/admin/setup/")
    page.fill("#id_model", model)
    page.fill("#id_key", key)
    page.get_by_role("button", name="Check the path").click()
    expect(page.locator(".ep-check")).to_be_visible()


def test_the_page_looks_right(page: Page) -> None:
    page.goto("/admin/setup/")
    look(page, "setup-client")


def test_no_line_to_paste_is_cut_at_the_edge_of_its_card(page: Page) -> None:
    """Many browsers show no scrollbar until one scrolls."""
    page.goto("/admin/setup/")
    cut = "found => found.filter(pre => pre.scrollWidth > pre.clientWidth).map(pre => pre.id)"
    assert page.locator(".ep-snippet pre").count() > 10
    assert page.locator(".ep-snippet pre").evaluate_all(cut) == []


def test_a_path_that_works_is_told_so_with_a_key_of_its_own(page: Page) -> None:
    check(page, "gpt-5")
    expect(page.locator(".ep-check")).to_contain_text("The path works.")
    expect(page.locator(".ep-check")).to_contain_text("on record by openai as completed")
    look(page, "setup-client-works")
    page.get_by_role("link", name="Its audit entry").click()
    expect(page.locator("#content")).to_contain_text("gpt-5")
    page.goto("/admin/relay/clientkey/")
    expect(page.locator("#result_list")).not_to_contain_text("path check")


def test_a_stream_that_breaks_is_no_working_path(page: Page) -> None:
    check(page, "gpt-5-mini", KEY)
    expect(page.locator(".ep-check")).to_contain_text("The path does not work.")
    expect(page.locator(".ep-check")).to_contain_text("upstream-premature (eof, fault upstream)")
    look(page, "setup-client-broken")


def test_a_key_that_nobody_knows_is_refused_and_not_shown_again(page: Page) -> None:
    check(page, "gpt-5", "nobody-knows-this-key")
    expect(page.locator(".ep-check")).to_contain_text("The key is refused (401).")
    assert "nobody-knows-this-key" not in page.content()


def test_a_model_without_a_route_is_told_so(page: Page) -> None:
    check(page, "no-such-model", KEY)
    expect(page.locator(".ep-check")).to_contain_text("no-such-model")
    expect(page.locator(".ep-check")).to_contain_text("The path does not work.")


def test_a_hostile_model_is_text(page: Page) -> None:
    page.goto("/admin/setup/?model=" + HOSTILE.replace("#", "%23").replace("&", "%26"))
    expect(page.locator("#s-codex")).to_contain_text("<script>")
    assert page.locator("#content script").count() == 0


def test_a_snippet_is_copied_whole(page: Page, context: BrowserContext) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/admin/setup/")
    page.get_by_role("button", name=re.compile("Copy the lines for Codex")).click()
    expect(page.locator("#ep-said")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#s-codex").text_content()
