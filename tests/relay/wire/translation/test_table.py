"""The documentation's table is the code's."""

from __future__ import annotations

from pathlib import Path

from relay.wire.translation.features import FEATURES, PROTOCOLS
from relay.wire.translation.table import placed

PAGE = Path(__file__).resolve().parents[4] / "docs" / "protocols" / "translation.md"


def test_the_page_holds_the_table_that_the_code_makes() -> None:
    assert PAGE.read_text() == placed(PAGE.read_text()), "run manage.py translations docs/protocols/translation.md"


def test_every_feature_has_a_word_or_none_for_each_protocol() -> None:
    assert {len(feature.words) for feature in FEATURES} == {len(PROTOCOLS)}
    assert all(any(feature.words) for feature in FEATURES)
