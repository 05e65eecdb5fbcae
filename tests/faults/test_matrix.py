"""The fault matrix over real sockets: each case of matrix.py is provoked once, and every promise is checked."""

from __future__ import annotations

import os

import pytest

from relay.rehearsal.matrix import every_case
from relay.rehearsal.matrix.row import Case
from tests.faults.campaign import Campaign, world
from tests.faults.checks import PROMISES
from tests.gateways import Gateway

WIDE = os.environ.get("MATRIX") == "wide"
pytestmark = [pytest.mark.gateway, pytest.mark.timeout(3600 if WIDE else 600)]
CASES = every_case(WIDE)


@pytest.fixture(scope="module")
def campaign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """Runs the selected cases, all of them before the first is judged."""
    folder = tmp_path_factory.mktemp("matrix")
    selected = [item.callspec.params["case"] for item in request.session.items if "campaign" in getattr(item, "fixturenames", ())]
    with world(folder, selected) as (upstream, config):
        gateway = Gateway(folder, config, TRUSTED_PROXIES="", REQUEST_TIMEOUT="2")
        try:
            campaign = Campaign(upstream)
            campaign.run(gateway, selected)
        finally:
            assert gateway.stop() == 0
    return campaign


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_it_ends_as_the_matrix_says(campaign: Campaign, case: Case) -> None:
    for promise in PROMISES:
        promise(campaign.observations[case.id])
