"""One parent and its children: started, started again when they die, and ended in order.

Children stay in the parent's process group and die with it, however it dies. Those that drain (the workers) are told
first; the rest (the shipper, the demo upstream) only when no worker is left, so that every ending is still written. A
child that dies before its time is started again; a shipper at a stop too, unless it knew of it: what ended must be shipped.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable

from errorlog.capture import report
from relay import journal

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PR_SET_PDEATHSIG, PR_SET_NAME = 1, 15
LOOK_SECONDS = 0.05
COLLECT_AFTER = 10_000  # more new objects than so many are unaccounted for; Python's own figure, 700, is a few requests'
STEADY_SECONDS = 5.0  # a child that lived so long is started again at once, any other a second later
log = logging.getLogger("epitaph.serve")


class Child:
    """One process under the parent, and what it runs. `name` is also what `ps` and `top` show."""

    def __init__(self, name: str, run: Callable[[], None], drains: bool) -> None:
        self.name = name
        self.run = run
        self.drains = drains
        self.pid = 0
        self.started = 0.0
        self.due: float | None = None  # when it is to be started again


class Parent:
    """Starts the children, starts again what dies, and ends them in order."""

    def __init__(self, at_stop: Callable[[], None] = lambda: None) -> None:
        """`at_stop` is called once, in the parent, when it was asked to stop."""
        self.children: list[Child] = []
        self.stopping = False
        self._told: set[int] = set()  # the processes that know of the stop
        self._at_stop = at_stop
        for number in SIGNALS:
            signal.signal(number, self._stop)

    def add(self, name: str, run: Callable[[], None], drains: bool = False) -> None:
        """Starts one more child."""
        child = Child(name, run, drains)
        self.children.append(child)
        self._start(child)

    def watch(self) -> int:
        """Runs until every child has ended, which is what SIGTERM or SIGINT asks for; then the exit code is 0."""
        told = self._told
        while not self.stopping or any(child.pid or child.due is not None for child in self.children):
            self._reap()
            self._start_again()
            if self.stopping:
                at_stop, self._at_stop = self._at_stop, lambda: None
                at_stop()
                # A process started while the signal came has not heard of it, so each is told once, whenever it began.
                draining = any(child.pid for child in self.children if child.drains)
                for child in self.children:
                    if child.pid and child.pid not in told and (child.drains or not draining):
                        told.add(child.pid)
                        os.kill(child.pid, signal.SIGTERM if child.drains else signal.SIGUSR1)
            time.sleep(LOOK_SECONDS)
        return 0

    def _reap(self) -> None:
        """Learns who has ended, and decides whether it is to be started again."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            child = next((child for child in self.children if child.pid == pid), None)
            if child is None:
                continue
            child.pid = 0
            if self.stopping and (child.drains or pid in self._told):
                continue
            log.error("%s (process %d) ended with status %d; starting it again", child.name, pid, status)
            now = time.monotonic()
            child.due = now if now - child.started > STEADY_SECONDS else now + 1

    def _start_again(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.due is None or (now < child.due and not self.stopping):
                continue
            child.due = None
            if not (self.stopping and child.drains):
                self._start(child)

    def _start(self, child: Child) -> None:
        sys.stdout.flush()
        child.started = time.monotonic()
        # Blocked across the fork: the child must not run the parent's handler, and the parent must know its child.
        signal.pthread_sigmask(signal.SIG_BLOCK, [*SIGNALS, signal.SIGUSR1])
        parent = os.getpid()
        try:
            child.pid = os.fork()
            if not child.pid:
                _live(child, parent)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [*SIGNALS, signal.SIGUSR1])

    def _stop(self, number: int, frame: object) -> None:
        self.stopping = True


def all_is_loaded() -> None:
    """What is there by now lives as long as the process, so the collector need not walk it again and again.

    Called in the parent before it forks, lest each child copy what the collector's marks touch; and in a child that is ready.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    gc.enable()


def when_told(stop: Callable[[], object]) -> None:
    """In a child that does not drain: calls `stop` once the parent says that no worker is left."""
    signal.signal(signal.SIGUSR1, lambda *_: stop())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])


def _live(child: Child, parent: int) -> None:
    """The whole life of a child, in its process."""
    code = 1
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        libc.prctl(PR_SET_NAME, child.name.encode()[:15])
        if os.getppid() != parent:
            os._exit(code)  # it died before we asked to die with it
        for number in SIGNALS:
            # The group's SIGTERM is the workers' alone; the rest wait for SIGUSR1, which stays blocked until `when_told`.
            signal.signal(number, signal.SIG_DFL if child.drains else signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        child.run()
        code = 0
    except BaseException as error:
        log.exception("%s failed", child.name)
        report(error, source="server", process=child.name)
        journal.shut()
    finally:
        logging.shutdown()
        os._exit(code)
