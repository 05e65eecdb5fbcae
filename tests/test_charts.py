"""Small charts: true to their numbers, told in words too, and safe."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from proxy_project.charts import days, differs, meter, share_bar, sparkline

HOSTILE = '"><script>alert(1)</script>'


def heights(markup: str, css: str) -> list[float]:
    return [float(tall) for tall in re.findall(rf'class="{css}[^"]*"[^>]* height="([\d.]+)"', markup)]


def test_a_sparkline_is_scaled_to_its_own_maximum_and_shows_one_among_thousands() -> None:
    markup = sparkline([{"upstream": 1}, {}, {"upstream": 5000}, {"upstream": 2500}], "5,001 … by the hour")
    assert heights(markup, "f-upstream") == [1.5, 26.0, 13.0]
    assert 'width="19"' in markup and 'aria-label="5,001 … by the hour"' in markup


def test_a_bar_is_stacked_by_fault_and_an_unknown_word_is_an_unknown_fault() -> None:
    markup = sparkline([{"upstream": 10, "client": 10, "": 2, HOSTILE: 2}], "x", fluid=True)
    assert re.findall(r'rect class="f-(\w+)"', markup) == ["client", "unknown", "upstream"]
    assert heights(markup, "f-unknown") == [pytest.approx(26 * 4 / 24, abs=0.05)]


def test_shares_add_up_to_the_whole_bar() -> None:
    widths = re.findall(
        r'rect class="f-\w+" x="[\d.]+%" y="0" width="([\d.]+)%"', share_bar({"upstream": 2, "client": 1, "relay": 0}, "x")
    )
    assert [float(width) for width in widths] == [66.667, 33.333]


def test_a_day_stands_for_its_events_and_today_is_open() -> None:
    markup = days([("24 Nov", {"upstream": 50}), ("25 Nov", {"upstream": 25})], [("0.9.3", 1.5)], "by day")
    assert heights(markup, "f-upstream") == [93.0, 46.5]
    assert "25 Nov: 25 so far" in markup and "ep-today" in markup and 'x1="75.000%"' in markup and ">50<" in markup


@pytest.mark.parametrize(
    "markup",
    [
        sparkline([], HOSTILE),
        sparkline([{}], HOSTILE),
        share_bar({}, HOSTILE),
        meter(0, 0, HOSTILE),
        differs(0.5, 0.0, HOSTILE, HOSTILE),
        days([], [], HOSTILE),
        days([(HOSTILE, {HOSTILE: 3})], [(HOSTILE, 0.0)], HOSTILE),
    ],
)
def test_nothing_and_hostile_text_are_drawn_safely(markup: str) -> None:
    assert "<script" not in markup
    ElementTree.fromstring(f"<page>{markup}</page>")
