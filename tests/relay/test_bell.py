"""The bell: with a Redis it is heard at once, without one nobody waits longer than the poll."""

import os
import socket
import threading
import time
from typing import Any

import pytest

from relay import bell

REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")


def redis_is_there() -> bool:
    try:
        socket.create_connection(("127.0.0.1", 6379), timeout=0.5).close()
    except OSError:
        return "TEST_REDIS_URL" in os.environ
    return True


@pytest.fixture
def away(settings: Any) -> None:
    """A Redis that refuses connections."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings.REDIS_URL = f"redis://127.0.0.1:{port}/0"


@pytest.mark.skipif(not redis_is_there(), reason="needs Redis")
def test_the_bell_wakes_a_listener_at_once(settings: Any) -> None:
    settings.REDIS_URL = REDIS
    listener = bell.Listener(threading.Event())
    try:
        listener.wait(0.2)  # subscribes
        ringer = threading.Timer(0.1, bell.ring)
        ringer.start()
        began = time.monotonic()
        listener.wait(10)
        assert time.monotonic() - began < 2
        ringer.join()
    finally:
        listener.close()


@pytest.mark.parametrize("there", [False, True])
def test_without_redis_or_while_it_is_away_a_listener_simply_waits(settings: Any, there: bool, request: Any) -> None:
    if there:
        request.getfixturevalue("away")
    else:
        settings.REDIS_URL = ""
    listener = bell.Listener(threading.Event())
    began = time.monotonic()
    listener.wait(0.2)
    listener.wait(0.2)
    assert 0.4 <= time.monotonic() - began < 2


def test_ringing_never_raises(away: None) -> None:
    bell.ring()


def test_a_listener_that_is_to_stop_does_not_wait(settings: Any) -> None:
    settings.REDIS_URL = ""
    stopping = threading.Event()
    stopping.set()
    began = time.monotonic()
    bell.Listener(stopping).wait(10)
    assert time.monotonic() - began < 1
