"""The live tail over a real WebSocket application: who may watch, what is sent, how often, and when it ends."""

from __future__ import annotations

import asyncio
import os
import socket as socket_module
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection

from auditlog import live
from auditlog.ingest import store_entries
from auditlog.models import AuditEntry
from proxy_project.asgi import application
from tests.people import staff

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]
Build = Callable[..., dict[str, Any]]
store = sync_to_async(store_entries)


def cookie(*permissions: str) -> str:
    """The session cookie of somebody with these permissions."""
    return staff(*permissions).cookies[settings.SESSION_COOKIE_NAME].value


def socket(session: str = "", query: str = "", origin: str = "http://localhost") -> WebsocketCommunicator:
    headers = [(b"origin", origin.encode()), (b"host", b"localhost")]
    if session:
        headers.append((b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}".encode()))
    return WebsocketCommunicator(application, live.ADDRESS + query, headers)


async def rows(watcher: WebsocketCommunicator, count: int, seconds: float = 5.0) -> list[dict[str, str]]:
    """The next rows, at least so many, whatever figures come between."""
    found: list[dict[str, str]] = []
    until = time.monotonic() + seconds
    while len(found) < count:
        message = await watcher.receive_json_from(timeout=max(until - time.monotonic(), 0.01))
        found += message.get("rows", [])
    return found


async def closed(watcher: WebsocketCommunicator) -> int:
    while True:
        message = await watcher.receive_output(timeout=5)
        if message["type"] == "websocket.close":
            return int(message["code"])


def test_what_comes_and_what_ends_is_sent_as_rows_of_the_list(entry: Build) -> None:
    session = cookie("view_auditentry")

    @async_to_sync
    async def watch() -> None:
        watcher = socket(session)
        assert (await watcher.connect(timeout=10))[0]
        opened = entry(outcome=None, request_id="req_1", model="<b>x</b>")
        await store([opened])
        (first,) = await rows(watcher, 1)
        assert "in flight" in first["html"]
        assert "&lt;b&gt;x&lt;/b&gt;" in first["html"]
        await store([opened | {"outcome": "completed"}])
        (second,) = await rows(watcher, 1)
        assert second["id"] == first["id"]
        assert "completed" in second["html"]
        await watcher.disconnect(timeout=10)

    watch()


def test_only_what_the_page_is_filtered_by_is_sent(entry: Build) -> None:
    session = cookie("view_auditentry")

    @async_to_sync
    async def watch() -> None:
        watcher = socket(session, "?q=model:a")
        await watcher.connect(timeout=10)
        await rows_or_nothing(watcher)  # from here on rows come from the poller, not with the connection
        await store([entry(model="b"), entry(model="a", direction="egress"), entry(model="a", request_id="req_a")])
        (row,) = await rows(watcher, 1)
        assert "req_a" in row["html"]
        await watcher.disconnect(timeout=10)

    watch()


def test_what_came_between_the_page_and_the_connection_is_sent_first_and_oldest_first(entry: Build) -> None:
    session = cookie("view_auditentry")
    store_entries([entry(time=1000.0 + number, request_id=f"req_{number}") for number in range(4)])
    after = next(row for row in AuditEntry.objects.all() if row.request_id == "req_1")

    @async_to_sync
    async def watch() -> list[dict[str, str]]:
        from auditlog.entries import Place

        watcher = socket(session, f"?after={Place.of(after).cursor()}")
        await watcher.connect(timeout=10)
        found = await rows(watcher, 2)
        await watcher.disconnect(timeout=10)
        return found

    found = watch()
    assert ["req_2" in found[0]["html"], "req_3" in found[1]["html"]] == [True, True]


def test_who_was_away_for_too_long_is_told_to_read_the_page_anew(entry: Build) -> None:
    session = cookie("view_auditentry")
    store_entries([entry(time=1000.0 + number) for number in range(60)])
    oldest = AuditEntry.objects.order_by("time").first()

    @async_to_sync
    async def watch() -> bool:
        from auditlog.entries import Place

        watcher = socket(session, f"?after={Place.of(oldest).cursor()}")
        await watcher.connect(timeout=10)
        messages = [await watcher.receive_json_from(timeout=5) for _ in range(2)]
        await watcher.disconnect(timeout=10)
        return any(message.get("reload") for message in messages)

    assert watch()


def test_the_figures_above_the_list_are_sent_when_they_change(entry: Build) -> None:
    session = cookie("view_auditentry", "end_stream")

    @async_to_sync
    async def watch() -> dict[str, Any]:
        watcher = socket(session)
        await watcher.connect(timeout=10)
        await store([entry(outcome=None, model="gpt-5")])
        while True:
            message = await watcher.receive_json_from(timeout=5)
            if "End this stream" in message.get("flight", ""):
                await watcher.disconnect(timeout=10)
                return message

    message = watch()
    assert "gpt-5" in message["flight"]
    assert "Recording" in message["lede"]


@pytest.mark.parametrize("permissions", [None, ()])
def test_who_may_not_view_may_not_watch(permissions: Any) -> None:
    session = "" if permissions is None else cookie(*permissions)

    @async_to_sync
    async def watch() -> int:
        watcher = socket(session)
        await watcher.connect(timeout=10)
        return await closed(watcher)

    assert watch() == 4403


def test_a_page_of_another_origin_may_not_watch() -> None:
    session = cookie("view_auditentry")

    @async_to_sync
    async def watch() -> bool:
        return bool((await socket(session, origin="http://elsewhere.example").connect(timeout=10))[0])

    assert watch() is False


def test_an_address_that_is_no_live_page_is_refused() -> None:
    @async_to_sync
    async def watch() -> bool:
        watcher = WebsocketCommunicator(
            application, "/admin/nothing/", [(b"origin", b"http://localhost"), (b"host", b"localhost")]
        )
        return bool((await watcher.connect(timeout=10))[0])

    assert watch() is False


@pytest.mark.parametrize("query", ["?q=ttft:%3Esoon", "?after=nonsense"])
def test_an_address_that_cannot_be_understood_is_closed_for_good(query: str) -> None:
    session = cookie("view_auditentry")

    @async_to_sync
    async def watch() -> int:
        watcher = socket(session, query)
        await watcher.connect(timeout=10)
        return await closed(watcher)

    assert watch() == 4422


@pytest.mark.parametrize("loss", ["session", "permission"])
def test_who_is_no_longer_allowed_is_shown_out(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditlog import consumers

    monkeypatch.setattr(consumers, "ALLOWED_EVERY", 0.1)
    session = cookie("view_auditentry")

    @sync_to_async
    def lose() -> None:
        if loss == "session":
            from django.contrib.sessions.models import Session

            Session.objects.all().delete()
        else:
            get_user_model().objects.get().user_permissions.clear()

    @async_to_sync
    async def watch() -> int:
        watcher = socket(session)
        await watcher.connect(timeout=10)
        await lose()
        return await closed(watcher)

    assert watch() == 4403


def test_a_storm_is_sent_in_few_batches_and_one_poller_serves_all(entry: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    session = cookie("view_auditentry")
    looks: list[float] = []
    changes = live.Poller._changes

    async def counted(self: live.Poller) -> Any:
        looks.append(time.monotonic())
        return await changes(self)

    monkeypatch.setattr(live.Poller, "_changes", counted)

    @async_to_sync
    async def watch() -> None:
        watchers = [socket(session) for _ in range(3)]
        for watcher in watchers:
            await watcher.connect(timeout=10)
            await rows_or_nothing(watcher)
        for _ in range(20):
            await store([entry() for _ in range(2)])
        assert len({row["id"] for row in await rows(watchers[0], 40)}) == 40
        for watcher in watchers:
            await watcher.disconnect(timeout=10)
        seen = len(looks)
        await asyncio.sleep(0.6)
        assert len(looks) == seen, "nobody watches, and still it looks"

    watch()
    gaps = [later - sooner for sooner, later in pairwise(looks)]
    assert min(gaps, default=1.0) >= live.SHORTEST * 0.9


REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


def redis_is_there() -> bool:
    try:
        socket_module.create_connection(("127.0.0.1", 6379), timeout=0.5).close()
    except OSError:
        return "TEST_REDIS_URL" in os.environ
    return True


@pytest.mark.skipif(not redis_is_there(), reason="no Redis on 127.0.0.1:6379; TEST_REDIS_URL names another")
def test_with_redis_the_writer_rings_and_nobody_polls(entry: Build, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(live, "UNTOLD", 30.0)
    config = {"hosts": [REDIS], "prefix": f"test-{os.getpid()}"}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}}
    session = cookie("view_auditentry")

    @async_to_sync
    async def watch() -> None:
        watcher = socket(session)
        await watcher.connect(timeout=10)
        await rows_or_nothing(watcher)
        await asyncio.to_thread(store_elsewhere, entry(request_id="req_rung"))
        (row,) = await rows(watcher, 1)
        assert "req_rung" in row["html"]
        await watcher.disconnect(timeout=10)

    watch()


def store_elsewhere(entry: dict[str, Any]) -> None:
    """As the shipper's thread does, with a database connection of its own."""
    store_entries([entry])
    connection.close()


async def rows_or_nothing(watcher: WebsocketCommunicator) -> None:
    """Lets pass what is sent at once: the rows that were missed, and the first figures."""
    for _ in range(2):
        await watcher.receive_json_from(timeout=5)


def test_a_redis_that_is_away_costs_the_writer_little_and_nothing_is_lost(entry: Build, settings: Any) -> None:
    config = {"hosts": ["redis://127.0.0.1:1/0"]}
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": config}}
    for _ in range(3):
        store_entries([entry()])
    assert AuditEntry.objects.count() == 3
    live._silent_until = 0.0
