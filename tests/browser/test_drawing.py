"""The timeline as it is seen: no label lies on another, on what was written to the client, or beside the drawing."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from proxy_project.drawing import timeline

STYLE = Path(__file__).parents[2] / "proxy_project/static/epitaph/epitaph.css"
DICE = random.Random(5)
OVERLAPS = """() => [...document.querySelectorAll("section")].flatMap((section, number) => {
  const drawing = section.querySelector(".ep-tl-draw svg");
  const whole = drawing.getBoundingClientRect();
  const labels = [...drawing.querySelectorAll("text")].filter((text) => text.checkVisibility());
  const marks = [...drawing.querySelectorAll(".s-write, .s-told, .tl-beat line, .tl-end")];
  const meets = (one, other) => {
    const [a, b] = [one.getBoundingClientRect(), other.getBoundingClientRect()];
    return a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 2 && b.top < a.bottom - 2;
  };
  return labels.flatMap((label, at) => {
    const box = label.getBoundingClientRect();
    const others = labels.slice(at + 1).concat(label.matches(".tl-gap") ? [] : marks);
    const met = others.filter((other) => meets(label, other)).map((other) => other.textContent || other.getAttribute("class"));
    if (box.left < whole.left - 1 || box.right > whole.right + 1) met.push("the edge");
    return met.map((other) => `${number}: "${label.textContent}" meets ${other}`);
  });
})"""


def some_ending() -> dict[str, Any]:
    """What a stream may have gone through that ended before its time: told by an error event, or answered with 502."""
    ended = DICE.choice([40, 900, 4200, 44_000, 300_000, 2_000_000])
    first = ended * DICE.choice([0.0005, 0.05, 0.2, 0.5, 0.8])
    last = first + (ended - first) * DICE.choice([0, 0.1, 0.5, 0.9, 1])
    written = min(first + ended * DICE.choice([0, 0.01, 0.05]), ended)
    moments = {"connect_start": 0, "connected": ended * 0.01, "first_event": first, "last_upstream_byte": last, "ended": ended}
    moments |= {"first_client_write": written, "last_client_write": ended * DICE.choice([1, 0.999, 0.7])}
    evidence: dict[str, Any] = {"timeline": moments, "client_status": DICE.choice([200, 200, 502]), "last_sent_event": "error"}
    evidence["gaps"] = {"median_ms": 50, "longest_ms": ended * 0.2, "longest_began": first}
    if evidence["client_status"] == 502:
        moments["first_client_write"] = moments["last_client_write"]
        del moments["first_event"]
    if DICE.random() < 0.5:
        count, begin = DICE.choice([1, 2, 10]), DICE.choice([0.1, 0.3, 0.6]) * ended
        evidence["heartbeats"] = {"count": count, "first": begin, "last": begin + (ended - begin) * 0.9 * (count > 1)}
    return evidence


@pytest.fixture(scope="module")
def paper(browser: Browser) -> Iterator[Page]:
    """A page of nobody's, where a style may stand in the text."""
    made = browser.new_page()
    yield made
    made.close()


@pytest.mark.parametrize("width", [334, 640, 760, 1100])
def test_no_label_lies_on_anything(paper: Page, width: int) -> None:
    drawn = [
        timeline(some_ending(), outcome="upstream-premature", cause="idle-timeout", fault="upstream", ident=f"tl{number}")
        for number in range(200)
    ]
    sections = "".join(f"<section>{drawing}</section>" for drawing in drawn)
    paper.set_viewport_size({"width": width, "height": 800})
    paper.set_content(f"<style>body {{ margin: 0 }} {STYLE.read_text()}</style><div id='content-start'>{sections}</div>")
    assert paper.locator("svg[role=img]").count() == len(drawn)
    assert paper.evaluate(OVERLAPS) == []
