"""What is known of one request while it lasts: plain data, which `relay.exchange` writes to and the evidence is made of.

With slots: of so many attributes a dictionary would be several times as large and slower, for each stream that is open.
Times are seconds of the loop's monotonic clock, sizes are bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay.client_side import Client, ClientClose, WriteMarks
from relay.ending import Cause, Occurrence, Outcome, Phase, Verdict
from relay.record_id import new_record_id

if TYPE_CHECKING:
    from relay.capturing import Captured
    from relay.drill import Plan
    from relay.wire.events import Answer

LAST_EVENTS = 8  # of the upstream, kept as evidence


@dataclass(slots=True, eq=False)
class Attempt:
    """One try of one credential of one upstream."""

    upstream: str
    credential: str
    credential_id: int | None
    started: float
    ended: float | None = None
    reused: bool | None = None
    status: int | None = None
    outcome: Outcome | None = None
    cause: Cause | None = None
    detail: str = ""
    error_code: str | None = None
    next: str = ""  # why the next attempt was, or was not, made
    upstream_request_id: str | None = None
    connect_start: float | None = None
    connected: float | None = None
    request_sent: float | None = None


@dataclass(slots=True, eq=False)
class ExchangeState:
    """The facts of one request, from receipt to ending. Made where it is received: in its task."""

    method: str
    path: str
    client: Client | None = None
    loop: asyncio.AbstractEventLoop = field(init=False)
    task: asyncio.Task[Any] | None = field(init=False)
    received: float = field(init=False)
    received_at: float = field(init=False)  # epoch seconds
    last_request_byte: float = field(init=False)
    record_id: str = field(init=False)
    request_id: str = field(init=False)
    next_live: float = field(init=False)  # when it is to be told of again
    tag: str = ""
    client_request_id: str | None = None
    user_agent: str = ""
    peer: str = ""
    peer_kind: str = "direct"
    client_key: str = ""
    client_key_id: int | None = None
    model: str | None = None
    upstream_model: str | None = None
    stream: bool | None = None
    variant_hash: str | None = None
    drill: bool = False
    plan: Plan | None = None  # what a rehearsal brought with it (relay/drill.py)
    request_bytes: int = 0
    captured: Captured | None = None
    phase: Phase = Phase.RECEIVING
    # the upstream's side
    upstream: Any = None  # relay.routing.UpstreamSpec of the current attempt
    place: Any = None  # relay.balancing.Place, left at the end
    client_place: Any = None  # the same, among the requests of its client key
    attempts: list[Attempt] = field(default_factory=list)
    sending: dict[str, Any] = field(default_factory=dict)  # of the current attempt; its `connection` tells how far it has come
    opaque: bool = False  # a neighbouring path, whose answer is no stream of a protocol that we know
    answer: Answer | None = None
    routed: float | None = None
    upstream_headers: float | None = None
    first_upstream_byte: float | None = None
    last_upstream_byte: float | None = None
    last_content: float | None = None
    first_event: float | None = None
    terminal_event: float | None = None
    reading_since: float | None = None  # set while we wait for the upstream
    close_code: int | None = None  # of the upstream's WebSocket
    close_reason: str | None = None
    upstream_sockets: Any = None  # WebSockets to upstreams that hold this client's state (relay/consumers.py)
    upstream_bytes: int = 0
    upstream_chunks: int = 0
    gaps: list[float] = field(default_factory=list)
    gap_stride: int = 1
    median_gap: float | None = None  # known once it has ended
    longest_gap: float = 0.0
    longest_gap_at: float = 0.0
    last_events: deque[tuple[str, int, float]] = field(default_factory=lambda: deque(maxlen=LAST_EVENTS))
    last_event: str = ""
    upstream_excerpt: dict[str, Any] | None = None
    # the client's side
    headers_sent: bool = False
    committed: bool = False
    heartbeat_frame: bytes = b""
    stream_type: str = "text/event-stream; charset=utf-8"
    client_status: int | None = None
    client_close: ClientClose | None = None
    client_lag: float = 0.0  # seconds for which our loop had stood still when it learnt of that
    writing_since: float | None = None
    writing_size: int = 0  # bytes that are being written since then
    write_marks: WriteMarks | None = None
    longest_block: float = 0.0
    first_client_write: float | None = None
    last_client_write: float | None = None
    written_chunks: int = 0
    written_bytes: int = 0
    last_sent_event: str | None = None
    sent_terminal: bool = False
    heartbeats: int = 0
    first_heartbeat: float | None = None
    last_heartbeat: float | None = None
    block_event: str | None = None  # name of the last event in the block that is being sent
    block_terminal: bool = False  # whether that block ends the answer: the body ends with it
    # the end
    finish: Outcome | None = None
    evidence_ends: bool = False  # the client's protocol has no marker, and what the upstream sends goes to it as it is
    finish_reason: str = ""
    occurrences: list[Occurrence] = field(default_factory=list)
    interrupt: Occurrence | None = None  # what we stopped it for, until someone acts on it
    interrupt_wait: float = 0.0
    loop_lag: float = 0.0
    wait_lag: float = 0.0  # lag of the loop during the current wait
    notes: set[str] = field(default_factory=set)
    stack: str = ""
    verdict: Verdict | None = None
    ended: float | None = None

    def __post_init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.task = asyncio.current_task()
        self.received = self.last_request_byte = self.loop.time()
        self.received_at = time.time()
        self.next_live = self.received + 1.0
        self.record_id = new_record_id()
        self.request_id = f"req_{self.record_id.replace('-', '')}"
