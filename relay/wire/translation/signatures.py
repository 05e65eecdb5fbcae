"""Signatures of reasoning: for its vendor they must come back as they were, through clients of any protocol.

A client of the vendor's own protocol holds the signature itself. Any other holds it with the vendor's name before it, so
that it is known again when it comes back, and never shown to a vendor whose it is not.
"""

from __future__ import annotations

import base64
import binascii

MARK = "epitaph."
ANTHROPIC, OPENAI, GEMINI = "anthropic", "openai", "gemini"


def sealed(value: str, vendor: str, own: str) -> str:
    """The signature as a client whose protocol is `own`'s is to hold it. Gemini's hold bytes, as base64."""
    if not value or vendor == own:
        return value
    text = f"{MARK}{vendor}.{value}"
    return base64.b64encode(text.encode()).decode() if own == GEMINI else text


def opened(text: str, own: str) -> tuple[str, str]:
    """The signature and its vendor, from what such a client sent back."""
    plain = _decoded(text) if own == GEMINI else text
    if plain.startswith(MARK):
        vendor, _, value = plain[len(MARK) :].partition(".")
        return value, vendor
    return text, own if text else ""


def _decoded(text: str) -> str:
    try:
        return base64.b64decode(text, altchars=b"-_" if {"-", "_"} & set(text) else None).decode()
    except (binascii.Error, ValueError):
        return ""
