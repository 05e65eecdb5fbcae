"""Template filters of the Audit view: numbers as people read them."""

from __future__ import annotations

from typing import Any

from django import template

from proxy_project import reader_zone

register = template.Library()


@register.filter
def grouped(value: Any) -> str:
    """`12,345`; a dash for what is not known."""
    return f"{value:,}" if isinstance(value, int) else "–"


@register.filter
def words(text: str) -> list[str]:
    """The words of a text, to go through one by one."""
    return text.split()


register.simple_tag(reader_zone.zone_name)
register.filter("both_times", reader_zone.both)
register.filter("in_utc", reader_zone.utc_words)
