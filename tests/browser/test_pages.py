"""Every page of the admin, looked at in both themes and widths: readable, no wider than the window, every control named."""

from __future__ import annotations

from playwright.sync_api import Page, expect
from pytest import Subtests

from tests.browser.looking import look

PAGES = {
    "overview": "/admin/",
    "upstreams": "/admin/relay/upstream/",
    "upstream-add": "/admin/relay/upstream/add/",
    "credentials": "/admin/relay/credential/",
    "credential-add": "/admin/relay/credential/add/",
    "routes": "/admin/relay/route/",
    "route-add": "/admin/relay/route/add/",
    "prices": "/admin/relay/price/",
    "price-add": "/admin/relay/price/add/",
    "client-keys": "/admin/relay/clientkey/",
    "client-key-add": "/admin/relay/clientkey/add/",
    "users": "/admin/auth/user/",
    "user-add": "/admin/auth/user/add/",
    "groups": "/admin/auth/group/",
    "gateway-app": "/admin/relay/",
    "password-change": "/admin/password_change/",
    "errors": "/admin/errorlog/errorgroup/",
    "audit": "/admin/auditlog/auditentry/",
}
ROWS = {
    "upstream": "/admin/relay/upstream/",
    "credential": "/admin/relay/credential/",
    "route": "/admin/relay/route/",
    "price": "/admin/relay/price/",
    "client-key": "/admin/relay/clientkey/",
    "user": "/admin/auth/user/",
}


def test_every_page_looks_right(page: Page, subtests: Subtests) -> None:
    for name, path in PAGES.items():
        with subtests.test(name):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status == 200
            look(page, name)


def test_a_row_of_every_list_opens_and_looks_right(page: Page, subtests: Subtests) -> None:
    for name, path in ROWS.items():
        with subtests.test(name):
            page.goto(path)
            page.locator("#result_list tbody th a").first.click()
            page.wait_for_url("**/change/")
            look(page, name)


def test_a_key_is_rotated_and_shown_once(page: Page) -> None:
    page.goto("/admin/relay/clientkey/add/")
    page.fill("#id_label", "to be rotated")
    page.get_by_role("button", name="Save", exact=True).click()
    first = page.locator("#client-key").inner_text()
    look(page, "client-key-shown")
    page.get_by_role("link", name="I have noted it").click()
    page.get_by_role("link", name="to be rotated").click()
    page.get_by_role("link", name="Rotate key").click()
    look(page, "client-key-rotate")
    page.get_by_role("button", name="Rotate").click()
    assert page.locator("#client-key").inner_text() != first


def test_a_credential_is_tested_from_its_page(page: Page) -> None:
    page.goto("/admin/relay/credential/?q=openai")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("button", name="Save and test this credential").click()
    expect(page.locator(".messagelist")).to_contain_text("It works: 200")
    assert page.locator("#id_secret").input_value() == ""
    look(page, "credential-tested")


def test_a_deletion_asks_first(page: Page) -> None:
    page.goto("/admin/relay/upstream/")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("link", name="Delete").click()
    expect(page.locator("#content")).to_contain_text("Are you sure")
    look(page, "delete")
