"""Payload capture: off unless asked for, bounded, redacted, obeyed by every process, and forgotten in time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection
from django.utils import timezone

from auditlog import retention
from auditlog.changing import change
from auditlog.ingest import store_entries
from auditlog.models import AuditEntry
from relay import journal, routing
from relay.capturing import LIMIT, Captured
from relay.exchange import Exchange
from relay.shipper import Shipper
from relay.snapshot import Snapshot
from tests.relay.rows import make_key

Build = Callable[..., dict[str, Any]]
DAY = 86_400.0


@pytest.fixture(autouse=True)
def off_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(routing, "_snapshot", Snapshot())
    yield
    routing.stop_refresher()


@pytest.fixture(autouse=True)
async def no_connection_left() -> AsyncIterator[None]:
    """What `sync_to_async` runs has a thread, and so a database connection, of its own."""
    yield
    await sync_to_async(lambda: connection.close())()  # the thread's own: found there, not here


def test_both_sides_are_kept_as_they_were() -> None:
    captured = Captured(b'{"a": 1}')
    captured.sent(b"data: \xc3")
    captured.sent(b"\xa9\n\n")
    assert captured.payloads() == {"request": '{"a": 1}', "answer": "data: \u00e9\n\n"}


def test_each_side_is_cut_and_says_how_long_it_was() -> None:
    captured = Captured(b"x" * (LIMIT + 1))
    for _ in range(3):
        captured.sent(b"y" * LIMIT)
    kept = captured.payloads()
    assert (len(kept["request"]), kept["request_bytes"]) == (LIMIT, LIMIT + 1)
    assert (len(kept["answer"]), kept["answer_bytes"]) == (LIMIT, 3 * LIMIT)


def test_an_answer_that_never_came_is_no_text() -> None:
    assert Captured(b"").payloads() == {}


@pytest.mark.django_db(transaction=True)
@pytest.mark.database
@pytest.mark.usefixtures("journal_folder")
async def test_what_is_kept_is_redacted_before_it_touches_the_disk() -> None:
    exchange = Exchange("POST", "/v1/chat/completions")
    exchange.begin()
    exchange.captured = Captured(b'{"password": "hunter2hunter2", "messages": "mine is sk-abcdefghijklmnop1234"}')
    exchange.captured.sent(b"data: Bearer abcdefghijklmnop\n\n")
    exchange.finish_once()
    written = b"".join(path.read_bytes() for path in journal.root().rglob("*") if path.is_file())
    assert b"payloads" in written

    @sync_to_async
    def stored() -> dict[str, Any]:
        shipper = Shipper()
        while shipper.ship_once():
            pass
        shipper.release()
        return AuditEntry.objects.get(request_id=exchange.request_id).payloads or {}

    payloads = await stored()
    for secret in ("hunter2", "sk-abcdefghij", "abcdefghijklmnop"):
        assert secret.encode() not in written
        assert secret not in str(payloads)
    assert payloads["request"].startswith('{"password": "[redacted]"')
    assert payloads["answer"].startswith("data: Bearer abc…op")


@pytest.mark.django_db(transaction=True)
@pytest.mark.database
def test_every_process_obeys_the_switch_at_once() -> None:
    make_key("laptop")
    routing.start_refresher()
    assert routing.current().capture is False, "off unless asked for"
    for on in (True, False):
        change({"capture": on})
        until = time.monotonic() + 5
        while routing.current().capture is not on:
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.mark.django_db
@pytest.mark.database
def test_payloads_go_in_their_own_time_and_their_entries_stay(entry: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "STEP", 2)
    store_entries([entry(time=time.time() - 3 * DAY, payloads={"request": "old"}) for _ in range(5)])
    store_entries([entry(payloads={"request": "new"}), entry()])
    assert retention.forget_payloads(timezone.now() - timedelta(days=7)) == 0
    change({"payload_days": 2})
    assert AuditEntry.objects.count() == 7
    assert AuditEntry.objects.get(payloads__isnull=False).payloads == {"request": "new"}
