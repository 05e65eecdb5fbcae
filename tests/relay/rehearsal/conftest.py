"""One scripted upstream for all tests of this folder, with an empty log for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from relay.rehearsal.server import FaultServer


@pytest.fixture(scope="session")
def running() -> Iterator[FaultServer]:
    with FaultServer().run_in_thread() as server:
        yield server


@pytest.fixture
def upstream(running: FaultServer) -> FaultServer:
    running.clear_log()
    return running
