"""Answers that no scenario of the fault matrix gives, from a bare socket: they are the upstream's endings, and no bug of ours."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.gateways import KEY, Gateway, usual

pytestmark = pytest.mark.gateway

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
DEEP = b"[" * 300 + b"]" * 300
MARKED = b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7}}'
ERROR = b'{"error": {"message": "no", "code": "never"}}'


def after_pings(client: socket.socket) -> None:
    """The end marker alone, behind a comment that was held until it no longer could be."""
    client.sendall(STREAM)
    for _ in range(3):
        client.sendall(b": waiting\n\n")
        time.sleep(1.9)
    client.sendall(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')


def beyond_http(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 999 X\r\ncontent-length: %d\r\n\r\n" % len(ERROR) + ERROR)


def without_end(client: socket.socket) -> None:
    client.sendall(b"HTTP/1.1 429 X\r\ncontent-length: 9999\r\n\r\n" + ERROR)
    client.settimeout(10)
    client.recv(1)


def whole_and_deep(client: socket.socket) -> None:
    body = b'{"type": "message", "content": [{"type": "tool_use", "input": {"a": %b}}]}' % DEEP
    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def closed_early(client: socket.socket) -> None:
    """An array that ends, with an answer in it that does not."""
    body = b'[{"candidates": [{"content": {"parts": [{"text": "half"}]}}]}\n]'
    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + body)


def cut_inside(client: socket.socket) -> None:
    client.sendall(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{"data": [{"embedding": [1, 2')


def behind_a_mark(client: socket.socket) -> None:
    """A whole answer that begins with a byte order mark."""
    body = b"\xef\xbb\xbf" + MARKED
    client.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


PLAYS: dict[str, Callable[[socket.socket], None]] = {
    play.__name__: play
    for play in (after_pings, beyond_http, without_end, whole_and_deep, closed_early, cut_inside, behind_a_mark)
}


def played(listener: socket.socket) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=play, args=(client,), daemon=True).start()


def play(client: socket.socket) -> None:
    with client:
        raw = b""
        while not raw.endswith(b"}"):
            raw += client.recv(65536)
        next(play for name, play in PLAYS.items() if name.encode() in raw)(client)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=played, args=(listener,), daemon=True).start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        gateway = Gateway(Path(tmp_path_factory.mktemp("odd")), usual(address, patience=3))
        yield gateway
        gateway.end()
        listener.shutdown(socket.SHUT_RDWR)


def asked(gateway: Gateway, model: str, stream: bool = True, **more: Any) -> httpx.Response:
    body = {"model": model, "stream": stream, "max_tokens": 9, "messages": [{"role": "user", "content": "Hi."}], **more}
    return httpx.post(f"{gateway.url}/v1/messages", json=body, headers={"x-api-key": KEY}, timeout=20)


def ending(gateway: Gateway, answer: httpx.Response) -> tuple[str, str, str]:
    entry = gateway.entry(answer.headers["x-request-id"])
    return entry["outcome"], entry["cause"], entry["fault"]


def test_an_end_marker_alone_is_an_end_before_its_time_also_where_the_client_has_its_200(odd: Gateway) -> None:
    answer = asked(odd, "after_pings")
    assert ending(odd, answer) == ("upstream-premature", "eof", "upstream")
    assert "message_stop" not in answer.text
    assert "event: error\n" in answer.text


@pytest.mark.parametrize("stream", [True, False])
def test_a_status_that_http_does_not_have_is_told_as_a_bad_gateway(odd: Gateway, stream: bool) -> None:
    answer = asked(odd, "beyond_http", stream)
    assert answer.status_code == 502
    assert ending(odd, answer) == ("upstream-error", "http-status", "upstream")


def test_a_known_status_says_more_than_that_its_body_did_not_come_in_time(odd: Gateway) -> None:
    answer = asked(odd, "without_end")
    assert answer.status_code == 429
    assert ending(odd, answer) == ("upstream-error", "rate-limited", "upstream")


def test_a_whole_answer_that_cannot_be_put_into_events_is_one_that_cannot_be_read(odd: Gateway) -> None:
    answer = asked(odd, "whole_and_deep")
    assert answer.status_code == 502
    assert ending(odd, answer) == ("upstream-error", "malformed-event", "upstream")


def test_a_request_that_cannot_be_put_into_other_words_is_a_bad_request(odd: Gateway) -> None:
    deep = json.loads(DEEP)
    answer = asked(odd, "chat/beyond_http", tools=[{"name": "f", "input_schema": {"a": deep}}])
    assert answer.status_code == 400
    assert ending(odd, answer) == ("rejected", "bad-request", "client")


def test_an_array_that_ends_before_its_answer_does_holds_the_error_all_the_same(odd: Gateway) -> None:
    url = f"{odd.url}/v1beta/models/closed_early:streamGenerateContent"
    answer = httpx.post(url, json={"contents": []}, headers={"x-goog-api-key": KEY}, timeout=20)
    assert ending(odd, answer) == ("upstream-premature", "eof", "upstream")
    assert "error" in answer.json()[-1]


def test_a_neighbours_json_that_is_cut_by_its_close_is_not_whole(odd: Gateway) -> None:
    body = {"model": "cut_inside", "input": "Hi."}
    answer = httpx.post(f"{odd.url}/v1/embeddings", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=20)
    assert answer.status_code == 504
    assert ending(odd, answer) == ("upstream-premature", "truncated-body", "upstream")


def test_a_byte_order_mark_before_a_whole_answer_is_noted_and_passed_on(odd: Gateway) -> None:
    body = {"model": "behind_a_mark", "messages": []}
    answer = httpx.post(f"{odd.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=20)
    assert (answer.status_code, answer.content) == (200, b"\xef\xbb\xbf" + MARKED)
    entry = odd.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["input_tokens"], entry["evidence"]["notes"]) == ("completed", 7, ["byte-order-mark"])
