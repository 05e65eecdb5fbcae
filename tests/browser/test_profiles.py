"""That a profile is met by each test as if nobody had been there: these tests are what lets the others share one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, Page

from tests.browser.profiles import Profile
from tests.gateways import Gateway

LEAVE = """async () => {
  document.cookie = "left=1; path=/";
  localStorage.left = sessionStorage.left = "1";
  await new Promise((done) => { indexedDB.open("left").onsuccess = done; });
  await caches.open("left");
}"""
FIND = """async () => ({
  cookie: document.cookie.includes("left="), local: localStorage.length, session: sessionStorage.length,
  databases: (await indexedDB.databases()).length, caches: (await caches.keys()).length, width: innerWidth,
  clipboard: (await navigator.permissions.query({ name: "clipboard-read" })).state,
  scheme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light",
})"""


@pytest.fixture
def shared(browser: Browser, gateway: Gateway) -> Iterator[Profile]:
    """A profile like that of the other tests, for tests of it."""
    made = Profile(browser, gateway.url)
    yield made
    made.close()


def at_the_door(profile: Profile) -> Page:
    page = profile.page()
    page.goto("/admin/login/")
    return page


def test_what_one_test_leaves_behind_is_not_met_by_the_next(shared: Profile) -> None:
    with shared.lent():
        before = at_the_door(shared).evaluate(FIND)
    with shared.lent() as context:
        context.grant_permissions(["clipboard-read"])
        page = at_the_door(shared)
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        page.evaluate(LEAVE)
        left = page.evaluate(FIND)
        assert all(left[name] != before[name] for name in left), left
    with shared.lent() as context:
        assert context.cookies() == []
        assert at_the_door(shared).evaluate(FIND) == before


def test_a_complaint_is_of_the_test_that_met_it(shared: Profile) -> None:
    with pytest.raises(AssertionError, match="told at the end"), shared.lent():
        at_the_door(shared).evaluate("() => console.error('told at the end')")
    with shared.lent():
        at_the_door(shared)


def test_a_page_says_nothing_after_its_test(shared: Profile) -> None:
    with shared.lent() as context:
        context.watch.forgiven.append("again and again")  # type: ignore[attr-defined]
        page = at_the_door(shared)
        with page.expect_console_message():
            page.evaluate("() => { setInterval(() => console.error('again and again'), 1); }")
    with shared.lent():
        at_the_door(shared).wait_for_timeout(50)


def test_a_renderer_that_crashed_is_no_matter_of_the_next_test(shared: Profile) -> None:
    with shared.lent() as context:
        context.watch.forgiven.append("chrome://crash")  # type: ignore[attr-defined]
        with pytest.raises(Error):
            shared.page().goto("chrome://crash")
    with shared.lent():
        at_the_door(shared)
