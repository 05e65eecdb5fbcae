"""The facts of one request, from receipt to ending.

An `Exchange` is written to by whoever learns something (handler, supervisor, watchdog, client connection) and read once,
by `finish_once()`, which is the only writer of the ending: the first call classifies and records, a later call returns the
same verdict. It is called from one place, the `finally` of the handler. Times are seconds of the loop's monotonic clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import median_high
from typing import Any

from relay import metrics, recorder
from relay.client_side import ClientClose, WriteMarks
from relay.ending import PHASE_ORDER, Cause, Facts, Occurrence, Phase, Verdict, classify
from relay.evidence import entry_of, evidence_of, saved_attempts
from relay.exchange_state import Attempt, ExchangeState

LIVE: set[Exchange] = set()  # every exchange of this process that has not ended
metrics.lookers.append(lambda: metrics.gauge("in_flight", len(LIVE)))
CLIENT_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}\Z")
CHUNK_FRAME = len(b"1f4\r\n\r\n")  # of most chunks (RFC 9112, 7.1)
MAX_GAPS = 4096  # gaps kept for the median; a stream longer than that keeps every second one


class Exchange(ExchangeState):
    """One request of a client. Public attributes are facts; methods note what happened."""

    __slots__ = ()

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
            self.write_marks.mark(now, self._on_the_wire())

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

    def _on_the_wire(self) -> int:
        """What was written, with what frames it: the kernel counts that, too."""
        return self.written_bytes + self.written_chunks * CHUNK_FRAME

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
        written = self._on_the_wire() + (self.writing_size if self.writing_since is not None else 0)
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
