"""The table of features.py as the documentation shows it."""

from __future__ import annotations

from relay.wire.translation.features import FEATURES, PROTOCOLS, REFUSED

BEGIN, END = "<!-- made by manage.py translations -->", "<!-- end -->"


def markdown() -> str:
    """The table, in Markdown."""
    lines = [f"| | {' | '.join(PROTOCOLS)} | where there is no word |", "| --- " * (len(PROTOCOLS) + 2) + "|"]
    for feature in FEATURES:
        words = [f"`{word}`" if word else "–" for word in feature.words]
        complete = all(feature.words)
        fate = "" if complete else "400" if feature.otherwise == REFUSED else "lost, on record"
        lines.append(f"| {feature.name} | {' | '.join(words)} | {fate} |")
    return "\n".join(lines)


def placed(page: str) -> str:
    """The page with the table between its marks."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{markdown()}\n{END}{tail}"
