"""The WebSocket of the list: sends rows that match the page's address as they come, and the figures above them.

Who may view entries may watch, and only as long as he may: sessions and permissions are looked at again now and then.
Rows are markup made by the same template as the page's, so that there is one place that escapes.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.contrib.auth import get_user
from django.http import QueryDict
from django.template.loader import render_to_string

from auditlog import live, neighbours, pages
from auditlog.entries import BadCursor, Place
from auditlog.inflight import in_flight
from auditlog.listing import Listing, found_by, view_of
from auditlog.models import AuditEntry
from auditlog.rows import row
from proxy_project import reader_zone

FORBIDDEN, NOT_UNDERSTOOD = 4403, 4422  # close codes that the page does not come back from
LONGEST_BATCH = 50  # rows; what is older than that would stand on the next page
FIGURES_EVERY = 1.0  # seconds
ALLOWED_EVERY = 20.0


class LiveTail(AsyncJsonWebsocketConsumer):
    """One page that watches."""

    view: Listing
    after: Place | None
    tasks: list[asyncio.Task[None]]
    queue: asyncio.Queue[list[uuid.UUID]] | None = None

    async def connect(self) -> None:
        self.tasks = []
        await self.accept()
        if not await self._allowed():
            await self.close(FORBIDDEN)
            return
        asked = QueryDict(self.scope["query_string"]).dict()
        with self._reading():
            self.view = view_of(asked)
        if self.view.error:
            await self.close(NOT_UNDERSTOOD)
            return
        try:
            self.after = Place.read(asked["after"]) if asked.get("after") else None
        except BadCursor:
            await self.close(NOT_UNDERSTOOD)
            return
        self.queue = await live.poller().watch()
        if live.crosses_processes():
            await self.channel_layer.group_add(live.GROUP, self.channel_name)
        loops = (self._send_rows(), self._send_figures(), self._stay_allowed())
        self.tasks = [asyncio.create_task(loop) for loop in loops]

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            task.cancel()
        if self.queue is not None:
            live.poller().leave(self.queue)
        if live.crosses_processes():
            await self.channel_layer.group_discard(live.GROUP, self.channel_name)

    async def entries_stored(self, message: dict[str, Any]) -> None:
        """The writer rang."""
        live.poller().ring()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """Nothing is asked over this connection."""

    async def _send_rows(self) -> None:
        assert self.queue is not None
        # What came between the page and this connection is sent first.
        await self.send_json(await self._missed())
        while True:
            batches = [await self.queue.get()]
            while not self.queue.empty():
                batches.append(self.queue.get_nowait())
            rows = await self._rows(live.newest_of(batches, LONGEST_BATCH))
            if rows:
                await self.send_json({"rows": rows})

    async def _send_figures(self) -> None:
        last: dict[str, str] = {}
        while True:
            figures = await self._figures()
            if figures != last:
                await self.send_json(figures)
            last = figures
            await asyncio.sleep(FIGURES_EVERY)

    async def _stay_allowed(self) -> None:
        while await self._allowed():
            await asyncio.sleep(ALLOWED_EVERY)
        await self.close(FORBIDDEN)

    @database_sync_to_async
    def _rows(self, ids: list[uuid.UUID]) -> list[dict[str, str]]:
        return self._rendered(found_by(self.view).entries.filter(pk__in=ids).order_by("time", "id"))

    @database_sync_to_async
    def _missed(self) -> dict[str, Any]:
        """The rows, or word that there are too many of them and the page should be read anew."""
        page = found_by(self.view).page(LONGEST_BATCH, after=self.after)
        if self.after is not None and page.newer:
            return {"reload": True}
        return {"rows": self._rendered(reversed(page.items))}

    def _rendered(self, entries: Iterable[AuditEntry]) -> list[dict[str, str]]:
        """Oldest first, so that the page puts one after the other on top."""
        with self._reading():
            return [
                {
                    "id": str(entry.pk),
                    "place": Place.of(entry).cursor(),
                    "html": render_to_string("admin/auditlog/auditentry/row.html", {"row": row(self.view, entry)}),
                }
                for entry in entries
            ]

    def _reading(self) -> AbstractContextManager[None]:
        """In the time of whoever watches, as the page itself."""
        return reader_zone.reading(self.scope.get("cookies", {}))

    @database_sync_to_async
    def _figures(self) -> dict[str, str]:
        streams = in_flight()
        if streams.streams:
            neighbours.watch_streams()
        flight = {"flight": streams, "view": self.view, **pages.permitted(self.scope["user"])}
        return {
            "flight": render_to_string("admin/auditlog/auditentry/flight.html", flight),
            "lede": render_to_string("admin/auditlog/auditentry/lede.html", pages.recording()),
        }

    @database_sync_to_async
    def _allowed(self) -> bool:
        request = type("Session", (), {"session": self.scope["session"]})
        if not self.scope["session"].exists(self.scope["session"].session_key):
            return False
        user = get_user(request)  # type: ignore[arg-type]
        self.scope["user"] = user
        return bool(user.is_active and user.is_staff and user.has_perm("auditlog.view_auditentry"))
