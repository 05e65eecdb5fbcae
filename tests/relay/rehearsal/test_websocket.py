"""The WebSocket form of Responses, read by the `websockets` library."""

from __future__ import annotations

import json

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from relay.rehearsal.server import FaultServer


@pytest.fixture
def url(upstream: FaultServer) -> str:
    return upstream.url.replace("http", "ws") + "/v1/responses"


def turn(socket: ClientConnection, model: str) -> list[str]:
    """The types of the events of one answer."""
    socket.send(json.dumps({"type": "response.create", "model": model, "input": "é" * 40}))
    kinds: list[str] = []
    while not kinds or kinds[-1] not in ("response.completed", "response.incomplete", "error"):
        kinds.append(json.loads(socket.recv(timeout=3))["type"])
    return kinds


def test_turns_follow_each_other_on_one_connection(url: str, upstream: FaultServer) -> None:
    with connect(url) as socket:
        assert turn(socket, "ok")[0] == "response.created"
        assert turn(socket, "length")[-1] == "response.incomplete"
        assert turn(socket, "error-later")[-1] == "error"
        assert socket.ping().wait(3)
    rows = upstream.wait_log(lambda rows: rows[-1].ended != "open")
    assert [(row.method, row.model, row.ordinal) for row in rows] == [
        ("WEBSOCKET", "ok", 1),
        ("WEBSOCKET", "length", 2),
        ("WEBSOCKET", "error-later", 3),
    ]
    assert rows[0].ended == "client-fin"


@pytest.mark.parametrize(
    ("model", "code", "reason"),
    [
        ("ws-close,code=1000", 1000, ""),
        ("ws-close,code=1001,reason=going away", 1001, "going away"),
        ("ws-close,code=1006", 1006, ""),
        ("ws-close,code=1009", 1009, ""),
        ("ws-close,code=1011,reason=keepalive ping timeout", 1011, "keepalive ping timeout"),
        ("ws-close,code=4003,reason=private", 4003, "private"),
        ("ws-close,after=0", 1011, ""),
        ("eof", 1000, ""),
        ("cut", 1006, ""),
        ("reset", 1006, ""),
    ],
)
def test_a_close_has_its_code(url: str, model: str, code: int, reason: str, upstream: FaultServer) -> None:
    with connect(url) as socket, pytest.raises(ConnectionClosed) as closed:
        turn(socket, model)
    received = closed.value.rcvd
    assert (received.code if received else 1006, received.reason if received else "") == (code, reason)
    assert upstream.log()[0].ended == "we-closed"


def test_big_messages_pass_both_ways(url: str) -> None:
    with connect(url, max_size=None) as socket:
        socket.send(json.dumps({"type": "response.create", "model": "big-event,bytes=70000", "input": "x" * 200_000}))
        messages = [json.loads(socket.recv(timeout=3)) for _ in range(5)]
        assert messages[4]["type"] == "response.output_text.delta" and len(messages[4]["delta"]) == 70_000


def test_bytes_that_are_no_whole_event_are_no_message(url: str) -> None:
    with connect(url) as socket:
        assert turn(socket, "split") == turn(socket, "crlf")
