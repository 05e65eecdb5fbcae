"""What a search says of a word that its field never has: a filter that silently finds nothing would be believed."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

FEW = 12  # words that are named all; of more, the nearest


def unknown(field: str, word: str, known: Collection[str]) -> str:
    """One sentence without its full stop: that there is no such word, and which there are."""
    near = sorted(known) if len(known) <= FEW else get_close_matches(word.lower(), sorted(known), 3, cutoff=0)
    return f'there is no {field} "{word[:80]}"; {"there are" if len(known) <= FEW else "the nearest are"} {", ".join(near)}'
