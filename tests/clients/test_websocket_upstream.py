"""An upstream whose address is a WebSocket's: streams go through it, from any client; its close codes are on record."""

from __future__ import annotations

import httpx
import pytest

from relay.rehearsal.server import FaultServer
from tests.clients.hearing import CLIENTS, ERRORS
from tests.clients.test_websocket import last_entry, open_socket, turn
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway


@pytest.mark.parametrize("model", ["ok", "tools", "reasoning", "length"])
@pytest.mark.parametrize("client", ["responses", "chat", "messages"])
def test_a_stream_through_it_is_heard_as_over_http(gateway: Gateway, upstream: FaultServer, client: str, model: str) -> None:
    upstream.clear_log()
    assert CLIENTS[client](gateway.url, f"socket/{model}", True) == CLIENTS[client](gateway.url, f"responses/{model}", True)
    assert [record.method for record in upstream.log()] == ["WEBSOCKET", "POST"]


def test_whole_answers_and_neighbours_go_by_http(gateway: Gateway, upstream: FaultServer) -> None:
    upstream.clear_log()
    assert CLIENTS["responses"](gateway.url, "socket/ok", False).text == "A good ending is told"
    assert [record.method for record in upstream.log()] == ["POST"]


CLOSES = [(1000, None), (1001, "going away"), (1006, None), (1009, None), (1011, "keepalive ping timeout"), (4003, "enough")]


@pytest.mark.parametrize(("code", "reason"), CLOSES)
def test_a_close_before_the_end_is_premature_with_its_code(gateway: Gateway, code: int, reason: str | None) -> None:
    script = f"ws-close,after=3,code={code}" + (f",reason={reason}" if reason else "")
    body = {"model": f"socket/{script}", "input": "Hi.", "stream": True}
    answer = httpx.post(f"{gateway.url}/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=20)
    assert b"event: response.failed" in answer.content
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["fault"]) == ("upstream-premature", "ws-close", "upstream")
    assert (entry["evidence"]["close_code"], entry["evidence"].get("close_reason")) == (code, reason)
    assert len(gateway.events(entry["request_id"])) == 1


@pytest.mark.parametrize("client", ["responses", "chat", "gemini"])
def test_a_client_of_any_protocol_is_told(gateway: Gateway, client: str) -> None:
    with pytest.raises(ERRORS, match="code 1011"):
        CLIENTS[client](gateway.url, "socket/ws-close,after=3,code=1011", True)


def test_an_error_message_is_the_upstreams_own(gateway: Gateway) -> None:
    body = {"model": "socket/error-later,after=2,gap_ms=20", "input": "Hi.", "stream": True}
    answer = httpx.post(f"{gateway.url}/v1/responses", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=20)
    assert b'"message":"rehearsed failure: server_error"' in answer.content
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"]) == ("upstream-error", "error-event")


def test_silence_is_given_up_as_over_http(gateway: Gateway) -> None:
    with pytest.raises(ERRORS, match="request id"):
        CLIENTS["responses"](gateway.url, "socket/idle,after=2,seconds=30,size=3", True)
    entry = last_entry(gateway, "socket/idle,after=2,seconds=30,size=3")
    assert (entry["outcome"], entry["cause"]) == ("upstream-error", "idle-timeout")


def test_the_turns_of_one_client_share_one_connection_to_the_upstream(gateway: Gateway, upstream: FaultServer) -> None:
    """So that `previous_response_id` finds the state that the connection holds; another client has a connection of its own."""
    upstream.clear_log()
    with open_socket(gateway) as one, open_socket(gateway) as other:
        ends = [turn(socket, "socket/ok")[-1]["type"] for socket in (one, one, other, one)]
    assert ends == ["response.completed"] * 4
    connections = [record.connection for record in upstream.log()]
    assert connections[0] == connections[1] == connections[3] != connections[2]
    found = upstream.wait_log(lambda rows: all(row.ended != "open" for row in rows))
    assert len(found) == 4


def test_a_kept_connection_that_died_meanwhile_is_replaced(gateway: Gateway, upstream: FaultServer) -> None:
    with open_socket(gateway) as socket:
        assert turn(socket, "socket/terminal-then-cut,seconds=0")[-1]["type"] == "response.completed"
        upstream.wait_log(lambda rows: rows[-1].ended != "open")
        assert turn(socket, "socket/ok")[-1]["type"] == "response.completed"
