"""The facts of one request, from receipt to ending.

An `Exchange` is written to by whoever learns something (handler, supervisor, watchdog, client connection) and read once,
by `finish_once()`, which is the only writer of the ending: the first call classifies and records, a later call returns the
same verdict. It is called from one place, the `finally` of the handler. Times are seconds of the loop's monotonic clock.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Mapping
from statistics import median_high
from typing import TYPE_CHECKING, Any

from relay import metrics, recorder
from relay.client_side import Client, ClientClose, WriteMarks
from relay.ending import PHASE_ORDER, Cause, Facts, Occurrence, Outcome, Phase, Verdict, classify
from relay.evidence import entry_of, evidence_of, saved_attempts

if TYPE_CHECKING:
    from relay.capturing import Captured
    from relay.drill import Plan
    from relay.wire.events import Answer

LIVE: set[Exchange] = set()  # every exchange of this process that has not ended
metrics.lookers.append(lambda: metrics.gauge("in_flight", len(LIVE)))
CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
MAX_GAPS = 4096  # gaps kept for the median; a stream longer than that keeps every second one


class Attempt:
    """One try of one credential of one upstream."""

    __slots__ = (
        "cause",
        "connect_start",
        "connected",
        "credential",
        "credential_id",
        "detail",
        "ended",
        "error_code",
        "next",
        "outcome",
        "request_sent",
        "reused",
        "started",
        "status",
        "upstream",
        "upstream_request_id",
    )

    def __init__(self, upstream: str, credential: str, credential_id: int | None, started: float) -> None:
        self.upstream = upstream
        self.credential = credential
        self.credential_id = credential_id
        self.started = started
        self.ended: float | None = None
        self.reused: bool | None = None
        self.status: int | None = None
        self.outcome: Outcome | None = None
        self.cause: Cause | None = None
        self.detail = ""
        self.error_code: str | None = None
        self.next = ""  # why the next attempt was, or was not, made
        self.upstream_request_id: str | None = None
        self.connect_start: float | None = None
        self.connected: float | None = None
        self.request_sent: float | None = None


class Exchange:
    """One request of a client. Public attributes are facts; methods note what happened."""

    def __init__(self, method: str, path: str, client: Client | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.received = self.loop.time()
        self.received_at = time.time()
        self.last_request_byte = self.received
        self.record_id = recorder.new_record_id()
        self.request_id = f"req_{self.record_id.replace('-', '')}"
        self.task = asyncio.current_task()
        self.client = client
        self.method = method
        self.path = path
        self.tag = ""
        self.client_request_id: str | None = None
        self.user_agent = ""
        self.peer = ""
        self.peer_kind = "direct"
        self.client_key = ""
        self.client_key_id: int | None = None
        self.model: str | None = None
        self.upstream_model: str | None = None
        self.stream: bool | None = None
        self.variant_hash: str | None = None
        self.drill = False
        self.plan: Plan | None = None  # what a rehearsal brought with it (relay/drill.py)
        self.request_bytes = 0
        self.captured: Captured | None = None
        self.phase = Phase.RECEIVING
        # the upstream's side
        self.upstream: Any = None  # relay.routing.UpstreamSpec of the current attempt
        self.place: Any = None  # relay.balancing.Place, left at the end
        self.client_place: Any = None  # the same, among the requests of its client key
        self.attempts: list[Attempt] = []
        self.sending: dict[str, Any] = {}  # of the current attempt; its `connection` tells how far it has come
        self.opaque = False  # a neighbouring path, whose answer is no stream of a protocol that we know
        self.answer: Answer | None = None
        self.routed: float | None = None
        self.upstream_headers: float | None = None
        self.first_upstream_byte: float | None = None
        self.last_upstream_byte: float | None = None
        self.last_content: float | None = None
        self.first_event: float | None = None
        self.terminal_event: float | None = None
        self.reading_since: float | None = None  # set while we wait for the upstream
        self.close_code: int | None = None  # of the upstream's WebSocket
        self.close_reason: str | None = None
        self.upstream_sockets: Any = None  # WebSockets to upstreams that hold this client's state (relay/consumers.py)
        self.upstream_bytes = 0
        self.upstream_chunks = 0
        self.gaps: list[float] = []
        self.gap_stride = 1
        self.median_gap: float | None = None  # known once it has ended
        self.longest_gap = 0.0
        self.longest_gap_at = 0.0
        self.last_events: deque[tuple[str, int, float]] = deque(maxlen=8)
        self.last_event = ""
        self.upstream_excerpt: dict[str, Any] | None = None
        # the client's side
        self.headers_sent = False
        self.committed = False
        self.heartbeat_frame = b""
        self.stream_type = "text/event-stream; charset=utf-8"
        self.client_status: int | None = None
        self.client_close: ClientClose | None = None
        self.client_lag = 0.0  # seconds for which our loop had stood still when it learnt of that
        self.writing_since: float | None = None
        self.writing_size = 0  # bytes that are being written since then
        self.write_marks: WriteMarks | None = None
        self.longest_block = 0.0
        self.first_client_write: float | None = None
        self.last_client_write: float | None = None
        self.written_chunks = 0
        self.written_bytes = 0
        self.last_sent_event: str | None = None
        self.sent_terminal = False
        self.heartbeats = 0
        self.first_heartbeat: float | None = None
        self.last_heartbeat: float | None = None
        self.block_event: str | None = None  # name of the last event in the block that is being sent
        self.block_terminal = False  # whether that block ends the answer: the body ends with it
        # the end
        self.finish: Outcome | None = None
        self.evidence_ends = False  # the client's protocol has no marker, and what the upstream sends goes to it as it is
        self.finish_reason = ""
        self.occurrences: list[Occurrence] = []
        self.interrupt: Occurrence | None = None  # what we stopped it for, until someone acts on it
        self.interrupt_wait = 0.0
        self.loop_lag = 0.0
        self.wait_lag = 0.0  # lag of the loop during the current wait
        self.notes: set[str] = set()
        self.stack = ""
        self.verdict: Verdict | None = None
        self.ended: float | None = None
        self.next_live = self.received + 1.0

    # what happened

    def begin(self) -> None:
        """It is accepted: from here on it is live, and has an ending whatever happens. Its headers are known by now."""
        LIVE.add(self)
        recorder.record_open(self.record_id, self.received_at, entry_of(self))

    def tell_live(self, now: float) -> None:
        """It is still open: what is known of it by now."""
        recorder.record_live(self.record_id, self.received_at + (now - self.received), entry_of(self))

    def enter(self, phase: Phase) -> None:
        """Goes on to `phase`; another attempt may go back to connecting, nothing else goes back."""
        if PHASE_ORDER[phase] > PHASE_ORDER[self.phase] or phase is Phase.CONNECTING:
            self.phase = phase

    def note(self, cause: Cause, detail: str = "", at: float | None = None) -> None:
        """Notes one thing that would end the request."""
        moment = (self.loop.time() if at is None else at) - self.received
        self.occurrences.append(Occurrence(moment, cause, detail))

    def begin_attempt(self, upstream: Any, credential: Any) -> Attempt:
        """Resets what belongs to one attempt and starts the next."""
        now = self.loop.time()
        self.upstream = upstream
        self.upstream_headers = self.first_upstream_byte = self.last_upstream_byte = None
        self.first_event = self.terminal_event = self.last_content = None
        self.close_code = self.close_reason = None
        self.interrupt_wait = 0.0
        self.upstream_bytes = self.upstream_chunks = 0
        self.last_events.clear()
        attempt = Attempt(upstream.name, credential.label, credential.id, now)
        self.attempts.append(attempt)
        self.sending = {}
        self.phase = Phase.CONNECTING
        return attempt

    def asked_at(self) -> float | None:
        """When the upstream had been asked, as far as it could be; None while the connection is still being made."""
        facts = self.sending.get("connection")
        if facts is None:
            return None
        if facts.request_sent is not None:
            if self.phase is Phase.CONNECTING:
                self.phase = Phase.WAITING
            return facts.request_sent  # type: ignore[no-any-return]
        if facts.connected is not None:  # a long request may be stuck on its way
            return facts.connected  # type: ignore[no-any-return]
        return self.attempts[-1].started if facts.reused else None

    def upstream_closed(self, code: int, reason: str) -> None:
        """The upstream closed its WebSocket; 1006: without a close frame."""
        self.close_code, self.close_reason = code, reason[:200]

    def upstream_unanswered(self, seconds: float) -> None:
        """The upstream has not answered a ping of ours for so long, and is given up."""
        self.interrupt_wait = seconds

    def begin_read(self, now: float | None = None) -> None:
        """The upstream is waited for: before each read, and where what comes is passed on without one."""
        self.reading_since = self.loop.time() if now is None else now
        self.wait_lag = 0.0

    def upstream_sent(self, size: int) -> float:
        """`size` bytes of the body came (0 = its end). Returns the time."""
        now = self.loop.time()
        self.reading_since = None
        if not size:
            return now
        previous = self.last_upstream_byte
        if previous is None:
            self.first_upstream_byte = now
        else:
            gap = now - previous
            if gap > self.longest_gap:
                self.longest_gap, self.longest_gap_at = gap, previous
            if self.upstream_chunks % self.gap_stride == 0:
                self.gaps.append(gap)
                if len(self.gaps) >= MAX_GAPS:
                    del self.gaps[::2]
                    self.gap_stride *= 2
        self.last_upstream_byte = now
        self.upstream_bytes += size
        self.upstream_chunks += 1
        return now

    def event(self, name: str, size: int, now: float) -> None:
        """One upstream event was parsed."""
        if self.first_event is None:
            self.first_event = now
            self.enter(Phase.STREAMING)
        self.last_event = name
        self.last_events.append((name, size, now))

    def sent(self, data: bytes, now: float) -> None:
        """These bytes of the body were written, and the client was still there."""
        if self.writing_since is not None:
            blocked = now - self.writing_since
            if blocked > self.longest_block:
                self.longest_block = blocked
            self.writing_since = None
        if self.first_client_write is None:
            self.first_client_write = now
        self.last_client_write = now
        self.written_chunks += 1
        self.written_bytes += len(data)
        if self.captured is not None:
            self.captured.sent(data)
        if self.block_event is not None:
            self.last_sent_event = self.block_event
        if self.block_terminal:
            self.sent_terminal = True

    def mark_written(self, now: float) -> None:
        """Notes how much has been written by now; called some times a second."""
        if self.written_bytes:
            if self.write_marks is None:
                self.write_marks = WriteMarks()
            self.write_marks.mark(now, self.written_bytes)

    # who ends it

    def client_left(self, close: ClientClose) -> None:
        """The client's connection ended; the first report counts. Cancels the work unless the answer was sent."""
        if self.client_close is not None or self.verdict is not None:
            return
        self.client_close = close
        self.client_lag = self.client.loop_lag(self.loop.time()) if self.client is not None else 0.0
        self.note(close.cause, close.detail)
        if self.task is not None and not self.sent_terminal:
            self.task.cancel()
        if self.evidence_ends and self.finish is not None and self.writing_since is None:
            self.sent_terminal = True  # it had read that the answer is whole, and nothing tells it more

    def stop(self, cause: Cause, detail: str = "", waited: float = 0.0) -> None:
        """We end it, or the current attempt: wakes whatever the exchange waits for. The first reason counts."""
        if self.interrupt is not None or self.verdict is not None or self.client_close is not None:
            return
        if self.sent_terminal or self.task is None:
            return
        self.interrupt = Occurrence(self.loop.time() - self.received, cause, detail)
        self.interrupt_wait = waited
        self.task.cancel()

    def take_interrupt(self) -> Occurrence | None:
        """Whoever caught the `CancelledError` asks whose it was: ours (returned, and the task lives on), or not (None)."""
        if self.client_close is not None or self.interrupt is None:
            return None
        occurrence, self.interrupt = self.interrupt, None
        if self.task is not None:
            self.task.uncancel()
        return occurrence

    # the end

    def facts(self) -> Facts:
        """All that the verdict depends on."""
        now = self.ended or self.loop.time()
        attempt = self.attempts[-1] if self.attempts else None
        close = self.client_close
        silent_since = self.last_upstream_byte or (attempt.request_sent or attempt.started if attempt else None)
        silence = now - silent_since if silent_since is not None and self.reading_since is not None else 0.0
        blocked = close.blocked_for if close else 0.0
        if self.writing_since is not None:
            blocked = max(blocked, now - self.writing_since)
        return Facts(
            phase=self.phase,
            occurrences=tuple(self.occurrences),
            finish=self.finish,
            finish_reason=self.finish_reason,
            terminal_sent=self.sent_terminal,
            upstream_status=attempt.status if attempt else None,
            reused_connection=bool(attempt and attempt.reused),
            upstream_bytes=self.upstream_bytes,
            ended_at=now - self.received,
            upstream_silence=silence,
            median_gap=self.median_gap or 0.0,
            blocked_writing=max(blocked - self.client_lag, 0.0),
            unsent_for=max(self._unsent_for(now) - self.client_lag, 0.0),
            write_errno=close.write_errno if close else "",
            stop_wait=self.interrupt_wait,
            loop_lag=self.wait_lag,
        )

    def _unsent_for(self, now: float) -> float:
        """Seconds for which bytes had lain unsent at the least when the client's connection closed.

        That is since the last write; or, with writes going on, since the oldest of those bytes was written, as far as the
        kernel says that the client's window was closed for so long: the network alone may be slow, too.
        """
        close = self.client_close
        if close is None or self.last_client_write is None:
            return 0.0
        unsent = (close.not_sent or 0) + close.write_buffer
        if not unsent:
            return 0.0
        written = self.written_bytes + (self.writing_size if self.writing_since is not None else 0)
        oldest = self.write_marks.age(now, written - unsent) if self.write_marks is not None else 0.0
        return max(now - self.last_client_write, min(close.window_closed, oldest))

    def finish_once(self) -> Verdict:
        """Decides and records how it ended; a later call returns the first verdict. Never raises."""
        if self.verdict is not None:
            return self.verdict
        self.ended = self.loop.time()
        LIVE.discard(self)
        for place in (self.place, self.client_place):
            if place is not None:
                place.leave()
        self.median_gap = median_high(self.gaps) if self.gaps else None
        if self.interrupt is not None:
            self.occurrences.append(self.interrupt)
        verdict = self.verdict = classify(self.facts())
        attempt = self.attempts[-1] if self.attempts else None
        if attempt is not None and attempt.outcome is None:
            attempt.ended, attempt.outcome, attempt.cause = self.ended, verdict.outcome, verdict.cause
        recorder.record_stream_close(
            recorder.Ending(
                verdict=verdict,
                evidence=evidence_of(self, verdict, len(LIVE)),
                entry=entry_of(self, verdict),
                egress=saved_attempts(self, verdict),
                stack=self.stack,
                record_id=self.record_id,
            )
        )
        metrics.ended(self, verdict)
        self.task = self.client = None
        return verdict


def record_call(at: float, entry: Mapping[str, Any]) -> None:
    """Records a call that no client asked for, such as trying a credential; never raises.

    It has no exchange, but it goes through the same door: nothing else imports the recorder.
    """
    record = recorder.new_record_id()
    recorder.record_egress(record, at, {"request_id": record, "time": at, **entry})
