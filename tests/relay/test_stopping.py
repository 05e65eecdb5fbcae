"""Ending a stream that another process runs: an order is a row, and each process obeys it in its own event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from relay import exchange as exchanges
from relay import routing, stopping
from relay.ending import Cause, Fault, Outcome
from relay.exchange import Exchange
from relay.models import ConfigVersion, StopOrder
from relay.snapshot import ClientKeySpec, Snapshot
from tests.relay.rows import make_key

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    exchanges.LIVE.clear()
    monkeypatch.setattr(routing, "_snapshot", Snapshot())
    yield
    exchanges.LIVE.clear()
    routing.stop_refresher()


@pytest.fixture(autouse=True)
async def no_connection_left() -> AsyncIterator[None]:
    """What `sync_to_async` runs has a thread, and so a database connection, of its own."""
    yield
    await sync_to_async(lambda: connection.close())()  # the thread's own: found there, not here


def accepted() -> Exchange:
    exchange = Exchange("POST", "/v1/chat/completions")
    exchange.begin()
    return exchange


async def running(exchange: Exchange) -> str:
    """A request at work, until somebody stops it; how it was stopped."""
    exchange.task = asyncio.current_task()
    try:
        await asyncio.sleep(20)
    except asyncio.CancelledError:
        interrupt = exchange.take_interrupt()
        if interrupt is None:
            raise  # the test is over
        return interrupt.detail
    return "nobody stopped it"


async def test_an_order_stops_that_request_and_no_other() -> None:
    mine, other = accepted(), accepted()
    task, rest = asyncio.create_task(running(mine)), asyncio.create_task(running(other))
    await asyncio.sleep(0)
    await sync_to_async(stopping.order)(mine.request_id)
    assert await sync_to_async(stopping.obey)(Snapshot()) == 1
    assert await asyncio.wait_for(task, 5) == "an operator ended the stream"
    assert not rest.done()
    rest.cancel()
    await asyncio.gather(rest, return_exceptions=True)


async def test_the_refresher_of_a_process_obeys_an_order_given_by_another() -> None:
    mine = accepted()
    task = asyncio.create_task(running(mine))
    await asyncio.sleep(0)
    await sync_to_async(routing.start_refresher)()
    # Another process would do no more than this: a row, and a version that counts on.
    thread = threading.Thread(target=in_thread, args=(mine.request_id,))
    thread.start()
    assert await asyncio.wait_for(task, 5) == "an operator ended the stream"
    await asyncio.to_thread(thread.join)
    await sync_to_async(routing.stop_refresher)()


def in_thread(request_id: str) -> None:
    stopping.order(request_id)
    connection.close()


async def test_what_an_operator_ended_is_the_operators_fault() -> None:
    mine = accepted()
    mine.task = asyncio.current_task()
    mine.stop(Cause.OPERATOR_KILL, "an operator ended the stream")
    with pytest.raises(asyncio.CancelledError):
        await asyncio.sleep(1)
    verdict = mine.finish_once()
    assert (verdict.outcome, verdict.cause, verdict.fault) == (Outcome.RELAY_SHUTDOWN, Cause.OPERATOR_KILL, Fault.OPERATOR)


async def test_a_key_that_was_taken_away_ends_its_streams() -> None:
    mine, other, nobodys = (accepted() for _ in range(3))
    mine.client_key_id, other.client_key_id = 1, 2
    task = asyncio.create_task(running(mine))
    await asyncio.sleep(0)
    keys = {b"a": ClientKeySpec(1, "off", enabled=False), b"b": ClientKeySpec(2, "on")}
    assert await sync_to_async(stopping.obey)(Snapshot(keys=keys)) == 1
    assert await asyncio.wait_for(task, 5) == "its client key was revoked"
    assert nobodys.interrupt is None


async def test_an_old_order_is_not_obeyed_and_is_forgotten_in_the_end() -> None:
    mine = accepted()

    @sync_to_async
    def look() -> None:
        stopping.order(mine.request_id)
        StopOrder.objects.update(asked_at=timezone.now() - timedelta(minutes=2))
        assert stopping.obey(Snapshot()) == 0
        StopOrder.objects.update(asked_at=timezone.now() - timedelta(hours=2))
        stopping.order("req_other")
        assert StopOrder.objects.get().request_id == "req_other"

    await look()


def test_an_order_counts_as_a_change_of_the_configuration() -> None:
    make_key("laptop")
    before = ConfigVersion.present()
    stopping.order("req_1")
    stopping.order("req_1")
    assert ConfigVersion.present() == before + 2
    assert StopOrder.objects.count() == 1
