"""The timeline of one request, drawn to scale: evidence (docs/endings.md) in, SVG markup out. Pure, and safe to show.

Both log apps draw with it, and so neither imports the other. The SVG has no viewBox: x and width are percentages of
`ended`, heights and text are pixels, so that it is right at any width without a script or a style attribute. Phases are
cool colours, silence is hatched, the end is a line in the colour of the fault. Evidence may lack any field or hold
nonsense: what cannot be placed is not drawn, and without an `ended` (or any other offset) there is no drawing.

`timeline()` gives drawing and legend, `phases_bar()` the small bar of a list's row; proxy_project/phases.py says what is
in them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from proxy_project.figures import lasted, number, size
from proxy_project.phases import GAP_TIMES, Part, ended_at, mapping, offsets, parts_of

FAULTS = ("upstream", "relay", "operator", "unknown", "client")
SLIVER = 0.25  # %; what is narrower is drawn 2.5 px wide
HEARTBEATS_DRAWN = 40
BAR_SHORTEST, BAR_LONGEST = 60.0, 300_000.0  # ms; a row's bar is logarithmic between them, so that rows compare
# Labels are pixels on a drawing of percentages, so whether one fits is asked for the narrowest drawing that shows it: a
# phone's, or (class tl-minor) the narrowest that the stylesheet does not call narrow.
LETTER, PHONE, DESK = 7.3, 320.0, 620.0  # px; a wide font's letter at 12 px, and the drawings

ENDS = {
    "eof": "EOF",
    "fin": "client FIN",
    "client-reset": "client reset",
    "ws-close": "WebSocket close",
    "connect-refused": "refused",
    "tls": "TLS failed",
    "dns": "DNS failed",
    "crash": "last heard of",
}


def timeline(
    evidence: Mapping[str, Any], *, outcome: str = "", cause: str = "", fault: str = "", ident: str = "tl", subject: str = ""
) -> SafeString:
    """The drawing with its lanes' names, and the legend beneath. `ident` must be unique in the page; "" if nothing is known.

    Outcome and cause name the end, the fault colours it; `subject` (such as the request id) stands in the title.
    """
    ended = ended_at(evidence)
    parts = parts_of(evidence)
    if ended <= 0:
        return SafeString("")
    end = _end_label(evidence, outcome, cause)
    return format_html(
        '<div class="ep-tl">\n<svg class="ep-timeline ep-tl-names" width="72" height="146" aria-hidden="true">'
        '<text class="tl-lane" x="0" y="57">upstream</text><text class="tl-lane" x="0" y="92">client</text></svg>\n'
        '<div class="ep-tl-draw"><svg class="ep-timeline" width="100%" height="146" role="img"'
        ' aria-labelledby="{ident}-title {ident}-desc"><title id="{ident}-title">Timeline{subject}, to scale</title>'
        '<desc id="{ident}-desc">{said}</desc>{inside}</svg></div>\n</div>\n'
        '<ul class="ep-tl-legend" aria-label="Where the time went">{legend}</ul>',
        ident=ident,
        subject=f" of {subject}" if subject else "",
        said="; ".join([*(_said(part) for part in parts), f"ended at {lasted(ended)}: {end}"]),
        inside=_joined(
            _grid(ended),
            [_rect(part, ended) for part in parts],
            _events(evidence, ended),
            _client_lane(evidence, ended, outcome),
            _gap_labels(evidence, parts, ended),
            _marks(evidence, parts, ended, fault, outcome, end),
        ),
        legend=_legend(parts, ended),
    )


def phases_bar(evidence: Mapping[str, Any], *, outcome: str = "", fault: str = "", height: int = 12) -> SafeString:
    """A row's bar: its length the logarithm of the duration, its parts linear inside, its end in the fault's colour."""
    ended = ended_at(evidence)
    if ended <= 0:
        return SafeString("")
    reach = math.log(min(max(ended, BAR_SHORTEST), BAR_LONGEST) / BAR_SHORTEST) / math.log(BAR_LONGEST / BAR_SHORTEST)
    length = 4 + 94 * reach
    parts = parts_of(evidence)
    shapes = []
    for part in parts:
        x, width = part.start / ended * length, max(part.lasted / ended * length, 0.8)
        for css in _fills(part.kind):
            shapes.append(
                format_html('<rect class="{}" x="{}" y="2" width="{}" height="{}"/>', css, _p(x), _p(width), height - 4)
            )
    said = ", ".join(f"{name} {lasted(total)}" for name, total in _totals(parts))
    return format_html(
        '<svg class="ep-phases" width="100%" height="{h}" role="img" aria-label="{}">{}'
        '<rect class="{}" x="{}" y="0" width="2.5" height="{h}"/></svg>',
        f"{lasted(ended)}: {said}" if said else lasted(ended),
        _joined(shapes),
        f"f-{fault}" if fault in FAULTS else f"e-{outcome or 'completed'}",
        _p(length),
        h=height,
    )


def _end_label(evidence: Mapping[str, Any], outcome: str, cause: str) -> str:
    if not cause:
        return outcome or str(evidence.get("kind") or "end")
    if cause == "ws-close" and number(evidence.get("close_code")) is not None:
        return f"{ENDS[cause]} {evidence['close_code']}"
    if cause in ("http-status", "rate-limited", "overloaded", "auth-rejected", "quota-exhausted"):
        status = number(evidence.get("upstream_status"))
        return f"{cause} {status:.0f}" if status is not None else cause
    return ENDS.get(cause, cause.replace("-", " "))


# shapes


def _p(percent: float) -> str:
    return f"{round(percent, 3):g}%"


def _x(at: float, ended: float) -> str:
    return _p(100 * at / ended)


def _takes(text: str, width: float, besides: float = 0.0) -> float:
    """The part of a drawing of that width, in percent, that a label takes with so many pixels beside it."""
    return 100 * (len(text) * LETTER + besides) / width


def _joined(*groups: Iterable[str]) -> SafeString:
    return format_html_join("", "{}", ((shape,) for group in groups for shape in group))


def _fills(kind: str) -> tuple[str, ...]:
    return (f"s-{kind}", "s-hatch") if kind in ("gap", "silence") else (f"s-{kind}",)


def _said(part: Part) -> str:
    return f"{part.label}, {lasted(part.start)} to {lasted(part.end)}"


def _rect(part: Part, ended: float) -> SafeString:
    percent = 100 * part.lasted / ended
    width = "2.5" if percent < SLIVER else _p(percent)
    return format_html(
        "<g>{}<title>{}: {} ({} to {})</title></g>",
        format_html_join(
            "",
            '<rect class="{}" x="{}" y="38" width="{}" height="30"/>',
            ((css, _x(part.start, ended), width) for css in _fills(part.kind)),
        ),
        part.label,
        lasted(part.lasted),
        lasted(part.start),
        lasted(part.end),
    )


def _step(ended: float) -> float:
    """The distance of the grid's lines, in ms: at most eleven of them, at round times."""
    minutes = [60_000.0 * factor for factor in (1, 2, 5, 10, 15, 30, 60, 120, 240, 480, 1440)]
    steps = [base * factor for base in (1, 10, 100, 1000, 10_000) for factor in (1.0, 2.0, 5.0)]
    return next((step for step in [*steps[:-1], *minutes] if ended / step <= 11), ended / 10)


def _tick(ms: float, step: float) -> str:
    if not ms:
        return "0"
    if step >= 60_000:
        return f"{ms / 60_000:g} min"
    return f"{ms / 1000:g} s" if step >= 1000 or ms >= 1000 else f"{ms:g} ms"


def _grid(ended: float) -> list[SafeString]:
    step = _step(ended)
    shapes = []
    for index in range(int(ended / step) + 1):
        at = index * step
        x = _x(at, ended)
        shapes.append(format_html('<line class="tl-grid" x1="{x}" x2="{x}" y1="34" y2="124"/>', x=x))
        if at / ended < 0.95:
            css, anchor = ("tl-tick tl-minor" if index % 2 else "tl-tick"), "middle" if index else "start"
            tick = _tick(at, step)
            shapes.append(format_html('<text class="{}" x="{}" y="140" text-anchor="{}">{}</text>', css, x, anchor, tick))
    return [*shapes, SafeString('<line class="tl-axis" x1="0" x2="100%" y1="124" y2="124"/>')]


def _events(evidence: Mapping[str, Any], ended: float) -> list[SafeString]:
    given = evidence.get("last_events")
    shapes = []
    for event in given[:8] if isinstance(given, list | tuple) else ():
        at = number(mapping(event).get("at"))
        if at is not None and 0 <= at <= ended:
            kind, much = mapping(event).get("type") or "event", size(mapping(event).get("size"))
            shapes.append(
                format_html(
                    '<line class="tl-event" x1="{x}" x2="{x}" y1="56" y2="68"><title>{}, at {}</title></line>',
                    ", ".join(str(word) for word in (kind, much) if word),
                    lasted(at),
                    x=_x(at, ended),
                )
            )
    return shapes


def _client_lane(evidence: Mapping[str, Any], ended: float, outcome: str) -> list[SafeString]:
    at = offsets(evidence)
    shapes: list[SafeString] = []
    first, last = at.get("first_client_write"), at.get("last_client_write")
    status = number(evidence.get("client_status")) or 0
    told = outcome not in ("completed", "incomplete") and (evidence.get("last_sent_event") == "error" or status >= 400)
    written: float | None = None  # until when the answer was
    if first is not None and last is not None:
        # the error event is a write too, but no part of the answer: what came from the upstream was written as it came
        until = max(first, min(last, at.get("last_upstream_byte", first))) if told else last
        if until > first or not told:
            written = until
            x, width = _x(first, ended), _p(max(100 * (until - first) / ended, 0.3))
            shapes.append(
                format_html(
                    '<g><rect class="s-write" x="{}" y="80" width="{}" height="16"/>'
                    "<title>written to the client: {} to {}</title></g>",
                    *(x, width, lasted(first), lasted(until)),
                )
            )
    told_at = last if told and last is not None else None
    shapes += _heartbeats(evidence, ended, 0.0 if written is None else 100 * written / ended, told_at)
    if told_at is not None:
        beats = mapping(evidence.get("heartbeats"))
        before = max(number(beats.get("last")) or number(beats.get("first")) or 0.0, written or 0.0)
        shapes.append(_told(told_at, before, ended, f"answered with {status:.0f}" if status >= 400 else "error event"))
    return shapes


def _told(at: float, before: float, ended: float, what: str) -> SafeString:
    """The cross where the client was told, left of the end's line; its words where nothing stands before them."""
    x = _x(at, ended)
    free = 100 * (at - before) / ended if before < at else 0.0
    words: str = ""
    if free > _takes(what, DESK, 28):
        css = "tl-small" if free > _takes(what, PHONE, 28) else "tl-small tl-minor"
        words = format_html('<text class="{}" x="{}" dx="-20" y="92" text-anchor="end">{}</text>', css, x, what)
    return format_html(
        '<g transform="translate(-13 0)"><svg x="{}" y="80" width="10" height="16" overflow="visible">'
        '<rect class="s-told" width="10" height="16"/><path class="s-told-x" d="M2 5l6 6M8 5l-6 6"/></svg>'
        "<title>{} written at {}</title></g>{}",
        *(x, what, lasted(at), words),
    )


def _heartbeats(evidence: Mapping[str, Any], ended: float, taken: float, told_at: float | None) -> list[SafeString]:
    """Each a tick; their name before the first, where the lane is free: `taken` is how far the answer goes, in percent."""
    beats = mapping(evidence.get("heartbeats"))
    count, first, last = (number(beats.get(name)) for name in ("count", "first", "last"))
    if not count or count < 0 or first is None or not 0 <= first <= ended:
        return []
    last = first if last is None else min(max(last, first), ended)
    drawn = int(min(count, HEARTBEATS_DRAWN))
    moments = [first + (last - first) * index / max(drawn - 1, 1) for index in range(drawn)]
    shapes = [
        format_html(
            '<g class="tl-beat"><line x1="{x}" x2="{x}" y1="82" y2="94"/><title>heartbeat written at {}</title></g>',
            lasted(at),
            x=_x(at, ended),
        )
        for at in moments
    ]
    words = "heartbeat" if count == 1 else f"{count:.0f} heartbeats"
    place = 100 * first / ended
    if place - taken > _takes(words, DESK, 14) and (told_at is None or told_at > first):
        shapes.append(
            format_html('<text class="tl-small tl-minor" x="{}" dx="-6" y="92" text-anchor="end">{}</text>', _p(place), words)
        )
    return shapes


def _gap_labels(evidence: Mapping[str, Any], parts: Sequence[Part], ended: float) -> Iterator[SafeString]:
    """How long a silence was, inside it where there is room, with the median gap where there is much."""
    median = number(mapping(evidence.get("gaps")).get("median_ms"))
    for part in parts:
        if part.kind not in ("gap", "silence"):
            continue
        short = lasted(part.lasted)
        texts = [f"{short} of silence", short]
        if median and part.lasted / median >= GAP_TIMES:
            texts.insert(0, f"{texts[0]}, {part.lasted / median:,.0f} times the median gap of {lasted(median)}")
        percent = 100 * part.lasted / ended
        wide, narrow = (next((text for text in texts if _takes(text, width, 16) < percent), None) for width in (DESK, PHONE))
        x = _x((part.start + part.end) / 2, ended)
        if wide == narrow:
            labels = [("tl-gap", wide)]
        else:
            labels = [("tl-gap tl-minor", wide), ("tl-gap tl-only-narrow", narrow)]
        for css, text in labels:
            if text:
                yield format_html('<text class="{}" x="{}" y="58" text-anchor="middle">{}</text>', css, x, text)


def _marks(
    evidence: Mapping[str, Any], parts: Sequence[Part], ended: float, fault: str, outcome: str, end: str
) -> Iterator[SafeString]:
    """First event, last event, end: the only labels, and only where they do not run into one another."""
    end = f"{end} {lasted(ended)}"
    streamed = [part for part in parts if part.kind in ("stream", "gap")]
    if streamed:
        yield from _stream_marks(streamed[0].start, streamed[-1].end, ended, end)
    normal = {"completed": "completed", "incomplete": "incomplete", "rejected": "rejected"}
    line = f"k-{fault}" if fault in FAULTS else f"e-{normal.get(outcome, 'rejected')}"
    word = f"t-{fault}" if fault in FAULTS else f"o-{normal.get(outcome, 'rejected')}"
    yield format_html(
        '<line class="tl-end {}" x1="100%" x2="100%" y1="22" y2="130" transform="translate(-1.5 0)"/>'
        '<text class="tl-endlabel {}" x="100%" y="16" text-anchor="end">{}</text>',
        *(line, word, end),
    )


def _stream_marks(first: float, last: float, ended: float, end: str) -> Iterator[SafeString]:
    """The first event where its label does not meet the end's, the last one where it meets neither."""
    begins, from_last = 100 * first / ended, 100 * last / ended
    text, last_text = f"first event {lasted(first)}", f"last event {lasted(last)}"
    if begins + _takes(text + end, DESK, 20) >= 100:
        return
    css = "" if begins + _takes(text + end, PHONE, 12) < 100 else " tl-minor"
    yield _mark(first, ended, text, css)
    if begins + _takes(text, DESK, 10) < from_last and from_last + _takes(last_text + end, DESK, 20) < 100:
        yield _mark(last, ended, last_text, " tl-minor tl-mid")


def _mark(at: float, ended: float, text: str, css: str) -> SafeString:
    return format_html(
        '<line class="tl-lead{css}" x1="{x}" x2="{x}" y1="22" y2="38"/><text class="tl-mark{css}" x="{x}" y="16">{}</text>',
        text,
        x=_x(at, ended),
        css=css,
    )


LEGEND = {"failed": "failed attempt", "gap": "gap"}


def _totals(parts: Sequence[Part]) -> list[tuple[str, float]]:
    totals: dict[str, float] = {}
    for part in parts:
        totals[part.kind] = totals.get(part.kind, 0.0) + part.lasted
    return [(LEGEND.get(kind, kind), total) for kind, total in totals.items()]


def _legend(parts: Sequence[Part], ended: float) -> SafeString:
    kinds = list(dict.fromkeys(part.kind for part in parts))
    return format_html_join(
        "\n",
        '<li><svg class="ep-swatch" width="14" height="12" aria-hidden="true">{}</svg>{} <b>{}</b>'
        ' <span class="quiet">{}</span></li>',
        (
            (
                format_html_join("", '<rect class="{}" width="14" height="12"/>', ((css,) for css in _fills(kind))),
                *(name, lasted(total), f"{100 * total / ended:.1f} %"),
            )
            for kind, (name, total) in zip(kinds, _totals(parts), strict=True)
        ),
    )
