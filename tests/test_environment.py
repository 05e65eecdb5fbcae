"""Settings that are read from the environment, and the sentence for a mistake."""

from __future__ import annotations

import pytest

from proxy_project import environment
from proxy_project.environment import SettingError


@pytest.mark.parametrize(("given", "currency"), [("", "USD"), ("EUR", "EUR"), ("chf", "CHF")])
def test_a_currency_is_three_letters(monkeypatch: pytest.MonkeyPatch, given: str, currency: str) -> None:
    monkeypatch.setenv("CURRENCY", given)
    assert environment.currency() == currency


@pytest.mark.parametrize("given", ["$", "euro", "E R", "US1", "ÄÖÜ"])
def test_what_is_no_currency_is_refused_with_what_was_expected(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CURRENCY", given)
    with pytest.raises(SettingError) as refused:
        environment.currency()
    assert str(refused.value) == f"CURRENCY is {given!r}; expected three letters, such as USD or EUR."
