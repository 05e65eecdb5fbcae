"""Responses over WebSocket: a turn is a request, with one ending; the official SDK as the client."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.clients.hearing import openai_client
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
ENDS = ("response.completed", "response.incomplete", "response.failed", "error")


def open_socket(gateway: Gateway, key: str = KEY) -> ClientConnection:
    url = gateway.url.replace("http", "ws") + "/v1/responses"
    return connect(url, additional_headers={"Authorization": f"Bearer {key}"}, open_timeout=10)


def turn(socket: ClientConnection, model: str, **more: Any) -> list[dict[str, Any]]:
    socket.send(json.dumps({"type": "response.create", "model": model, "input": "Hi.", **more}))
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in ENDS:
        events.append(json.loads(socket.recv(timeout=10)))
    return events


def last_entry(gateway: Gateway, model: str) -> dict[str, Any]:
    """The newest entry of a model, once it has ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        listed = gateway.api.get("/api/audit/entries", params={"limit": 50}).json()["items"]
        found = [item for item in listed if item["model"] == model and item["outcome"]]
        if found:
            return gateway.entry(found[0]["request_id"])
        time.sleep(0.1)
    raise AssertionError(f"no entry of {model}")


@pytest.mark.parametrize("behind", ["responses", "chat", "messages", "gemini"])
def test_turns_follow_each_other_on_one_connection(gateway: Gateway, behind: str) -> None:
    with open_socket(gateway) as socket:
        first, second = turn(socket, f"{behind}/ok,size=1"), turn(socket, f"{behind}/length,size=1")
    assert (first[0]["type"], first[-1]["type"]) == ("response.created", "response.completed")
    assert second[-1]["type"] == "response.incomplete"
    assert [event["sequence_number"] for event in first] == list(range(len(first)))
    entry = last_entry(gateway, f"{behind}/length,size=1")
    assert (entry["outcome"], entry["method"], entry["tag"]) == ("incomplete", "WEBSOCKET", "responses")


def test_the_official_sdk_speaks_to_it(gateway: Gateway) -> None:
    with openai_client(gateway.url).responses.connect() as connection:
        connection.response.create(model="responses/ok", input="Hi.")
        kinds = []
        for event in connection:
            kinds.append(event.type)
            if event.type in ENDS:
                break
    assert kinds[-1] == "response.completed"
    assert "response.output_text.delta" in kinds


# model, outcome, cause, the type of the last event
DEATHS = [
    ("responses/eof,after=3,size=2", "upstream-premature", "eof", "response.failed"),
    ("chat/cut,after=3,size=2", "upstream-premature", "truncated-body", "response.failed"),
    ("responses/error-later,after=3,size=2,gap_ms=20", "upstream-error", "error-event", "error"),
    ("refusing-responses/status,code=429,size=2", "upstream-error", "rate-limited", "error"),
]


@pytest.mark.parametrize(("model", "outcome", "cause", "last"), DEATHS)
def test_a_turn_that_dies_ends_with_an_event_and_the_connection_goes_on(
    gateway: Gateway, model: str, outcome: str, cause: str, last: str
) -> None:
    with open_socket(gateway) as socket:
        end = turn(socket, model)[-1]
        assert end["type"] == last
        if "status" in model:
            assert (end["status"], end["error"]["message"]) == (429, "rehearsed failure: rate_limit_exceeded")
        assert turn(socket, "responses/ok")[-1]["type"] == "response.completed"
    entry = last_entry(gateway, model)
    assert (entry["outcome"], entry["cause"]) == (outcome, cause)
    assert len(gateway.events(entry["request_id"])) == 1


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({"type": "response.create", "model": "nobody-has-it"}, ""),
        ({"type": "response.cancel"}, "type is not response.create"),
        ({"type": "response.create", "model": "responses/ok", "generate": False}, "generate"),
        ({"type": "response.create", "model": "responses/ok", "stream_id": "s"}, "stream_id"),
    ],
)
def test_a_message_that_asks_for_nothing_we_have_is_refused(gateway: Gateway, message: dict[str, Any], said: str) -> None:
    with open_socket(gateway) as socket:
        socket.send(json.dumps(message))
        end = json.loads(socket.recv(timeout=10))
        if said:
            assert (end["type"], end["status"]) == ("error", 400)
            assert said in end["error"]["message"]


def test_without_a_good_key_there_is_no_upgrade(gateway: Gateway) -> None:
    with pytest.raises(InvalidStatus) as caught:
        open_socket(gateway, "nobody")
    assert caught.value.response.status_code == 401
    assert b"not known" in caught.value.response.body


@pytest.mark.parametrize(("code", "outcome"), [(1000, "client-abort"), (4001, "client-abort")])
def test_a_client_that_leaves_in_a_turn_is_on_record_with_its_close_code(gateway: Gateway, code: int, outcome: str) -> None:
    model = f"responses/idle,after=2,seconds=1.5,size={code}"
    socket = open_socket(gateway)
    socket.send(json.dumps({"type": "response.create", "model": model, "input": "Hi."}))
    while json.loads(socket.recv(timeout=10))["type"] != "response.output_text.delta":
        pass
    socket.close(code)
    entry = last_entry(gateway, model)
    assert (entry["outcome"], entry["evidence"]["client_socket"]["closed"]) == (outcome, f"ws-{code}")
