"""What a client key may use: tokens are added up once and by day, and anything that a journal may hold is borne."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from relay import quotas
from relay.models import ClientKey, Spend
from relay.snapshot import ClientKeySpec, Snapshot
from tests.relay.rows import make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def limited() -> ClientKey:
    row = ClientKey(label="limited", tokens_per_day=100)
    row.set_key("a key of a hundred tokens")
    row.save()
    return row


def entry(**fields: Any) -> dict[str, Any]:
    return {"client_key": "limited", "time": time.time(), "input_tokens": 30, "output_tokens": 12, **fields}


def spec(row: ClientKey) -> ClientKeySpec:
    return ClientKeySpec(row.pk, row.label, tokens_per_day=row.tokens_per_day)


def test_tokens_in_and_out_are_added_up_by_day(limited: ClientKey) -> None:
    yesterday = time.time() - 86_400
    quotas.spend([entry(), entry(output_tokens=None), entry(time=yesterday)])
    quotas.spend([entry()])
    assert Spend.of_today(limited) == 42 + 30 + 42
    assert sorted(Spend.objects.values_list("tokens", flat=True)) == [42, 114]


def test_only_ended_requests_of_keys_with_a_budget_count(limited: ClientKey) -> None:
    quotas.spend(
        [entry(client_key="another"), entry(client_key=None), entry(direction="egress"), entry(input_tokens=0, output_tokens=0)]
    )
    assert not Spend.objects.exists()


@pytest.mark.parametrize(
    "broken",
    [
        *({"time": None}, {"time": 1e300}, {"time": "now"}, {"input_tokens": "many"}, {"input_tokens": -5}),
        *({"client_key_id": []}, {"client_key_id": {"id": 1}}, {"client_key_id": 1 << 80}),
    ],
)
def test_a_broken_record_keeps_nothing_from_being_stored(limited: ClientKey, broken: dict[str, Any]) -> None:
    quotas.spend([entry(**broken), entry(input_tokens=1 << 80)])
    assert Spend.of_today(limited) >= quotas.MOST


def test_a_key_is_used_up_from_the_token_that_fills_its_budget(limited: ClientKey) -> None:
    key = spec(limited)
    snapshot = Snapshot(keys={b"digest": key})
    for tokens, used_up in ((99, False), (1, True)):
        quotas.spend([entry(input_tokens=tokens, output_tokens=0)])
        quotas.learn(snapshot)
        assert quotas.used_up(key) is used_up
    Spend.objects.update(day=datetime.now(UTC).date() - timedelta(days=1))
    quotas.learn(snapshot)
    assert not quotas.used_up(key)


def test_a_key_that_is_renamed_keeps_what_it_has_used_and_what_is_under_way_counts(limited: ClientKey) -> None:
    begun = entry(client_key_id=limited.pk)
    quotas.spend([entry(client_key_id=limited.pk)])
    limited.label = "renamed"
    limited.save()
    quotas.spend([begun])
    assert Spend.of_today(limited) == 84
    quotas.learn(Snapshot(keys={b"digest": spec(limited)}))
    assert not quotas.used_up(spec(limited))
    quotas.spend([begun])
    quotas.learn(Snapshot(keys={b"digest": spec(limited)}))
    assert quotas.used_up(spec(limited))


def test_a_new_key_of_an_old_label_begins_at_nothing(limited: ClientKey) -> None:
    begun = entry(client_key_id=limited.pk)
    quotas.spend([begun])
    limited.delete()
    assert not Spend.objects.exists()
    key = make_key("limited", tokens_per_day=100)
    quotas.spend([begun])
    assert Spend.of_today(key) == 0


def test_days_long_past_are_forgotten(limited: ClientKey) -> None:
    Spend.objects.create(client_key=limited, day=datetime.now(UTC).date() - timedelta(days=quotas.KEPT_DAYS + 1), tokens=5)
    quotas.spend([entry()])
    assert Spend.objects.count() == 1


def test_places_are_shared_out_among_the_workers(settings: Any) -> None:
    settings.WORKERS = 4
    key = ClientKeySpec(77, "eight", max_concurrency=8)
    places = [quotas.take(key), quotas.take(key)]
    assert all(places) and quotas.take(key) is None
    assert places[0] is not None
    places[0].leave()
    assert quotas.take(key) is not None
