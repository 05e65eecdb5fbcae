"""The README's pictures, of a real gateway with an invented day: `make screenshots`.

python -m tests.browser.pictures docs/screenshots
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

from relay.rehearsal.server import FaultServer
from tests.browser.chromium import FLAGS, executable
from tests.browser.conftest import PASSWORD, USER, ask, playing, sign_in
from tests.gateways import KEY, ROOT, Gateway

# What the records to copy are made of: template, upstream, scenario.
TEMPLATES = (
    ("fine", "openai", "late,seconds=0.7,events=60,gap_ms=25"),
    ("fine-short", "openai", "late,seconds=0.3,events=14,gap_ms=30"),
    ("fine-slow", "anthropic", "reasoning,events=60,gap_ms=45"),
    ("fine-long", "openai", "late,seconds=1.1,events=160,gap_ms=40"),
    ("short", "anthropic", "length,events=30,gap_ms=30"),
    ("cut-short", "openai", "eof,after=24,gap_ms=40"),
    ("broken", "openai", "reset,after=12,gap_ms=30"),
    ("silent", "vllm-berlin", "idle,after=19,gap_ms=60"),
    ("busy", "anthropic", "status,code=529"),
    ("locked", "anthropic-eval", "status,code=401"),
    ("dead", "closed", "ok"),
    ("left", "openai", "ok,events=200,gap_ms=30"),
    ("gpt-5-codex", "openai", "ok,events=4000,gap_ms=100"),
)
SIZE = {"width": 1320, "height": 860}


def main(folder: Path) -> None:
    """Takes all pictures into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as place, FaultServer().run_in_thread() as upstream:
        gateway = Gateway(Path(place), playing(upstream.url, TEMPLATES, "gemini"), ENVIRONMENT="production", INSTANCE="relay-1")
        try:
            make_records(gateway)
            gateway.stop()
            subprocess.run([sys.executable, "-m", "tests.browser.invented_day"], cwd=ROOT, env=gateway.environment, check=True)
            gateway.start()
            take(gateway, folder)
        finally:
            gateway.kill()


def make_records(gateway: Gateway) -> None:
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        for model, *_ in TEMPLATES[:-2]:
            last = ask(client, model)
        gateway.entry(last)
        leave(client, "left", after=30)
        leave(client, "gpt-5-codex", after=1)
    deadline = 50
    while deadline and len(gateway.api.get("/api/errors/groups").json()["items"]) < 7:
        deadline -= 1
        threading.Event().wait(0.2)


def leave(client: httpx.Client, model: str, after: int) -> None:
    """A client that goes away in the middle."""
    for number, _ in enumerate(stream(client, model)):
        if number == after:
            return


def stream(client: httpx.Client, model: str) -> Iterator[bytes]:
    """The pieces of an answer as they come."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        yield from answer.iter_raw()


def take(gateway: Gateway, folder: Path) -> None:
    """Overview, both lists and both details, with some streams in flight."""
    done = threading.Event()
    running = [threading.Thread(target=hold, args=(gateway, done), daemon=True) for _ in range(3)]
    for thread in running:
        thread.start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=list(FLAGS))
        page = browser.new_page(base_url=gateway.url, viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        sign_in(page, USER, PASSWORD)
        page.wait_for_timeout(1500)
        picture(page, "/admin/", folder / "overview.png")
        picture(page, "/admin/errorlog/errorgroup/", folder / "errors.png")
        page.locator("#result_list tr", has_text="idle-timeout").get_by_role("link", name="StreamUpstreamError").click()
        page.wait_for_url("**/change/**")
        picture(page, page.url, folder / "error.png")
        picture(page, "/admin/auditlog/auditentry/", folder / "audit.png")
        page.set_viewport_size({"width": 390, "height": 844})
        page.goto("/admin/errorlog/errorgroup/")
        page.locator("#result_list tr", has_text="idle-timeout").get_by_role("link", name="StreamUpstreamError").click()
        page.wait_for_url("**/change/**")
        picture(page, page.url, folder / "phone.png")
        page.set_viewport_size(SIZE)  # type: ignore[arg-type]
        page.emulate_media(color_scheme="dark")
        picture(page, "/admin/errorlog/errorgroup/", folder / "errors-dark.png")
        browser.close()
    done.set()
    for thread in running:
        thread.join(10)


def hold(gateway: Gateway, done: threading.Event) -> None:
    """A stream in flight, until the pictures are taken."""
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        for _ in stream(client, "gpt-5-codex"):
            if done.is_set():
                return


def picture(page: Page, path: str, file: Path) -> None:
    page.goto(path)
    page.wait_for_timeout(300)
    page.screenshot(path=file, animations="disabled")
    print(f"{file} ({file.stat().st_size // 1024} KiB)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/screenshots"))
