"""What strangers meet, and what the policy allows, over real sockets."""

from __future__ import annotations

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect
from pytest import Subtests

from tests.browser.conftest import HOSTILE
from tests.browser.looking import look
from tests.browser.profiles import fresh
from tests.browser.watching import Watch
from tests.gateways import Gateway


def test_a_stranger_is_sent_to_the_login_and_back(stranger: Page, subtests: Subtests) -> None:
    for path in ("/admin/", "/admin/errorlog/errorgroup/", "/admin/auditlog/auditentry/", "/admin/relay/clientkey/"):
        with subtests.test(path):
            stranger.goto(path)
            assert "/admin/login/" in stranger.url
            assert stranger.locator("[name=next]").input_value() == path


def test_the_management_api_explains_itself_under_the_policy(page: Page) -> None:
    page.goto("/api/docs")
    expect(page.locator("#operations-Errors-errorlog_api_groups, [id^=operations-Errors]").first).to_be_visible()


def test_what_a_good_page_never_does_is_noticed(browser: Browser, gateway: Gateway) -> None:
    """The watch over all these tests is watched itself: each kind of complaint, once."""
    context = fresh(browser, gateway.url)
    watch, page = Watch(context, gateway.url), context.new_page()
    page.goto("/admin/login/")
    assert watch.complaints() == []
    page.evaluate("() => { const made = document.createElement('script'); made.textContent = '1'; document.body.append(made); }")
    page.evaluate("() => console.error('told')")
    with page.expect_event("pageerror"):  # else the page may be left before it throws
        page.evaluate("() => { setTimeout(() => { throw new Error('thrown'); }); }")
    with pytest.raises(Error):
        page.goto("http://127.0.0.2:9/elsewhere")
    said = "\n".join(watch.complaints())
    for kind in ("policy: script-src-elem refused inline", "told", "another host was asked", "script error: thrown"):
        assert kind in said, kind
    context.close()


def test_behind_tls_the_server_says_so(gateway: Gateway) -> None:
    answer = httpx.get(gateway.url + "/admin/login/", headers={"x-forwarded-proto": "https"})
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert "secure" in answer.headers["set-cookie"].lower()
    plain = httpx.get(gateway.url + "/admin/login/")
    assert "strict-transport-security" not in plain.headers


def test_too_many_attempts_are_told_so(stranger: Page, context: BrowserContext, gateway: Gateway) -> None:
    context.watch.forgiven.append("429")  # type: ignore[attr-defined]
    guess = {"username": "mallory", "password": "guess"}
    with httpx.Client(base_url=gateway.url) as client:
        for _ in range(9):
            form = client.get("/admin/login/")
            token = {"csrfmiddlewaretoken": form.cookies.get("csrftoken") or client.cookies["csrftoken"]}
            assert client.post("/admin/login/", data=guess | token).status_code == 200
    stranger.goto("/admin/login/")
    for name, text in guess.items():
        stranger.fill(f"#id_{name}", text)
    stranger.click("[type=submit]")
    expect(stranger.get_by_role("heading", name="Too many attempts")).to_be_visible()
    look(stranger, "locked-out")


def test_hostile_names_are_text_on_every_page_that_shows_them(page: Page) -> None:
    met: list[str] = []
    page.on("dialog", lambda dialog: (met.append(dialog.message), dialog.dismiss()))
    page.goto("/admin/relay/clientkey/add/")
    page.fill("#id_label", HOSTILE)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#content")).to_contain_text(HOSTILE)
    page.goto("/admin/relay/clientkey/")
    page.get_by_role("link", name=HOSTILE).click()
    for link in ("Rotate key", "History", "Delete"):
        change = page.url
        page.get_by_role("link", name=link, exact=True).click()
        expect(page.locator("main")).to_contain_text(HOSTILE[:30])
        page.goto(change)
    page.goto("/admin/")
    page.keyboard.press("Control+k")
    page.keyboard.type("<script>")
    expect(page.locator("#ep-palette-list .ep-found", has_text=HOSTILE).first).to_be_visible()
    assert not met
    assert page.locator("img[src=x]").count() == 0


def test_hostile_text_of_requests_and_reports_is_text_in_its_details(page: Page) -> None:
    for path in ("/admin/errorlog/errorgroup/?state=all", "/admin/auditlog/auditentry/?q=is:abnormal"):
        page.goto(path)
        row = page.locator("#result_list tr", has_text="<script>alert").first
        row.locator(".field-time a, .ep-l1 > a").first.click()
        page.wait_for_url("**/change/**")
        expect(page.locator("#content")).to_contain_text("<script>alert")
        assert page.locator("#content script[src], img[src=x]").count() == 0
