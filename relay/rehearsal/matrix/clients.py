"""The client left, stopped reading, or was refused."""

from __future__ import annotations

from functools import partial

from relay.ending import Cause, Fault, Phase
from relay.rehearsal.matrix.row import END, FIRST, Client, Ends, Gets, Leaves
from relay.rehearsal.matrix.shapes import (
    BOTH,
    CHAT,
    WHOLE_ONLY,
    aborted,
    drops,
    rejected,
    undelivered,
)
from relay.rehearsal.matrix.upstreams import LIMITED_KEY

# The client left
silent = partial(aborted, script="silent", phase=Phase.WAITING, status=None, gets=Gets.NOTHING)
FIN, RESET, HALF = Leaves.FIN, Leaves.RESET, Leaves.HALF
flows = partial(aborted, phase=Phase.STREAMING, status=200, gets=Gets.PART)
LEFT = (
    *(
        silent(
            f"left-before-headers-{leaves.name.lower()}",
            f"client {leaves.value} before headers",
            cause=cause,
            modes=BOTH,
            client=Client(leaves, waits=0.4),
        )
        for leaves, cause in ((FIN, Cause.FIN), (RESET, Cause.CLIENT_RESET), (HALF, Cause.FIN))
    ),
    silent(
        "left-big-request",
        "client closes before headers, having sent 1 MB",
        cause=Cause.FIN,
        modes=BOTH,
        client=Client(FIN, waits=0.6, pads=1_000_000),
    ),
    *(
        silent(
            f"left-before-first-event-{leaves.name.lower()}",
            f"client {leaves.value} before the first event",
            script="headers-then-silence",
            cause=cause,
            client=Client(leaves, waits=0.4),
        )
        for leaves, cause in ((FIN, Cause.FIN), (RESET, Cause.CLIENT_RESET), (HALF, Cause.FIN))
    ),
    silent(
        "left-while-connecting",
        "client closes while the upstream is being connected",
        phase=Phase.CONNECTING,
        cause=Cause.FIN,
        upstream="ignores",
        modes=BOTH,
        client=Client(FIN, waits=0.2),
    ),
    *(
        silent(
            f"left-mid-whole-{leaves.name.lower()}",
            f"client {leaves.value} while a whole answer is read",
            script="idle",
            cause=cause,
            modes=WHOLE_ONLY,
            client=Client(leaves, waits=0.4),
        )
        for leaves, cause in ((FIN, Cause.FIN), (RESET, Cause.CLIENT_RESET))
    ),
    flows(
        "left-early",
        "client closes having got the early 200 and its heartbeat",
        script="silent",
        cause=Cause.FIN,
        phase=Phase.WAITING,
        upstream="early",
        client=Client(FIN, after=b"\r\n\r\n", waits=0.4, drains=True),
    ),
    silent(
        "left-behind-opening",
        "client closes behind opening events that were held",
        script="slow-then-content",
        cause=Cause.FIN,
        phase=Phase.STREAMING,
        client=Client(FIN, waits=0.2),
    ),
    *(
        flows(
            f"left-mid-stream-{leaves.name.lower()}",
            f"client {leaves.value} mid-stream, all delivered",
            script="idle,after=2",
            cause=cause,
            client=Client(leaves, after=FIRST, waits=0.4, drains=True),
        )
        for leaves, cause in ((FIN, Cause.FIN), (RESET, Cause.CLIENT_RESET), (HALF, Cause.FIN))
    ),
    flows(
        "left-flowing",
        "client closes mid-stream, reading at full speed",
        script="ok,events=4000,gap_ms=2",
        cause=Cause.FIN,
        client=Client(FIN, after=FIRST, waits=0.5, drains=True),
        either=(Cause.CLIENT_RESET,),  # when a byte came between its last read and its close
    ),
    flows(
        "left-paused-shortly",
        "client stops reading for 0.3 s, then resets",
        script="flood",
        cause=Cause.CLIENT_RESET,
        protocols=CHAT,
        client=Client(RESET, after=FIRST, waits=0.3, buffer=8192),
    ),
    flows(
        "left-after-silence",
        "client closes after 11 s of upstream silence: because of the upstream",
        script="idle,after=2",
        cause=Cause.FIN,
        fault=Fault.UPSTREAM,
        reason=r"1\d\.\d s of upstream silence",
        client=Client(FIN, after=FIRST, waits=11.2, drains=True),
    ),
    drops(
        "left-with-the-end",
        "client closes on reading the end",
        script="terminal-then-open",
        ends=Ends.LEFT,
        client=Client(FIN, after=END),
    ),
    drops(
        "reset-with-the-end",
        "client resets on reading the end",
        script="terminal-then-open",
        ends=Ends.LEFT,
        client=Client(RESET, after=END),
    ),
)

# The client stopped reading
stuck = partial(undelivered, script="flood", ends=Ends.LEFT, gets=Gets.PART)
STUCK = (
    stuck(
        "stuck-reset",
        "client stops reading for 3.5 s, then resets",
        cause=Cause.UNDELIVERED,
        client=Client(RESET, after=FIRST, waits=3.5, buffer=8192),
        reason=r"\d\.\d s",
    ),
    stuck(
        "stuck-fin",
        "client stops reading for 3.5 s, then half-closes",
        cause=Cause.UNDELIVERED,
        client=Client(HALF, after=FIRST, waits=3.5, buffer=8192),
        reason=r"\d\.\d s",
    ),
    stuck(
        "stuck-close",
        "client stops reading for 3.5 s, then closes with bytes unread",
        cause=Cause.UNDELIVERED,
        client=Client(FIN, after=FIRST, waits=3.5, buffer=8192),
        protocols=CHAT,
    ),
    stuck(
        "stuck-trickle",
        "client stops reading for 3.5 s while little is written, so that nothing blocks, then resets",
        script="ok,events=3000,size=2000,gap_ms=10",
        cause=Cause.UNDELIVERED,
        client=Client(RESET, after=FIRST, waits=3.5, buffer=8192),
        protocols=CHAT,
    ),
    drops(
        "reads-slowly",
        "client reads slowly, but for longer than the write timeout",
        script="flood,bytes=5000000",
        reference="flood,bytes=5000000",
        upstream="narrow",
        client=Client(after=FIRST, pace=20_000, buffer=16384),
        protocols=CHAT,
    ),
    stuck(
        "never-reads",
        "client reads nothing until the write timeout",
        cause=Cause.WRITE_TIMEOUT,
        upstream="narrow",
        ends=Ends.CUT,
        client=Client(after=FIRST, waits=4, buffer=8192),
        reason=r"2\.\d s",
    ),
    stuck(
        "vanishes",
        "client vanishes from the network",
        cause=Cause.TCP_TIMEOUT,
        upstream="narrow",
        client=Client(Leaves.VANISHES, after=FIRST, waits=4, buffer=8192),
        protocols=CHAT,
    ),
)

# Refused by us
asked = partial(rejected, script="ok", phase=Phase.ROUTING)
REJECTED = (
    *(
        rejected(
            f"left-while-sending-{leaves.name.lower()}",
            f"client {leaves.value} while sending its request",
            script="ok",
            cause=Cause.REQUEST_INCOMPLETE,
            phase=Phase.RECEIVING,
            status=None,
            gets=Gets.NOTHING,
            ends=Ends.LEFT,
            client=Client(leaves, sends=0.5, waits=0.3),
            modes=BOTH,
        )
        for leaves in (FIN, RESET, HALF)
    ),
    asked("bad-json", "bad JSON", cause=Cause.BAD_REQUEST, status=400, request={"": b'{"model": '}),
    asked("bad-json-array", "JSON that is no object", cause=Cause.BAD_REQUEST, status=400, request={"": b"[1]"}),
    asked("bad-json-encoding", "JSON that is no UTF-8", cause=Cause.BAD_REQUEST, status=400, request={"": b'{"model": "\xff"}'}),
    asked("empty-request", "no body", cause=Cause.BAD_REQUEST, status=400, request={"": b""}),
    asked("no-model", "no model", cause=Cause.BAD_REQUEST, status=400, request={"model": None}),
    asked("bad-model", "a model that is no text", cause=Cause.BAD_REQUEST, status=400, request={"model": 5}),
    asked("bad-stream", "`stream` that is no boolean", cause=Cause.BAD_REQUEST, status=400, request={"stream": "yes"}),
    asked("bad-key", "a bad key", cause=Cause.BAD_KEY, status=401, request={"key": "not-a-key"}),
    asked("no-key", "no key", cause=Cause.BAD_KEY, status=401, request={"key": ""}),
    asked(
        "forbidden-model",
        "a model that the key may not use",
        cause=Cause.FORBIDDEN_MODEL,
        status=403,
        request={"key": LIMITED_KEY},
    ),
    asked("unknown-model", "an unknown model", cause=Cause.NO_ROUTE, status=404, request={"model": "nobody-serves-this"}),
    asked(
        "switched-off",
        "everything on the route switched off",
        cause=Cause.NO_UPSTREAM_AVAILABLE,
        fault=Fault.OPERATOR,
        status=503,
        upstream="off",
    ),
    asked(
        "too-much",
        "a body over the limit",
        cause=Cause.BODY_TOO_LARGE,
        phase=Phase.RECEIVING,
        status=413,
        request={"": b""},
        client=Client(declares=100_000_000),
    ),
    asked(
        "stuck-while-sending",
        "client sends half of its request and no more",
        cause=Cause.REQUEST_TIMEOUT,
        phase=Phase.RECEIVING,
        status=408,
        client=Client(sends=0.5),
        modes=BOTH,
        reason=r"\d\.\d s",
    ),
)
