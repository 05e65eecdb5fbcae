"""`manage.py serve`: the gateway. One parent, the workers, the shipper, and the demo upstream when there is no other.

DATA_DIR is held and the socket bound before anything is changed (relay/server/holding.py, relay/server/listening.py);
then the database is prepared and the children are forked (relay/processes.py). On SIGTERM the workers drain; the shipper
and the demo upstream end after them, so that every ending is written.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
import threading
from functools import partial

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from relay import alone, bootstrap, journal, metrics, routing
from relay.processes import Parent, all_is_loaded, when_told
from relay.rehearsal.server import FaultServer
from relay.server import holding, listening


class Command(BaseCommand):
    help = "Serve the gateway and its admin."
    requires_system_checks: list[str] = []

    def handle(self, *args: object, **options: object) -> None:
        holding.hold()
        listener = listening.listener()
        demo = socket.create_server(("127.0.0.1", 0))
        prepared = bootstrap.prepare(demo_port=demo.getsockname()[1], out=self.stdout)
        connections.close_all()
        self.stdout.write(f"epitaph serves http://{settings.HOST}:{settings.PORT}")
        self.stdout.flush()
        # Only workers keep the listening socket: when the last has drained, a caller is refused and not left waiting.
        parent = Parent(at_stop=listener.close)
        metrics.share(settings.WORKERS + 1)
        alone.managed()
        importlib.import_module("proxy_project.asgi")  # once for all workers, which begin the sooner
        all_is_loaded()
        if not prepared.demo:
            demo.close()
        for place in range(settings.WORKERS):
            parent.add(f"worker {place + 1}", partial(work, listener, demo, place), drains=True)
        parent.add("shipper", partial(ship, listener, demo, settings.WORKERS))
        if prepared.demo:
            parent.add("demo upstream", lambda: asyncio.run(rehearse(demo, listener)))
        sys.exit(parent.watch())


def work(listener: socket.socket, demo: socket.socket, place: int) -> None:
    """A worker process; `place` is where it shows its figures. The demo upstream's socket is not its to keep open."""
    from relay.server.server import serve

    demo.close()
    metrics.take(place)
    routing.start_refresher()
    serve(listener, loaded=all_is_loaded)
    routing.stop_refresher()
    journal.shut()
    metrics.publish()


def ship(listener: socket.socket, demo: socket.socket, place: int) -> None:
    """The shipper process: until it is told to stop, which the parent does when no worker is left."""
    from relay.shipper import Shipper

    listener.close()
    demo.close()
    metrics.take(place)
    stop = threading.Event()
    when_told(stop.set)
    shipper = Shipper()
    all_is_loaded()
    shipper.run(stop)


async def rehearse(sock: socket.socket, listener: socket.socket) -> None:
    """The demo upstream, on its bound socket, until the parent tells it to stop."""
    listener.close()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    when_told(lambda: loop.call_soon_threadsafe(stop.set))
    server = FaultServer(demo=True)
    await server.start(sock)
    await stop.wait()
    await server.stop()
