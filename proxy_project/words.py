"""What a search says of a word that its field never has: a filter that silently finds nothing would be believed."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher

FEW = 12  # words that are named all; of more, the nearest
NEAREST = 3
ALIKE = 0.6  # what resembles a word less than this is no help: it would be named at random


def unknown(field: str, word: str, known: Collection[str]) -> str:
    """One sentence without its full stop: that there is no such word, and which there are, or which resemble it."""
    said = f'there is no {field} "{word[:80]}"'
    if len(known) <= FEW:
        return f"{said}; there are {', '.join(sorted(known))}"
    if not (near := _nearest(word[:80].lower(), known)):
        return said
    return f"{said}; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}"


def _nearest(word: str, known: Collection[str]) -> list[str]:
    """The words that resemble this one, or are part of it or it of them; those that do most first."""
    ranked = sorted(((SequenceMatcher(None, one, word).ratio(), one) for one in known), key=lambda pair: (-pair[0], pair[1]))
    return [one for ratio, one in ranked if ratio >= ALIKE or (len(word) > 2 and (word in one or one in word))][:NEAREST]
