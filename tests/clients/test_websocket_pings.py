"""Pings while a turn runs, both ways, on real sockets: who answers is waited for, who does not is given up by us.

The client here answers pings only when told to; the gateway pings every second and waits a second for the answer.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from relay.rehearsal.server import FaultServer
from tests.clients.test_websocket import ENDS, last_entry
from tests.gateways import KEY, Gateway, usual

pytestmark = pytest.mark.gateway


class Client:
    """A connection of which each frame is seen; `answers`: whether its pongs are sent."""

    def __init__(self, gateway: Gateway, answers: bool, headers: dict[str, str] | None = None) -> None:
        self.answers = answers
        self.pings = 0
        self.close_code: int | None = None
        self.events: list[dict[str, Any]] = []
        self._socket = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
        self._protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{gateway.port}/v1/responses"))
        request = self._protocol.connect()
        request.headers.update(headers if headers is not None else {"Authorization": f"Bearer {KEY}"})
        self._protocol.send_request(request)
        self._send()
        self.answer = next(self._frames())

    def ask(self, model: str) -> None:
        """Asks for a turn, and reads until its end or the connection's."""
        message = {"type": "response.create", "model": model, "input": "Hi."}
        self._protocol.send_text(json.dumps(message).encode())
        self._send()
        for frame in self._frames():
            if isinstance(frame, Frame) and frame.opcode is Opcode.TEXT:
                self.events.append(json.loads(frame.data))
                if self.events[-1]["type"] in ENDS:
                    return

    def _send(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)

    def _frames(self) -> Iterator[Any]:
        while data := self._socket.recv(65536):
            self._protocol.receive_data(data)
            for frame in self._protocol.events_received():
                self.pings += isinstance(frame, Frame) and frame.opcode is Opcode.PING
                yield frame
            if self._protocol.close_rcvd is not None:
                self.close_code = self._protocol.close_rcvd.code
                return
            pongs = self._protocol.data_to_send()
            if self.answers:
                for pong in pongs:
                    self._socket.sendall(pong)


def test_a_client_that_answers_is_pinged_all_through_a_long_turn(brisk: Gateway) -> None:
    client = Client(brisk, answers=True)
    client.ask("responses/mid-silence,after=2,seconds=1.9,size=7")
    assert client.events[-1]["type"] == "response.completed"
    assert client.pings >= 1
    started = time.monotonic()
    client.ask("socket/slow-then-content,seconds=1.9,size=7")  # behind two sockets, and longer than any pong may take
    assert client.events[-1]["type"] == "response.completed"
    assert time.monotonic() - started > 1.5


def test_a_client_that_answers_none_is_given_up_and_its_upstream_let_go(brisk: Gateway, upstream: FaultServer) -> None:
    upstream.clear_log()
    model = "responses/idle,after=2,size=8"
    client = Client(brisk, answers=False)
    client.ask(model)
    assert (client.pings, client.close_code) == (1, 1011)
    entry = last_entry(brisk, model)
    assert (entry["outcome"], entry["cause"], entry["fault"]) == ("client-write-failed", "tcp-timeout", "client")
    assert entry["error"].endswith("the client answered no ping for 1 s")
    assert entry["evidence"]["client_socket"]["closed"] == "no-pong"
    assert len(brisk.events(entry["request_id"])) == 1
    upstream.wait_log(lambda rows: rows[-1].ended != "open", seconds=1)


def test_an_upstream_is_pinged_all_through_a_long_turn(brisk: Gateway, upstream: FaultServer) -> None:
    upstream.clear_log()
    answer = stream(brisk, "socket/slow-then-content,seconds=1.9,size=9")
    assert b"event: response.completed" in answer.content
    assert upstream.wait_log(lambda rows: rows[-1].ended != "open")[-1].pings >= 1


def test_an_upstream_that_answers_none_is_given_up_by_us(brisk: Gateway, upstream: FaultServer) -> None:
    upstream.clear_log()
    answer = stream(brisk, "slow-socket/no-pong,after=2")
    assert b"event: response.failed" in answer.content
    entry = brisk.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["fault"]) == ("upstream-error", "idle-timeout", "upstream")
    assert entry["error"].endswith("the upstream answered no ping for 1 s")
    assert "close_code" not in entry["evidence"]
    assert entry["fault_reason"] == "the upstream was given 1.0 s"
    assert len(brisk.events(entry["request_id"])) == 1
    upstream.wait_log(lambda rows: rows[-1].ended != "open", seconds=1)


def stream(gateway: Gateway, model: str) -> httpx.Response:
    body = {"model": model, "input": "Hi.", "stream": True}
    return httpx.post(f"{gateway.url}/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=20)


@pytest.mark.parametrize("key", [KEY, "nobody"])
def test_where_websockets_are_switched_off_an_upgrade_is_told_to_use_http(
    upstream: FaultServer, without_websockets: Gateway, key: str
) -> None:
    upstream.clear_log()
    answer = Client(without_websockets, True, {"Authorization": f"Bearer {key}"}).answer
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "HTTP/1.1")
    error = json.loads(answer.body)["error"]
    assert "use HTTP" in error["message"]
    entry = without_websockets.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["client_status"]) == ("rejected", "bad-request", 426)
    assert not upstream.log()
    assert stream(without_websockets, "responses/ok").status_code == 200


@pytest.fixture(scope="module")
def without_websockets(upstream: FaultServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    running = Gateway(tmp_path_factory.mktemp("http"), usual(upstream.url), RESPONSES_WEBSOCKET="off")
    yield running
    running.stop()
