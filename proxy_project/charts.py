"""Small charts as SVG markup, drawn on the server: sparklines, shares, meters, days. Pure; colours come from classes.

Each has a text alternative; numbers stand beside the chart, so each chart is scaled to its own maximum.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from proxy_project.drawing import FAULTS

STACK = ("client", "unknown", "operator", "relay", "upstream")  # from the bottom up: what matters most is on top
LEAST = 1.5  # px; one event among a thousand is still seen
Counts = Mapping[str, int]


def _px(value: float) -> str:
    return f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{value:.3f}%"


def fault_class(fault: str) -> str:
    """The part of a class name that colours a fault; what nobody is known to have caused is unknown."""
    return fault if fault in FAULTS else "unknown"


def sparkline(buckets: Sequence[Counts], label: str, *, height: int = 28, fluid: bool = False) -> SafeString:
    """Bars of equal width, oldest first, each stacked by fault. `fluid` fills whatever width there is."""
    width = len(buckets) * 5 - 1
    most = max((sum(bucket.values()) for bucket in buckets), default=0)
    shape = 'viewBox="0 0 {w} {h}" preserveAspectRatio="none"' if fluid else 'width="{w}" height="{h}" viewBox="0 0 {w} {h}"'
    return format_html(
        '<svg class="ep-spark" ' + shape + ' role="img" aria-label="{label}">'
        '<line class="ep-base" x1="0" x2="{w}" y1="{base}" y2="{base}"/>{bars}</svg>',
        label=label,
        w=width,
        h=height,
        base=height - 0.5,
        # Thousands on a page, of classes and numbers that are our own: there is nothing to escape.
        bars=SafeString(
            "".join(
                f'<rect class="f-{fault}" x="{5 * place}" y="{top:.1f}" width="4" height="{tall:.1f}"/>'
                for place, bucket in enumerate(buckets)
                for fault, top, tall in _stacked(bucket, most, height - 1)
            )
        ),
    )


def _stacked(bucket: Counts, most: int, bottom: float) -> list[tuple[str, float, float]]:
    """Fault, top and height of each part of one bar."""
    parts, y = [], bottom
    merged: dict[str, int] = {}
    for fault, count in bucket.items():
        merged[fault_class(fault)] = merged.get(fault_class(fault), 0) + count
    for fault in STACK:
        if merged.get(fault):
            tall = max((bottom - 1) * merged[fault] / most, LEAST)
            y -= tall
            parts.append((fault, max(y, 0.0), tall))
    return parts


def share_bar(counts: Counts, label: str) -> SafeString:
    """One bar, divided by fault in the order of `counts`."""
    whole = sum(counts.values())
    x, parts = 0.0, []
    for fault, count in counts.items():
        if count:
            width = 100 * count / whole
            shape = '<rect class="f-{}" x="{}" y="0" width="{}" height="12"/>'
            parts.append(format_html(shape, fault_class(fault), _percent(x), _percent(width)))
            if x:
                parts.append(format_html('<line class="ep-cut" x1="{x}" x2="{x}" y1="0" y2="12"/>', x=_percent(x)))
            x += width
    return format_html(
        '<svg class="ep-share" width="100%" height="12" role="img" aria-label="{}">{}</svg>',
        label,
        format_html_join("", "{}", ((part,) for part in parts)),
    )


def meter(part: int, whole: int, fault: str) -> SafeString:
    """How much of a whole, as a bar on a track."""
    return format_html(
        '<svg class="ep-meter" width="100%" height="8" role="img" aria-label="{part} of {whole}">'
        '<rect class="ep-track" width="100%" height="8" rx="3"/>'
        '<rect class="f-{css}" width="{width}" height="8" rx="3"/></svg>',
        part=f"{part:,}",
        whole=f"{whole:,}",
        css=fault_class(fault),
        width=_percent(100 * part / whole if whole else 0.0),
    )


def differs(here: float, there: float, fault: str, label: str) -> SafeString:
    """Two shares from 0 to 1 under one another: thick here, thin in what it is compared with."""
    return format_html(
        '<svg class="ep-differs" width="100%" height="20" role="img" aria-label="{}">'
        '<rect class="ep-track" width="100%" y="2" height="16"/><rect class="f-{}" width="{}" y="2" height="10"/>'
        '<rect class="ep-baseline" width="{}" y="13" height="5"/></svg>',
        label,
        fault_class(fault),
        _percent(100 * here),
        _percent(100 * there),
    )


# days

TOP, BOTTOM = 28, 122
LABEL_ROOM = 12.0  # %; a version nearer to the next one has its line alone


def days(columns: Sequence[tuple[str, Counts]], versions: Sequence[tuple[str, float]], label: str) -> SafeString:
    """One column a day, oldest first and today last, with a dashed line where a version was first seen.

    `columns` are the days' names and counts by fault; `versions` have their place in days from the left edge.
    """
    scale = _round_up(max((sum(counts.values()) for _, counts in columns), default=0))
    step = 100 / max(len(columns), 1)
    shapes = [
        format_html('<line class="tl-grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>', y=y) for y in (BOTTOM, (TOP + BOTTOM) / 2, TOP)
    ]
    for place, (name, counts) in enumerate(columns):
        shapes.append(_day(place, name, counts, scale, step, place == len(columns) - 1))
        if place == len(columns) - 1 or (place % 7 == 6 and place < len(columns) - 3):
            last = place == len(columns) - 1
            shapes.append(
                format_html(
                    '<text class="tl-tick" x="{}%" y="138" text-anchor="{}">{}</text>',
                    *(100 if last else round((place + 0.5) * step, 3), "end" if last else "middle", "today" if last else name),
                )
            )
    for share, y in ((0.5, (TOP + BOTTOM) / 2), (1, TOP)):
        if scale * share == int(scale * share):
            tick = f"{scale * share:,.0f}"
            shapes.append(format_html('<text class="tl-tick tl-halo" x="0" y="{}">{}</text>', y - 4, tick))
    labelled = 1000.0
    for name, at in reversed(versions):
        room = labelled - at * step >= LABEL_ROOM
        shapes.append(_version(name if room else "", at * step))
        labelled = at * step if room else labelled
    return format_html(
        '<svg class="ep-days" width="100%" height="146" role="img" aria-label="{}">{}</svg>',
        label,
        format_html_join("", "{}", ((shape,) for shape in shapes)),
    )


def shares(columns: Sequence[tuple[str, Counts, int]], ticks: int, label: str) -> SafeString:
    """What share of each column's whole was abnormal, stacked by fault: (name, counts by fault, whole), oldest first.

    The scale ends at 1, 2 or 5 times a power of ten percent; every column tells its numbers in its title. Every
    `ticks`-th name is written beneath, counted from the last.
    """
    bottom, top = 150, 28
    most = max((sum(counts.values()) / whole for _, counts, whole in columns if whole), default=0.0)
    scale = _round_up_share(most)
    step = 100 / max(len(columns), 1)
    grid = '<line class="tl-grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>'
    shapes = [format_html(grid, y=y) for y in (bottom, (top + bottom) / 2, top)]
    for place, (name, counts, whole) in enumerate(columns):
        parts = {fault: round(1e9 * count / whole) for fault, count in counts.items()} if whole else {}
        bars = [
            (fault, _percent((place + 0.12) * step), _px(top + y), _percent(0.76 * step), _px(tall))
            for fault, y, tall in _stacked(parts, round(1e9 * scale), bottom - top)
        ]
        said = ", ".join(f"{counts[fault]:,} {fault}" for fault in reversed(STACK) if counts.get(fault)) or "none abnormal"
        shapes.append(
            format_html(
                "<g>{}<title>{}</title></g>",
                format_html_join("", '<rect class="f-{}" x="{}" y="{}" width="{}" height="{}"/>', bars),
                f"{name}, {whole:,} requests: {said}",
            )
        )
        if (len(columns) - 1 - place) % ticks == 0:
            minor = " tl-minor" if ((len(columns) - 1 - place) // ticks) % 2 else ""
            tick = '<text class="tl-tick{}" x="{}" y="167" text-anchor="{}">{}</text>'
            last = place == len(columns) - 1
            x = _percent(100 if last else (place + 0.5) * step)
            shapes.append(format_html(tick, minor, x, "end" if last else "middle", name))
    for part, y in ((0.5, (top + bottom) / 2), (1.0, top)):
        shapes.append(format_html('<text class="tl-tick tl-halo" x="0" y="{}">{} %</text>', y - 4, f"{100 * scale * part:g}"))
    return format_html(
        '<svg class="ep-days" width="100%" height="176" role="img" aria-label="{}">{}</svg>',
        label,
        format_html_join("", "{}", ((shape,) for shape in shapes)),
    )


def _round_up_share(most: float) -> float:
    """The top of a scale of shares: 1, 2 or 5 times a power of ten percent, at least 0.1 % and at most all."""
    scale = 0.001
    for factor in (2, 2.5, 2) * 3:
        if scale >= most:
            break
        scale *= factor
    return min(round(scale, 6), 1.0)


def _day(place: int, name: str, counts: Counts, scale: int, step: float, today: bool) -> SafeString:
    tall = BOTTOM - TOP
    bars = [
        (
            *(fault, " ep-today" if today else "", _percent(place * step + 0.5)),
            *(_px(BOTTOM - tall + top), _percent(step - 1), _px(height)),
        )
        for fault, top, height in _stacked(counts, scale, tall)
    ]
    total = sum(counts.values())
    return format_html(
        "<g>{}<title>{}: {}{}</title></g>",
        format_html_join("", '<rect class="f-{}{}" x="{}" y="{}" width="{}" height="{}"/>', bars),
        name,
        f"{total:,}",
        " so far" if today else "",
    )


def _version(name: str, percent: float) -> SafeString:
    right = percent > 88
    return format_html(
        '<line class="ep-deploy" x1="{x}" x2="{x}" y1="14" y2="122"/>'
        '<text class="tl-tick tl-halo" x="{x}" dx="{}" y="20" text-anchor="{}">{}</text>',
        -4 if right else 4,
        "end" if right else "start",
        name,
        x=_percent(percent),
    )


def _round_up(most: int) -> int:
    """The top of a scale: 1, 2 or 5 times a power of ten."""
    power = 1
    while power * 10 < most:
        power *= 10
    return next((factor * power for factor in (1, 2, 5, 10) if factor * power >= most), 1)
