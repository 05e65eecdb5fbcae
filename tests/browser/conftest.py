"""A real gateway (`manage.py serve` with the scripted upstream behind it), a real Chromium, and pages that are watched."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from relay.rehearsal.server import FaultServer
from tests import gateways, prepared
from tests.browser.chromium import FLAGS, executable
from tests.browser.profiles import Profile, fresh, watched
from tests.gateways import CLOSED, KEY, Gateway, configuration, route

USER, PASSWORD = "admin", prepared.PASSWORD
HOSTILE = "<script>alert('model')</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
# Models that clients ask for, and the scenario that the upstream plays for each: (model, upstream, scenario). What is looked at
# in a drawing lasts some milliseconds: the server's clock knows no less than one.
PLAYS = (
    ("gpt-5", "openai", "ok"),
    ("gpt-5-mini", "openai", "eof,after=3,gap_ms=5"),
    ("gpt-5-codex", "openai", "cut,after=3"),
    ("o4-mini", "openai", "length"),
    ("qwen3-coder-480b", "vllm-berlin", "error-later,gap_ms=5"),
    ("mistral-large", "mirror-eu", "status,code=429,retry_after=90"),
    ("llama-4-scout", "closed", "ok"),
    ("<script>*", "vllm-berlin", "eof,after=2"),
    ("long-*", "openai", "ok,events=400,gap_ms=100"),
)


def playing(url: str, plays: Iterable[tuple[str, str, str]], *more: str) -> str:
    """A RELAY_CONFIG whose routes ask the scripted upstream, under many names, for the scenarios; `more` names have no route."""
    plays = list(plays)
    upstreams = []
    for name in dict.fromkeys([*(name for _, name, _ in plays), *more]):
        key = {"label": "team-a", "secret": f"sk-upstream-secret-{name}"}
        base_url = f"{CLOSED if name == 'closed' else url}/v1"
        upstreams.append(gateways.upstream(name, base_url, credentials=[key], first_byte_timeout=3, idle_timeout=3))
    routes = [route(model, name, upstream_model=scenario) for model, name, scenario in plays]
    prices = [
        {"model": "*", "upstream": plays[0][1], "input": 1.25, "cached_input": 0.125, "output": 10},
        {"model": "*-mini", "input": 0.25, "output": 2},
    ]
    return configuration(upstreams, routes, prices=prices)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests."""
    found = executable()
    if found is None:
        message = "the browser tests need Chromium: apt-get install chromium, or CHROMIUM=/path"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        warnings.warn(f"SKIPPED: {message}", stacklevel=1)
        pytest.skip(message)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield running
        running.close()


@pytest.fixture(scope="session")
def gateway(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """The gateway, after some requests: whole answers, several kinds of broken ones, hostile text wherever text can stand."""
    running = Gateway(tmp_path_factory.mktemp("gateway"), playing(upstream.url, PLAYS), ENVIRONMENT="test", WORKERS="2")
    try:
        traffic(running)
        yield running
    finally:
        running.end()


def traffic(gateway: Gateway) -> None:
    """Requests of every play, and a hostile report; returns when the last is on record."""
    headers = {"authorization": f"Bearer {KEY}", "user-agent": HOSTILE}
    with httpx.Client(base_url=gateway.url, headers=headers, timeout=20) as client:
        asked = [model for model, *_ in PLAYS if "*" not in model] * 2  # the globs are for tests that want them
        ended = [ask(client, model) for model in ["gpt-5"] * 3 + asked + [HOSTILE]]
        client.post("/v1/chat/completions", json={"model": "gpt-5"}, headers={"authorization": "Bearer nobody-knows-me"})
    report = {"name": HOSTILE, "message": HOSTILE, "stack": HOSTILE, "context": {HOSTILE: HOSTILE}}
    gateway.api.post("/api/errors/report", json=report).raise_for_status()
    gateway.entry(ended[-1])


def ask(client: httpx.Client, model: str) -> str:
    """One streamed request, read to its end, whatever that is; our id of it."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        for _ in answer.iter_raw():
            pass
        return answer.headers["x-request-id"]


@pytest.fixture(scope="session")
def profile(browser: Browser, gateway: Gateway) -> Iterator[Profile]:
    """The profile that most tests use one after the other."""
    made = Profile(browser, gateway.url)
    yield made
    made.close()


@pytest.fixture(scope="session")
def scriptless(browser: Browser, gateway: Gateway) -> Iterator[Profile]:
    """The same, running no script."""
    made = Profile(browser, gateway.url, java_script_enabled=False)
    yield made
    made.close()


@pytest.fixture
def context(profile: Profile) -> Iterator[BrowserContext]:
    """A browser profile in which nobody was before, but for its cache."""
    with profile.lent() as lent:
        yield lent


@pytest.fixture
def stranger(context: BrowserContext, profile: Profile) -> Page:
    """A page of somebody who has not signed in."""
    return profile.page()


@pytest.fixture(scope="session")
def session_cookies(browser: Browser, gateway: Gateway) -> list[Any]:
    """The administrator's cookies: signed in once, through the form, since a password is slow to check by design."""
    context = fresh(browser, gateway.url)
    sign_in(context.new_page(), USER, PASSWORD)
    cookies = context.cookies()
    context.close()
    return cookies


@pytest.fixture
def page(context: BrowserContext, profile: Profile, session_cookies: list[Any]) -> Page:
    """A page of the administrator."""
    context.add_cookies(session_cookies)
    return profile.page()


@pytest.fixture
def plain(scriptless: Profile, session_cookies: list[Any]) -> Iterator[Page]:
    """A page of the administrator in a browser that runs no script."""
    with scriptless.lent() as lent:
        lent.add_cookies(session_cookies)
        yield scriptless.page()


@pytest.fixture
def own_page(browser: Browser, gateway: Gateway, session_cookies: list[Any]) -> Iterator[Page]:
    """A page of the administrator in a profile that no other test sees: its clock may be set, its cache is cold."""
    made = fresh(browser, gateway.url)
    made.add_cookies(session_cookies)
    try:
        with watched(made, gateway.url):
            yield made.new_page()
    finally:
        made.close()


def sign_in(page: Page, user: str, password: str) -> None:
    """Through the login form."""
    page.goto("/admin/login/?next=/admin/")
    page.fill("#id_username", user)
    page.fill("#id_password", password)
    page.click("[type=submit]")
    page.wait_for_url("**/admin/")
