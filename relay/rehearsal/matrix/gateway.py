"""What happens to the gateway itself: it is stopped, killed, short of something, or wrong. test_staged.py stages these rows."""

from __future__ import annotations

from functools import partial

from relay.ending import Cause, Fault, Outcome, Phase
from relay.rehearsal.matrix.row import FIRST, Client, Ends, Gets, Row
from relay.rehearsal.matrix.shapes import CHAT, completed, drops

ours = partial(Row, fault=Fault.RELAY, protocols=CHAT)
shut_down = partial(ours, outcome=Outcome.RELAY_SHUTDOWN, cause=Cause.DRAIN_DEADLINE)
lost = partial(ours, outcome=Outcome.RELAY_LOST, cause=Cause.CRASH)
mistaken = partial(ours, outcome=Outcome.RELAY_ERROR)

STOPPED = (
    drops("drain-finishes", "SIGTERM; the stream finishes in the drain time", script="mid-silence,seconds=1.5", protocols=CHAT),
    shut_down(
        "drain-deadline",
        "SIGTERM; the stream does not finish in time",
        script="idle,after=2",
        reference="eof,after=2",
        phase=Phase.STREAMING,
        status=200,
        gets=Gets.TOLD,
        reason=r"\d\.\d s",
    ),
    shut_down("drain-waiting", "the same, before any header", script="silent", phase=Phase.WAITING, status=503, gets=Gets.ERROR),
    shut_down(
        "drain-blocked",
        "the same, with a client that does not read",
        script="flood",
        phase=Phase.STREAMING,
        status=200,
        gets=Gets.PART,
        ends=Ends.CUT,
        client=Client(after=FIRST, waits=6, buffer=8192),
    ),
    shut_down(
        "drain-receiving",
        "the same, with half of the request received",
        script="ok",
        phase=Phase.RECEIVING,
        status=503,
        gets=Gets.ERROR,
        client=Client(sends=0.5),
    ),
)
ORDERED = (
    Row(
        "operator-kill",
        "an operator ends the stream",
        outcome=Outcome.RELAY_SHUTDOWN,
        cause=Cause.OPERATOR_KILL,
        phase=Phase.STREAMING,
        fault=Fault.OPERATOR,
        status=200,
        gets=Gets.TOLD,
        script="idle,after=2",
        reference="eof,after=2",
        protocols=CHAT,
    ),
)
KILLED = (
    lost(
        "killed",
        "`kill -9` of every process, found at the next start",
        script="idle,after=2",
        reference="eof,after=2",
        phase=Phase.STREAMING,
        status=200,
        gets=Gets.PART,
        ends=Ends.CUT,
    ),
)
WRONG = (
    mistaken(
        "bug-first",
        "an exception in our own code before any header",
        script="ok,bug=first",
        cause=Cause.BUG,
        phase=Phase.WAITING,
        status=500,
        gets=Gets.ERROR,
    ),
    mistaken(
        "bug-later",
        "an exception in our own code in the stream",
        script="ok,bug=later,gap_ms=50",
        cause=Cause.BUG,
        phase=Phase.STREAMING,
        status=200,
        gets=Gets.TOLD_SO_FAR,
    ),
)
SHORT = (
    mistaken(
        "no-descriptor",
        "no file descriptor left for the upstream",
        script="ok",
        cause=Cause.RELAY_EXHAUSTED,
        phase=Phase.CONNECTING,
        status=503,
        gets=Gets.ERROR,
    ),
    ours(
        "our-own-lag",
        "silence past the idle timeout, most of which our own process stood still: our fault",
        outcome=Outcome.UPSTREAM_ERROR,
        script="idle,after=2",
        reference="eof,after=2",
        cause=Cause.IDLE_TIMEOUT,
        phase=Phase.STREAMING,
        status=200,
        gets=Gets.TOLD,
        upstream="lagging",
        reason=r"lagged \d\.\d s of the \d\.\d s",
    ),
    drops(
        "stood-still",
        "our own process stands still past the idle timeout, and the rest had come meanwhile",
        script="mid-silence,seconds=1",
        protocols=CHAT,
        upstream="lagging",
    ),
    completed("database-locked", "the database locked by another writer", script="ok", protocols=CHAT, gets=Gets.WHOLE),
)
STAGED = (*STOPPED, *ORDERED, *KILLED, *WRONG, *SHORT)
