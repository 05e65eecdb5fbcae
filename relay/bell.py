"""The bell that tells other processes at once that the configuration changed, when there is a Redis to carry it.

Only a hint: who misses it finds the new version by polling (relay/routing.py). So nothing here ever raises, and a Redis
that is away costs the one who rings at most half a second.
"""

import logging
import threading
from typing import TYPE_CHECKING, Any

from django.conf import settings

if TYPE_CHECKING:
    import redis

CHANNEL = "epitaph:configuration"
PATIENCE = 0.5  # seconds for anything that Redis is asked
RETRY_AFTER = 5.0  # seconds before a Redis that was away is tried again

logger = logging.getLogger(__name__)


def ring() -> None:
    """Say that the configuration changed."""
    if not settings.REDIS_URL:
        return
    try:
        with _client() as client:
            client.publish(CHANNEL, "changed")
    except _failures() as error:
        logger.info("Redis did not carry the news of a changed configuration (%s); it is polled.", type(error).__name__)


class Listener:
    """Waits for the bell; without Redis, or while it is away, simply waits. For one thread."""

    def __init__(self, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._subscription: Any = None
        self._pause = 0.0  # seconds before the next try to subscribe

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or sooner when the bell rang or the thread is to stop."""
        if not settings.REDIS_URL or not self._subscribe():
            self._pause -= seconds
            self._stopped.wait(seconds)
            return
        try:
            self._subscription.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except _failures():
            self.close()
            self._stopped.wait(seconds)

    def close(self) -> None:
        """Let go of the connection."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            try:
                subscription.close()
            except _failures():
                pass

    def _subscribe(self) -> bool:
        if self._subscription is None and self._pause <= 0:
            try:
                subscription = _client().pubsub()
                subscription.subscribe(CHANNEL)
                self._subscription = subscription
            except _failures():
                self._pause = RETRY_AFTER
        return self._subscription is not None


def _failures() -> tuple[type[Exception], ...]:
    """What may go wrong with a Redis, its address included."""
    import redis

    return redis.RedisError, OSError, ValueError


def _client() -> "redis.Redis":
    import redis  # here, since only who has a Redis needs its library: a tenth of a process's start and 10 MB

    return redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=PATIENCE, socket_timeout=PATIENCE)
