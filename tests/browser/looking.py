"""Looking at a page as its readers do: light and dark, on a desk and on a phone; and whether its text can be read.

What is asserted: nothing is wider than the window, every text has the contrast of WCAG AA against what lies beneath it, every
control has a name, and on a phone none is too small to touch. A view with a fault is pictured under build/screenshots; where
SCREENSHOTS names a folder, every view is, into it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
EVERY_PICTURE = "SCREENSHOTS" in os.environ  # to take one is more work for the browser than all that is asked about it
PICTURES = Path(os.environ.get("SCREENSHOTS") or ROOT / "build" / "screenshots")
WIDTHS = {"wide": 1440, "narrow": 390}

READABLE = (Path(__file__).parent / "readable.js").read_text()
# The page has heard of its new size or theme, and colours that were on their way to it have arrived.
SETTLE = """() => new Promise(requestAnimationFrame).then(() => document.getAnimations().forEach((one) => {
  if (one.effect.getComputedTiming().endTime < Infinity) one.finish();
}))"""
ASK = "() => Object.entries(%s).map(([kind, of]) => [kind, of()]).filter(([, found]) => found.length)"


def look(page: Page, name: str) -> None:
    """No fault in the page as it stands, in both themes and widths.

    The order changes as little as possible from one to the next, since each change lays the page out or paints it anew.
    """
    faults: dict[str, Any] = {}
    before = page.viewport_size
    for width, scheme in (("wide", "light"), ("wide", "dark"), ("narrow", "dark"), ("narrow", "light")):
        size = {"width": WIDTHS[width], "height": 900}
        if page.viewport_size != size:
            page.set_viewport_size(size)  # type: ignore[arg-type]
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.evaluate(SETTLE)
        found = page.evaluate(ASK % READABLE)
        faults |= {f"{width} {scheme}: {kind}": texts for kind, texts in found}
        if found or EVERY_PICTURE:
            PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=PICTURES / f"{name}-{width}-{scheme}.png", full_page=True, animations="disabled")
    if before and before != page.viewport_size:
        page.set_viewport_size(before)
    assert not faults, faults
