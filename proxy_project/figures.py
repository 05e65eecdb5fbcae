"""Numbers as people read them: how long, how much, what share. Pure; what is no number is an empty string, never an error.

Evidence comes from a journal and may have been redacted or cut, so every field is read through `number`.
"""

from __future__ import annotations

import math
from datetime import datetime
from decimal import Decimal
from typing import Any


def number(value: Any) -> float | None:
    """`value` as a finite number, None for anything else (truth values too)."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None


def lasted(ms: Any) -> str:
    """A duration: `207 ms`, `1.64 s`, `30.0 s`, `2 min 5 s`, `1 h 4 min`."""
    value = number(ms)
    if value is None:
        return ""
    if round(value) < 1000:
        return f"{value:.0f} ms" if value >= 10 or value == int(value) else f"{value:.1f} ms"
    seconds = value / 1000
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def size(count: Any) -> str:
    """An amount of bytes: `312 B`, `98.4 KB`, `2.1 MB`."""
    value = number(count)
    if value is None:
        return ""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if abs(value) >= factor:
            return f"{value / factor:.1f} {unit}"
    return f"{value:,.0f} B"


def chunks_of(count: float) -> str:
    """`1 chunk`, `1,204 chunks`."""
    return f"{count:,.0f} chunk{'' if count == 1 else 's'}"


def money(amount: Decimal) -> str:
    """An amount: `1,204.50`, `3.20`, `0.0085`, `0.000012`; a small one has as many digits as it takes to be one, and 0 is `0`."""
    if not amount:
        return "0"
    if abs(amount) >= 1:
        return f"{amount:,.2f}"
    whole, _, digits = f"{amount:.{max(4, 1 - amount.adjusted())}f}".partition(".")
    return f"{whole}.{digits.rstrip('0'):0<2}"


def share(part: float, whole: float) -> str:
    """A part of a whole: `0.43 %`, `12 %`, `<0.01 %`; empty when there is no whole."""
    if whole <= 0:
        return ""
    percent = 100 * part / whole
    if not percent:
        return "0 %"
    if percent < 0.01:
        return "<0.01 %"
    if percent < 0.995:
        return f"{percent:.2f} %"
    return f"{percent:.1f} %" if percent < 9.95 else f"{percent:.0f} %"


def ago(moment: datetime, now: datetime) -> str:
    """How long ago: `just now`, `2 min ago`, `4 h ago`, `3 days ago`."""
    seconds = (now - moment).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h ago"
    days = int(seconds // 86_400)
    return "1 day ago" if days == 1 else f"{days:,} days ago"


def day_and_time(moment: datetime, now: datetime) -> str:
    """`today, 10:31`, `yesterday, 16:20`, `3 Nov, 09:14`, `3 Nov 2025`. Both in the zone that is shown."""
    days = (now.date() - moment.date()).days
    if days in (0, 1):
        return f"{('today', 'yesterday')[days]}, {moment:%H:%M}"
    day = f"{moment.day} {moment:%b}"
    return f"{day}, {moment:%H:%M}" if moment.year == now.year else f"{day} {moment.year}"
