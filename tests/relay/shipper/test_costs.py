"""Costs on real rows: worked out as a `close` line is stored, and left alone afterwards."""

from decimal import Decimal
from typing import Any

import pytest

from auditlog.models import AuditEntry
from relay import pricing, recorder
from relay.models import Price
from relay.recorder import Ending, new_record_id
from relay.shipper import Shipper
from tests.relay.rows import make_upstream
from tests.relay.shipper.conftest import ship_all
from tests.relay.shipper.records import COMPLETED, PREMATURE, ended, entry_of, opened

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]
USED = {"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 50}


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "LOOK_SECONDS", 0.0)


def cost(record: str) -> Decimal | None:
    return AuditEntry.objects.get(id=record).cost


def test_an_ending_is_stored_with_its_cost_and_one_that_is_not_known_without(shipper: Shipper) -> None:
    Price.objects.create(model="gpt-*", input="1.25", cached_input="0.125", output="10")
    Price.objects.create(model="*", upstream=make_upstream("local"), input="0", output="0")
    known, free = ended(provider="openai", **USED), ended(provider="local", **USED)
    broken = ended(PREMATURE, provider="openai", input_tokens=1000)
    untold, unpriced = ended(provider="openai"), ended(provider="openai", upstream_model="o4", **USED)
    drill = ended(provider="openai", drill=True, **USED)
    ship_all(shipper)
    assert cost(known) == Decimal("0.0013")  # 600 and 400 in, 50 out
    assert cost(broken) == Decimal("0.00125")
    assert cost(free) == 0
    assert [cost(record) for record in (untold, unpriced, drill)] == [None, None, None]


def test_a_price_that_changes_changes_what_comes_and_nothing_that_is_stored(shipper: Shipper) -> None:
    price = Price.objects.create(model="gpt-x", input="1", output="1")
    before = ended(**USED)
    ship_all(shipper)
    price.input = Decimal(2)
    price.save()
    after = ended(**USED)
    ship_all(shipper)
    Price.objects.all()._clone().delete()
    later = ended(**USED)
    ship_all(shipper)
    assert [cost(record) for record in (before, after, later)] == [Decimal("0.00105"), Decimal("0.00205"), None]


def test_an_open_row_gets_its_cost_with_its_ending(shipper: Shipper, at_once: None) -> None:
    Price.objects.create(model="gpt-x", input="1", output="1")
    record = opened()
    ship_all(shipper)
    assert cost(record) is None
    ended(record=record, **USED)
    ship_all(shipper)
    assert cost(record) == Decimal("0.00105")


def test_only_the_request_has_a_cost_not_the_attempts_that_the_next_one_saved(shipper: Shipper) -> None:
    Price.objects.create(model="gpt-x", input="1", output="1")
    entry: dict[str, Any] = entry_of(new_record_id(), **USED)
    saved = entry_of("", **USED) | {"id": None, "direction": "egress", "outcome": "upstream-error"}
    evidence = {"kind": "completed", "request_id": entry["request_id"]}
    recorder.record_stream_close(Ending(COMPLETED, evidence, entry, egress=[saved], record_id=entry["id"]))
    ship_all(shipper)
    assert dict(AuditEntry.objects.values_list("direction", "cost")) == {"ingress": Decimal("0.00105"), "egress": None}


def test_a_count_of_tokens_beyond_all_costs_no_row(shipper: Shipper) -> None:
    Price.objects.create(model="gpt-x", input="99999999", output="1")
    record = ended(input_tokens=(1 << 62) - 1)
    ship_all(shipper)
    assert cost(record) is None and shipper.state.refused == 0
