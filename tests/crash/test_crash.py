"""The crash test in small, with fixed seeds; `make crash` is the same with 10,000 requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.run import run

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(300)]


def test_whatever_is_killed_each_request_that_got_a_status_line_has_one_ending(tmp_path: Path) -> None:
    result = run(300, seed=20251125, folder=tmp_path, everything=False, quiet=True)
    assert result.judgement.faults == []
    assert (result.exit_code, result.journals) == (0, [])
    assert result.judgement.outcomes.total() > 250
    assert sum(result.blows.values()) >= 3
