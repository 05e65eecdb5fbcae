"""Template filters of the Audit view: numbers as people read them."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.filter
def grouped(value: Any) -> str:
    """`12,345`; a dash for what is not known."""
    return f"{value:,}" if isinstance(value, int) else "–"


@register.filter
def words(text: str) -> list[str]:
    """The words of a text, to go through one by one."""
    return text.split()
