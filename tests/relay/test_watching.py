"""Streams in flight are told of every few seconds, and every second while somebody looks at them, in any process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from relay import exchange as exchanges
from relay import panels, routing, watching
from relay.exchange import Exchange
from relay.models import ConfigVersion
from relay.watchdog import Watchdog
from tests.relay.rows import make_upstream


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody looks when a test begins, nor when it is over."""
    monkeypatch.setattr(panels, "_watched", -panels.WATCHED_FOR)
    watching.told(None)
    exchanges.LIVE.clear()
    yield
    watching.told(None)
    exchanges.LIVE.clear()


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("until", "streams", "seconds"), [(None, 1, 5.0), (-1, 1, 5.0), (9, 1, 1.0), (9, 100, 1.0), (9, 250, 2.5), (9, 9000, 5.0)]
)
def test_how_often_a_stream_is_told_of(until: float | None, streams: int, seconds: float) -> None:
    watching.told(None if until is None else in_seconds(until))
    assert watching.every(streams) == seconds


def told_of(exchange: Exchange, seconds: int) -> list[float]:
    """When the stream was told of, in seconds from its beginning, as the watchdog walks past it four times a second."""
    watchdog, moments = Watchdog(), []
    for step in range(1, 4 * seconds):
        now = exchange.received + step / 4
        before = exchange.next_live
        watchdog._look_at_all(now, 0.0, judges=False)
        if exchange.next_live != before:
            moments.append(step / 4)
    return moments


async def test_a_stream_is_told_of_more_often_while_somebody_looks_and_none_before_its_first_second() -> None:
    exchange = Exchange("POST", "/v1/chat/completions")
    exchange.begin()
    assert told_of(exchange, 12) == [1, 6, 11]
    other = Exchange("POST", "/v1/chat/completions")
    other.begin()
    watching.told(in_seconds(60))
    assert told_of(other, 5) == [1, 2, 3, 4]


@pytest.mark.database
@pytest.mark.django_db(transaction=True)
def test_a_look_is_known_in_every_process_and_changes_no_configuration() -> None:
    make_upstream("openai", ("a",))
    version = ConfigVersion.present()
    panels.watch_streams()
    assert ConfigVersion.present() == version
    routing.start_refresher()
    try:
        assert watching.every(1) == watching.OFTEN
    finally:
        routing.stop_refresher()


@pytest.mark.database
@pytest.mark.django_db
def test_many_pages_say_it_once() -> None:
    make_upstream("openai", ("a",))
    panels.watch_streams()
    first = ConfigVersion.seen()[1]
    assert first is not None and timedelta(0) < first - timezone.now() <= timedelta(seconds=panels.WATCHED_FOR)
    panels.watch_streams()
    assert ConfigVersion.seen()[1] == first
