"""The live tail: what came and what ended, pushed to whoever watches the list.

What must stay true: however many people watch, one poller for each event loop reads the database, at most four times a
second; nobody watching, it reads nothing. With a channel layer that crosses processes the writer rings (`announce`) and
the poller sleeps until then; without one, it looks by itself. A ring that is lost costs two seconds, never a row.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
import uuid
from collections.abc import Sequence

from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.utils import timezone

from auditlog.models import AuditEntry

ADDRESS = "/admin/auditlog/live/"  # of the WebSocket
GROUP = "auditlog-live"
SHORTEST = 0.25  # seconds between two looks
UNTOLD = 2.0  # seconds after which it looks although nobody rang
WINDOW = dt.timedelta(minutes=2)  # how far back an entry may have been received that is new to us
MOST = 200  # entries of one look; a tail that goes faster than that is not read by anybody
PATIENCE = 0.5  # seconds that a writer waits for the bell, at most
QUIET_AFTER_FAILURE = 5.0  # seconds without a ring after one that failed

logger = logging.getLogger(__name__)
_silent_until = 0.0


def crosses_processes() -> bool:
    """Whether what one process says on the channel layer is heard by the others."""
    layer = get_channel_layer()
    return layer is not None and not isinstance(layer, InMemoryChannelLayer)


def announce() -> None:
    """Rings for every process whose pages watch. For the writer's thread, after its commit; never raises."""
    global _silent_until
    if not crosses_processes() or time.monotonic() < _silent_until:
        return
    try:
        async_to_sync(_ring)()
    except Exception as error:  # noqa: BLE001 - it is only a hint
        _silent_until = time.monotonic() + QUIET_AFTER_FAILURE
        logger.info("The bell of the live tail did not ring (%s); the pages look by themselves.", type(error).__name__)


async def _ring() -> None:
    layer = get_channel_layer()
    assert layer is not None
    await asyncio.wait_for(layer.group_send(GROUP, {"type": "entries.stored"}), PATIENCE)


class Poller:
    """Tells its watchers the ids of entries that came or changed, newest first."""

    def __init__(self) -> None:
        self._watchers: set[asyncio.Queue[list[uuid.UUID]]] = set()
        self._task: asyncio.Task[None] | None = None
        self._bell = asyncio.Event()
        self._began = asyncio.Event()  # it has looked once: from then on it sees what is new
        self._known: dict[uuid.UUID, str | None] | None = None  # by id: its outcome when it was last seen

    async def watch(self) -> asyncio.Queue[list[uuid.UUID]]:
        """A queue of all batches from now on. A watcher that does not keep up loses old ones, not new ones."""
        queue: asyncio.Queue[list[uuid.UUID]] = asyncio.Queue(maxsize=8)
        self._watchers.add(queue)
        if self._task is None or self._task.done():
            self._began.clear()
            self._task = asyncio.create_task(self._run())
        await self._began.wait()
        return queue

    def leave(self, queue: asyncio.Queue[list[uuid.UUID]]) -> None:
        """No more batches. The last one to leave ends the polling."""
        self._watchers.discard(queue)
        if not self._watchers and self._task is not None:
            self._task.cancel()
            self._task = self._known = None

    def ring(self) -> None:
        """Something was stored."""
        self._bell.set()

    async def _run(self) -> None:
        while True:
            began = asyncio.get_running_loop().time()
            try:
                changed = await self._changes()
            except Exception:
                logger.exception("The live tail could not read; it tries again.")
                changed = []
            for queue in self._watchers if changed else ():
                if queue.full():
                    queue.get_nowait()
                queue.put_nowait(changed)
            await self._pause(began)

    async def _pause(self, began: float) -> None:
        spent = asyncio.get_running_loop().time() - began
        await asyncio.sleep(max(SHORTEST - spent, 0.0))
        if crosses_processes():
            try:
                await asyncio.wait_for(self._bell.wait(), UNTOLD)
            except TimeoutError:
                pass
            self._bell.clear()

    async def _changes(self) -> list[uuid.UUID]:
        found = await self._look()
        known, self._known = self._known, found
        self._began.set()
        if known is None:  # the first look: all of it is on the pages already
            return []
        return [pk for pk, outcome in found.items() if pk not in known or known[pk] != outcome]

    @database_sync_to_async
    def _look(self) -> dict[uuid.UUID, str | None]:
        """The newest entries, and those that were open when last seen."""
        rows = AuditEntry.objects.newest_first().values_list("id", "outcome")
        found = dict(rows.filter(time__gt=timezone.now() - WINDOW)[:MOST])
        waiting = [pk for pk, outcome in (self._known or {}).items() if outcome is None and pk not in found]
        return found | dict(rows.filter(pk__in=waiting[:MOST]))


_pollers: dict[asyncio.AbstractEventLoop, Poller] = {}


def poller() -> Poller:
    """The poller of this event loop."""
    loop = asyncio.get_running_loop()
    for other in [other for other in _pollers if other.is_closed()]:
        del _pollers[other]
    return _pollers.setdefault(loop, Poller())


def newest_of(ids: Sequence[Sequence[uuid.UUID]], most: int) -> list[uuid.UUID]:
    """The ids of some batches, each once, at most so many."""
    return list(dict.fromkeys(pk for batch in reversed(ids) for pk in batch))[:most]
