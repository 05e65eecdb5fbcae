"""Small things for templates: numbers as people read them, and the marks of faults and outcomes."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from proxy_project.charts import fault_class

register = template.Library()
NORMAL = frozenset({"completed", "incomplete", "rejected"})


@register.filter
def grouped(value: Any) -> str:
    """12480 → 12,480."""
    return f"{value:,}" if isinstance(value, int) else ""


@register.simple_tag
def fault_mark(fault: str) -> SafeString:
    """The glyph of a fault, in its colour."""
    name = fault_class(fault)
    return format_html(
        '<svg class="ep-glyph t-{}" width="11" height="11" aria-hidden="true"><use href="#fault-{}"/></svg>', name, name
    )


@register.simple_tag
def outcome_mark(outcome: str, fault: str = "") -> SafeString:
    """The glyph of an outcome: round when it is normal, the fault's when it is not."""
    if outcome not in NORMAL:
        return fault_mark(fault)
    return format_html(
        '<svg class="ep-glyph o-{}" width="11" height="11" aria-hidden="true"><use href="#outcome-{}"/></svg>', outcome, outcome
    )
