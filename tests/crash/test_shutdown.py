"""SIGTERM: the balancer is told first, streams have the drain time, each is told before it is cut, and the exit code is 0."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable

import httpx
import pytest

from tests.crash.conftest import Caller, processes, recorded, until
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
ASK = {"model": "ok", "stream": True, "messages": []}


def stop(gateway: Gateway) -> None:
    gateway.process.send_signal(signal.SIGTERM)


def test_a_long_grace_lets_streams_finish_and_refuses_new_ones_in_words(start: Callable[..., Gateway]) -> None:
    gateway = start(DRAIN_SECONDS="20", WORKERS="2")
    caller = Caller(gateway, "ok,events=40,gap_ms=50", "finishes")
    caller.wait_for(b"data:")
    stop(gateway)
    # on connections of their own: one that is kept alive may be closed under the request, by a worker that has nothing to drain
    ready = until(lambda: answer if (answer := httpx.get(f"{gateway.url}/readyz")).status_code == 503 else None)
    assert ready.json()["checks"] == {"database": True, "journal": True, "accepting": False}
    assert "Service Unavailable" not in gateway.output.read_text()  # a drain is no error of ours
    assert httpx.get(f"{gateway.url}/healthz").status_code == 200
    refused = httpx.post(
        f"{gateway.url}/v1/chat/completions",
        json=ASK,
        headers={"authorization": f"Bearer {KEY}", "x-request-id": "too-late"},
    )
    assert (refused.status_code, refused.headers["connection"]) == (503, "close")
    assert "shutting down" in refused.json()["error"]["message"]
    for _ in range(3):
        os.killpg(gateway.process.pid, signal.SIGTERM)  # again, and to the whole group
        time.sleep(0.05)
    caller.wait()
    assert caller.done
    began = time.monotonic()
    assert gateway.process.wait(20) == 0
    assert time.monotonic() - began < 10, "it waited on though nothing was in flight"
    assert recorded(gateway, "finishes").outcome == "completed"
    assert recorded(gateway, "too-late")[:3] == ("rejected", "draining", "relay")


def test_a_connection_that_has_asked_nothing_yet_gets_its_refusal_and_no_reset(start: Callable[..., Gateway]) -> None:
    gateway = start(DRAIN_SECONDS="0")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as fresh:
        time.sleep(0.2)  # the worker has it
        stop(gateway)
        time.sleep(0.2)  # and knows of the stop
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: 2\r\n\r\n{{}}"
        fresh.sendall(head.encode())
        assert fresh.recv(65_536).startswith(b"HTTP/1.1 503 ")
    assert gateway.process.wait(20) == 0


def test_a_short_grace_tells_whoever_still_can_be_told(start: Callable[..., Gateway]) -> None:
    gateway = start(DRAIN_SECONDS="1")
    streaming = Caller(gateway, "idle,after=2", "streaming")
    silent = Caller(gateway, "silent", "before-headers")
    blocked = Caller(gateway, "flood", "blocked", read=False)
    streaming.wait_for(b"data:")
    until(lambda: gateway.api.get("/metrics").text.count("epitaph_in_flight 3"))
    time.sleep(0.5)  # the flood fills every buffer on its way
    stop(gateway)
    assert b'data: {"error"' in streaming.wait()
    assert streaming.told.endswith(b"0\r\n\r\n")
    silent.wait()
    assert silent.status == 503
    assert gateway.process.wait(20) == 0
    blocked.thread.start()
    blocked.wait()
    assert not blocked.done
    for caller in (streaming, silent, blocked):
        ending = recorded(gateway, caller.name)
        assert ending[:3] == ("relay-shutdown", "drain-deadline", "relay")
        assert ending.events == ["StreamRelayShutdown"]


def test_without_grace_it_ends_at_once_and_still_tells(start: Callable[..., Gateway]) -> None:
    gateway = start(DRAIN_SECONDS="0")
    caller = Caller(gateway, "idle,after=2", "at-once")
    caller.wait_for(b"data:")
    gateway.process.send_signal(signal.SIGINT)
    assert b'data: {"error"' in caller.wait()
    assert gateway.process.wait(20) == 0
    assert recorded(gateway, "at-once").outcome == "relay-shutdown"


def test_a_worker_that_is_killed_while_it_drains_loses_its_streams_and_the_stop_goes_on(start: Callable[..., Gateway]) -> None:
    gateway = start(DRAIN_SECONDS="20", WORKERS="2")
    caller = Caller(gateway, "ok,events=200,gap_ms=100", "killed-draining")
    caller.wait_for(b"data:")
    stop(gateway)
    (left,) = until(lambda: one if len(one := [n for n in processes(gateway) if n.startswith("worker")]) == 1 else None)
    children = processes(gateway)
    os.kill(children["shipper"], signal.SIGKILL)  # both at once: what is left must still be shipped, so it comes again
    os.kill(children[left], signal.SIGKILL)
    assert gateway.process.wait(20) == 0
    assert recorded(gateway, "killed-draining").outcome == "relay-lost"
