"""Looking at a page as its readers do: light and dark, on a desk and on a phone; and whether its text can be read.

The pictures are kept under build/screenshots. What is asserted: nothing is wider than the window, every text has the
contrast of WCAG AA against what lies beneath it, every control has a name, and on a phone none is too small to touch.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).resolve().parents[2]
PICTURES = Path(os.environ.get("SCREENSHOTS") or ROOT / "build" / "screenshots")
WIDTHS = {"wide": 1440, "narrow": 390}
SCHEMES = ("light", "dark")

READABLE = (Path(__file__).parent / "readable.js").read_text()
ASK = "() => Object.entries(%s).map(([kind, of]) => [kind, of()]).filter(([, found]) => found.length)"


def look(page: Page, name: str) -> None:
    """Screenshots of the page as it stands, in both themes and widths, and the faults of each."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    faults: dict[str, Any] = {}
    before = page.viewport_size
    for width_name, width in WIDTHS.items():
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.screenshot(path=PICTURES / f"{name}-{width_name}-{scheme}.png", full_page=True, animations="disabled")
            for kind, found in page.evaluate(ASK % READABLE):
                faults[f"{width_name} {scheme}: {kind}"] = found
    page.emulate_media(color_scheme="light")
    if before:
        page.set_viewport_size(before)
    assert not faults, faults
