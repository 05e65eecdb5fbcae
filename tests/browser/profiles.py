"""Browser profiles that tests use one after the other: warm, since a fresh one costs more than what most tests do in it.

Invariant: nothing that one test did is met by the next. It begins with the cookies it asks for, an empty storage, no permission
and pages of its own, and what it left running ends with it. Kept are the cache and the compiled scripts, as for any reader who
was there before; a test of what a first visit costs asks for a profile of its own, and so does one that sets the clock, which
no profile can take back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page

from tests.browser.watching import POLICY, Watch

OPEN = "() => { window.open('about:blank'); }"
ANCHOR = "/admin/login/"  # a page of our own that asks for nothing once it is there


def fresh(browser: Browser, url: str, **options: Any) -> BrowserContext:
    """A profile as these tests have them, with what Playwright calls options changed."""
    usual = {"base_url": url, "viewport": {"width": 1440, "height": 900}, "color_scheme": "light"}
    made = browser.new_context(**usual | options)
    made.set_default_timeout(10_000)
    made.add_init_script(POLICY)
    return made


@contextmanager
def watched(context: BrowserContext, url: str) -> Iterator[Watch]:
    """The profile in the hands of one test. After it, nothing that a good page never does may have happened."""
    watch = Watch(context, url)
    context.watch = watch  # type: ignore[attr-defined]
    try:
        yield watch
    finally:
        watch.end()
    complaints = watch.complaints()
    assert not complaints, "\n".join(complaints)


class Profile:
    """A profile for many tests. Its pages are popups of a page of our own, so that they share one renderer."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.url = url
        self._new = partial(fresh, browser, url, **options)
        self._begin()

    @contextmanager
    def lent(self) -> Iterator[BrowserContext]:
        """To one test, and then made as it was.

        Its pages are closed before the complaints are read: what they still had to say is theirs, and they say no more.
        """
        self._empty()
        with watched(self.context, self.url):
            try:
                yield self.context
            finally:
                for page in self.context.pages:
                    if page != self._anchor:
                        page.close()

    def page(self) -> Page:
        """A page with nothing in it."""
        with self.context.expect_page() as opened:
            self._anchor.evaluate(OPEN)
        return opened.value

    def close(self) -> None:
        self.context.close()

    def _begin(self) -> None:
        self.context = self._new()
        self._anchor = self.context.new_page()
        self._anchor.goto(ANCHOR)
        self._storage = self.context.new_cdp_session(self._anchor)

    def _empty(self) -> None:
        try:
            self._anchor.locator("body").wait_for(state="attached", timeout=2000)
        except Error:  # a test has crashed the renderer, or keeps it busy for ever: the next shall not suffer for it
            self.close()
            self._begin()
        self.context.clear_permissions()
        self._storage.send("Storage.clearDataForOrigin", {"origin": self.url, "storageTypes": "all"})
