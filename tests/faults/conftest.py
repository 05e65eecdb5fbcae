"""The matrix, and what else is seen at a whole gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.rehearsal.server import FaultServer
from tests.gateways import Gateway, usual


@pytest.fixture
def own_gateway(upstream: FaultServer, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that the test may change."""
    running = Gateway(tmp_path, usual(upstream.url))
    yield running
    running.end()
