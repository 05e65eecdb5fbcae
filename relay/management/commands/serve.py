"""`manage.py serve`: the gateway. One parent, the workers, the shipper, and the demo upstream when there is no other.

The parent binds the listening socket before anything is changed, prepares the database, forks its children and starts
again what dies. Children stay in its process group and die with it. On SIGTERM the workers drain; the shipper and the
demo upstream end after them, so that every ending is written.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from proxy_project.environment import SettingError
from relay import bootstrap, journal, routing
from relay.rehearsal.server import FaultServer

BIND_SECONDS = 10.0
PR_SET_PDEATHSIG = 1
SIGNALS = (signal.SIGTERM, signal.SIGINT)
log = logging.getLogger("epitaph.serve")


class Command(BaseCommand):
    help = "Serve the gateway and its admin."
    requires_system_checks: list[str] = []

    def handle(self, *args: object, **options: object) -> None:
        listener = bind(settings.HOST, settings.PORT)
        demo = socket.create_server(("127.0.0.1", 0))
        prepared = bootstrap.prepare(demo_port=demo.getsockname()[1], out=self.stdout)
        connections.close_all()
        self.stdout.write(f"epitaph serves http://{settings.HOST}:{settings.PORT}")
        self.stdout.flush()
        parent = Parent()
        for number in range(settings.WORKERS):
            parent.add(f"worker {number + 1}", lambda: work(listener), drains=True)
        parent.add("shipper", ship)
        if prepared.demo:
            parent.add("demo upstream", lambda: asyncio.run(rehearse(demo)))
        sys.exit(parent.watch())


def bind(host: str, port: int) -> socket.socket:
    """The listening socket; a port that is still taken is tried for ten seconds.

    Raises:
        SettingError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    deadline = time.monotonic() + BIND_SECONDS
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(2048)
        except OSError as error:
            listener.close()
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise SettingError(f"HOST {host!r} PORT {port} cannot be bound: {os.strerror(error.errno or 0)}.") from None
            time.sleep(0.25)
        else:
            return listener


def work(listener: socket.socket) -> None:
    """A worker process."""
    from relay.server.server import serve

    routing.start_refresher()
    serve(listener)
    routing.stop_refresher()
    journal.shut()


def ship() -> None:
    """The shipper process: until it is told to stop, which the parent does when no worker is left."""
    from relay.shipper import Shipper

    stop = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group's SIGTERM is the workers'
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    Shipper().run(stop)


async def rehearse(listener: socket.socket) -> None:
    """The demo upstream, on its bound socket, until the parent tells it to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGUSR1, stop.set)
    server = FaultServer(demo=True)
    await server.start(listener)
    await stop.wait()
    await server.stop()


class Child:
    """One process under the parent."""

    def __init__(self, name: str, run: Callable[[], None], drains: bool) -> None:
        self.name = name
        self.run = run
        self.drains = drains
        self.pid = 0
        self.started = 0.0


class Parent:
    """Starts the children, starts again what dies, and ends them in order."""

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.stopping = False
        for number in SIGNALS:
            signal.signal(number, self._stop)

    def add(self, name: str, run: Callable[[], None], drains: bool = False) -> None:
        child = Child(name, run, drains)
        self.children.append(child)
        self._start(child)

    def watch(self) -> int:
        """Runs until every child has ended; the exit code is 0 when that was asked for."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 0
            if not pid:
                if self.stopping and not any(child.pid and child.drains for child in self.children):
                    self._signal(signal.SIGUSR1, drains=False)
                time.sleep(0.05)
                continue
            child = next((child for child in self.children if child.pid == pid), None)
            if child is None:
                continue
            child.pid = 0
            if self.stopping:
                continue
            log.error("%s (process %d) ended with status %d; starting it again", child.name, pid, status)
            time.sleep(0 if time.monotonic() - child.started > 5 else 1)
            self._start(child)

    def _start(self, child: Child) -> None:
        sys.stdout.flush()
        child.started = time.monotonic()
        pid = os.fork()
        if pid:
            child.pid = pid
            return
        code = 1
        try:
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            child.run()
            code = 0
        except BaseException:
            log.exception("%s failed", child.name)
        finally:
            logging.shutdown()
            os._exit(code)

    def _stop(self, number: int, frame: object) -> None:
        if not self.stopping:
            self.stopping = True
            self._signal(signal.SIGTERM, drains=True)

    def _signal(self, number: int, drains: bool) -> None:
        for child in self.children:
            if child.pid and child.drains is drains:
                os.kill(child.pid, number)
