"""One timer for all streams of a process: timeouts, heartbeats, early commitment, `live` lines, and the loop's own lag.

Nothing is scheduled per chunk or per stream; each tick walks the exchanges that have not ended.
"""

from __future__ import annotations

import asyncio
import logging

from django.conf import settings

from relay import metrics, watching
from relay.ending import Cause, Phase
from relay.exchange import LIVE, Exchange

TICK = 0.25  # seconds
HEARTBEAT_EVERY = 15.0
FINISH_SILENCE = 5.0  # silence after finish evidence that ends the answer
log = logging.getLogger(__name__)


class Watchdog:
    """Walks the live exchanges of its event loop four times a second."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.due = self.loop.time()
        self.looked, self.lag = self.due, 0.0  # when it last looked, and by how much that was late
        self.was_late = False
        self.sooner = 0.0  # seconds by which streams are told of before their time, while somebody looks at them

    def start(self) -> None:
        metrics.lookers.append(lambda: metrics.gauge("tasks", len(asyncio.all_tasks(self.loop))))
        self.due = self.loop.time() + TICK
        self.loop.call_at(self.due, self._tick)

    def late(self, now: float) -> float:
        """Seconds for which the loop has just stood still: what it learns now may be as old."""
        return max(now - self.due, 0.0) + (self.lag if now - self.looked < TICK else 0.0)

    def _tick(self) -> None:
        now = self.loop.time()
        lag = max(now - self.due, 0.0)
        self.looked, self.lag = now, lag
        # After a long stall of our own, what arrived meanwhile still lies unread: nobody is judged before it was.
        judges = lag <= TICK or self.was_late
        self.was_late = not judges
        self._look_at_all(now, lag, judges)
        metrics.publish(now)
        self.due = now + TICK
        self.loop.call_at(self.due, self._tick)

    def _look_at_all(self, now: float, lag: float, judges: bool) -> None:
        self.sooner = watching.SELDOM - watching.every(len(LIVE))
        for exchange in list(LIVE):
            if exchange.loop is not self.loop:
                continue
            try:
                self._look(exchange, now, lag, judges)
            except Exception:
                log.exception("the watchdog could not look after %s", exchange.request_id)

    def _look(self, exchange: Exchange, now: float, lag: float, judges: bool) -> None:
        if lag > 0.05:
            exchange.loop_lag = max(exchange.loop_lag, lag)
            exchange.wait_lag += lag
        exchange.mark_written(now)
        if now >= exchange.next_live or (self.sooner and now >= max(exchange.next_live - self.sooner, exchange.received + 1.0)):
            exchange.next_live = now + watching.SELDOM
            exchange.tell_live(now)
        if not judges:
            return
        if exchange.phase is Phase.RECEIVING and now - exchange.last_request_byte > settings.REQUEST_TIMEOUT:
            silent = now - exchange.last_request_byte
            exchange.stop(Cause.REQUEST_TIMEOUT, f"nothing of the request's body came for {silent:.1f} s", silent)
        upstream = exchange.upstream
        if upstream is None or exchange.client is None:
            return
        blocked = exchange.client.blocked_for(now)
        if blocked and (unread := exchange.client.unread_for(now)) > upstream.write_timeout:
            self._unread(exchange, unread)
        elif exchange.reading_since is not None and not blocked:
            self._times(exchange, now)
            self._heartbeat(exchange, now)

    def _unread(self, exchange: Exchange, seconds: float) -> None:
        if exchange.client is not None and exchange.client.vanished(seconds):
            exchange.stop(Cause.TCP_TIMEOUT, f"the client acknowledged nothing for {seconds:.1f} s", seconds)
        else:
            exchange.stop(Cause.WRITE_TIMEOUT, f"the client read nothing for {seconds:.1f} s", seconds)

    def _times(self, exchange: Exchange, now: float) -> None:
        upstream = exchange.upstream
        assert exchange.reading_since is not None
        silent = now - exchange.reading_since
        if upstream.total_timeout and now - exchange.received > upstream.total_timeout:
            exchange.stop(Cause.TOTAL_TIMEOUT, f"it took longer than {upstream.total_timeout:g} s", now - exchange.received)
        elif exchange.first_upstream_byte is None:
            asked = exchange.asked_at()
            if asked is not None and now - asked > upstream.first_byte_timeout:
                exchange.stop(Cause.FIRST_BYTE_TIMEOUT, f"no byte for {now - asked:.1f} s", now - asked)
        elif exchange.finish is not None and silent > FINISH_SILENCE:
            exchange.stop(Cause.EOF, "finish-silence", silent)
        elif silent > upstream.idle_timeout:
            exchange.stop(Cause.IDLE_TIMEOUT, f"no byte for {silent:.1f} s", silent)
        else:
            content = exchange.last_content or exchange.first_upstream_byte
            if now - content > upstream.stalled_timeout:
                exchange.stop(Cause.STALLED, f"no content for {now - content:.1f} s", now - content)

    def _heartbeat(self, exchange: Exchange, now: float) -> None:
        if not exchange.stream or exchange.opaque or exchange.client is None:
            return
        last = max(exchange.last_client_write or 0.0, exchange.last_heartbeat or 0.0)
        if exchange.headers_sent:
            if exchange.heartbeat_frame and now - (last or exchange.received) >= HEARTBEAT_EVERY:
                exchange.client.heartbeat(exchange.heartbeat_frame)
        elif exchange.upstream.commit_after and exchange.phase in (Phase.CONNECTING, Phase.WAITING):
            if now - exchange.received >= exchange.upstream.commit_after:
                exchange.client.heartbeat(exchange.heartbeat_frame)
