"""The timeline: to scale, complete for a reader without eyes, safe with hostile evidence, and never in the way of a page."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest

from proxy_project.drawing import phases_bar, timeline
from proxy_project.figures import lasted, money, share, size
from proxy_project.phases import parts_of

EVIDENCE: dict[str, Any] = {
    "kind": "upstream-premature",
    "client_status": 200,
    "last_sent_event": "error",
    "attempts": [{"status": 503, "ms": 207, "cause": "http-status"}, {"status": 200, "ms": 43_830, "reused": False}],
    "timeline": {
        "routed": 5, "connect_start": 214, "connected": 268, "request_sent": 270, "first_upstream_byte": 1906,
        "first_event": 1910, "first_client_write": 1930, "last_upstream_byte": 14_050, "last_client_write": 44_040,
        "ended": 44_040,
    },
    "gaps": {"longest_ms": 3120, "longest_began": 6120, "median_ms": 38},
    "heartbeats": {"count": 1, "first": 29_050, "last": 29_050},
    "last_events": [{"type": "response.output_text.delta", "size": 312, "at": 13_870}],
}  # fmt: skip


def without(*names: str) -> dict[str, Any]:
    moments = {name: at for name, at in EVIDENCE["timeline"].items() if name not in names}
    return {**EVIDENCE, "timeline": moments}


def parsed(markup: str) -> ElementTree.Element:
    return ElementTree.fromstring(f"<page>{markup}</page>")


def test_the_parts_are_attempts_connect_wait_stream_gap_and_silence_in_their_order() -> None:
    parts = parts_of(EVIDENCE)
    assert [(part.kind, part.start, part.end) for part in parts] == [
        ("failed", 5, 212),
        ("connect", 214, 268),
        ("wait", 268, 1910),
        ("stream", 1910, 6120),
        ("gap", 6120, 9240),
        ("stream", 9240, 14_050),
        ("silence", 14_050, 44_040),
    ]


@pytest.mark.parametrize(
    ("evidence", "kinds"),
    [
        (without("first_event", "first_upstream_byte", "last_upstream_byte"), ["failed", "connect", "wait"]),
        (without("connected", "request_sent", "first_event", "first_upstream_byte", "last_upstream_byte"), ["failed", "connect"]),
        ({**EVIDENCE, "gaps": {"longest_ms": 3120, "longest_began": 6120, "median_ms": 1000}}, None),  # no gap: usual for it
        ({"timeline": {"ended": 12}}, []),
    ],
)
def test_what_did_not_happen_is_not_drawn(evidence: dict[str, Any], kinds: list[str] | None) -> None:
    found = [part.kind for part in parts_of(evidence)]
    assert found == (["failed", "connect", "wait", "stream", "silence"] if kinds is None else kinds)


def test_a_burst_is_a_stream_of_no_length() -> None:
    moments = {"timeline": {"connected": 5, "first_event": 9, "last_upstream_byte": 9, "ended": 10}}
    assert [(part.kind, part.lasted) for part in parts_of(moments)] == [("wait", 4), ("stream", 0)]
    assert 's-stream" x="90%" y="38" width="2.5"' in timeline(moments, outcome="completed")


def test_after_the_terminal_event_nothing_is_called_silence() -> None:
    moments = {**EVIDENCE["timeline"], "terminal_event": 14_050}
    assert "silence" not in [part.kind for part in parts_of({**EVIDENCE, "timeline": moments})]


def test_the_drawing_is_to_scale() -> None:
    root = parsed(timeline(EVIDENCE, outcome="upstream-premature", cause="eof", fault="upstream"))
    silence = next(rect for rect in root.iter("rect") if rect.get("class") == "s-silence" and rect.get("y") == "38")
    assert (silence.get("x"), silence.get("width")) == ("31.903%", "68.097%")
    connect = next(rect for rect in root.iter("rect") if rect.get("class") == "s-connect" and rect.get("y") == "38")
    assert connect.get("width") == "2.5", "what is too narrow to see is drawn 2.5 px wide"


def test_the_end_has_the_colour_of_the_fault_and_its_cause_as_name() -> None:
    markup = timeline(EVIDENCE, outcome="client-abort", cause="fin", fault="upstream")
    assert 'class="tl-end k-upstream"' in markup and "client FIN 44.0 s" in markup
    assert 'class="tl-end e-completed"' in timeline(EVIDENCE, outcome="completed")
    assert "WebSocket close 1011" in timeline({**EVIDENCE, "close_code": 1011}, cause="ws-close", fault="upstream")


def test_a_reader_without_eyes_is_told_the_same() -> None:
    root = parsed(timeline(EVIDENCE, outcome="upstream-premature", cause="eof", fault="upstream", ident="a", subject="req_1"))
    drawing = next(svg for svg in root.iter("svg") if svg.get("role") == "img")
    assert drawing.get("aria-labelledby") == "a-title a-desc"
    assert drawing.findtext("title") == "Timeline of req_1, to scale"
    said = drawing.findtext("desc") or ""
    for words in ("attempt 1: 503", "silence until the end, 14.1 s to 44.0 s", "ended at 44.0 s: EOF"):
        assert words in said, said
    assert "68.1 %" in "".join(root.itertext())


def test_the_client_was_told_or_was_not() -> None:
    assert "error event written at 44.0 s" in timeline(EVIDENCE, outcome="upstream-premature")
    assert "error event" not in timeline({**EVIDENCE, "last_sent_event": "delta"}, outcome="client-abort")
    answered = {**EVIDENCE, "client_status": 504, "last_sent_event": None}
    assert "answered with 504 written at" in timeline(answered, outcome="upstream-premature")


@pytest.mark.parametrize("ended", [0.4, 3, 45, 999, 1500, 44_040, 305_000, 7_200_000, 90_000_000])
def test_the_grid_has_round_times_and_few_of_them(ended: float) -> None:
    markup = timeline({"timeline": {"ended": ended}}, outcome="completed")
    assert 1 <= markup.count("tl-grid") <= 12
    for tick in re.findall(r'class="tl-tick[^>]*>([^<]*)<', markup):
        assert re.fullmatch(r"0|\d+(\.\d+)? (ms|s|min)", tick), tick


HOSTILE = '"><script>alert(1)</script>'


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"timeline": None, "attempts": "x", "gaps": [], "last_events": {}, "heartbeats": 3},
        {"timeline": {"ended": "soon", "connected": True}},
        {"timeline": {"ended": -5, "first_event": float("nan")}},
        {"timeline": {"ended": 10, "first_event": 99_999, "connect_start": -7, "last_upstream_byte": 1}},
        {**EVIDENCE, "attempts": [None, 3, {"status": HOSTILE, "ms": HOSTILE, "cause": HOSTILE}, {}]},
        {**EVIDENCE, "last_events": [None, {"type": HOSTILE, "size": HOSTILE, "at": 5}, {"at": HOSTILE}]},
        {**EVIDENCE, "heartbeats": {"count": 10**12, "first": 1, "last": 10**15}},
        {**EVIDENCE, "kind": HOSTILE, "close_code": HOSTILE, "upstream_status": HOSTILE, "client_status": HOSTILE},
    ],
)
@pytest.mark.parametrize("words", ["", "ws-close", HOSTILE])
def test_odd_and_hostile_evidence_is_drawn_without_it_or_not_at_all(evidence: dict[str, Any], words: str) -> None:
    for markup in (
        timeline(evidence, outcome=words, cause=words, fault=words, ident="t", subject=HOSTILE),
        phases_bar(evidence, outcome=words, fault=words),
    ):
        assert "<script" not in markup and "nan" not in markup.lower() and len(markup) < 60_000
        parsed(markup)
        for x in re.findall(r' x1?="(-?[\d.]+)%"', markup):
            assert 0 <= float(x) <= 100


def test_bars_of_a_list_compare_by_the_logarithm_of_their_duration() -> None:
    def reach(ended: float) -> float:
        return float(re.findall(r'x="([\d.]+)%"', phases_bar({"timeline": {"ended": ended}}, outcome="completed"))[-1])

    lengths = [reach(ended) for ended in (10, 60, 600, 6000, 60_000, 300_000, 900_000)]
    assert lengths == sorted(lengths) and lengths[0] == lengths[1] and lengths[-1] == lengths[-2] <= 99
    assert lengths[3] - lengths[2] == pytest.approx(lengths[2] - lengths[1], abs=0.01)


@pytest.mark.parametrize(
    ("ms", "words"),
    [(0, "0 ms"), (0.4, "0.4 ms"), (207, "207 ms"), (999.6, "1.00 s"), (1640, "1.64 s"), (30_000, "30.0 s"),
     (99_960, "1 min 40 s"), (120_000, "2 min"), (3_840_000, "1 h 4 min"), (None, ""), ("x", ""), (True, "")],
)  # fmt: skip
def test_durations_in_words(ms: Any, words: str) -> None:
    assert lasted(ms) == words


def test_sizes_and_shares_in_words() -> None:
    assert [size(count) for count in (312, 98_412, 2_100_000, "x")] == ["312 B", "98.4 KB", "2.1 MB", ""]
    assert [share(part, 10_000) for part in (0, 0.5, 43, 420, 5000)] == ["0 %", "<0.01 %", "0.43 %", "4.2 %", "50 %"]
    assert share(3, 0) == ""


@pytest.mark.parametrize(
    ("amount", "words"),
    [("0", "0"), ("0.0000000000", "0"), ("0.0000000001", "0.0000000001"), ("0.000012345", "0.000012"), ("0.0004", "0.0004"),
     ("0.0123456", "0.0123"), ("0.25", "0.25"), ("0.5", "0.50"), ("0.99999", "1.00"), ("3.2", "3.20"), ("1204.5", "1,204.50")],
)  # fmt: skip
def test_small_amounts_have_the_digits_that_it_takes(amount: str, words: str) -> None:
    assert money(Decimal(amount)) == words
