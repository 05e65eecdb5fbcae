"""What each scenario looks like on the wire: how its answer ends, and whether the terminal event was in it."""

from __future__ import annotations

import json
import socket

import pytest

from relay.rehearsal.scenarios import COMMON, SCENARIOS
from relay.rehearsal.server import FaultServer

from .raw_client import PATHS, Reply, ask

# script: (how the streamed answer ends, does it contain the terminal event, how the whole answer ends)
WIRE: dict[str, tuple[str, bool, str]] = {
    "ok": ("proper", True, "proper"),
    "tools": ("proper", True, "proper"),
    "reasoning": ("proper", True, "proper"),
    "structured": ("proper", True, "proper"),
    "multi-choice": ("proper", True, "proper"),
    "empty": ("proper", True, "proper"),
    "unicode": ("proper", True, "proper"),
    "image": ("proper", True, "proper"),
    "echo": ("proper", True, "proper"),
    "length": ("proper", True, "proper"),
    "content-filter": ("proper", True, "proper"),
    "refusal": ("proper", True, "proper"),
    "unknown-finish": ("proper", True, "proper"),
    "tool-half": ("proper", True, "proper"),
    "crlf": ("proper", True, "proper"),
    "cr": ("proper", True, "proper"),
    "no-space": ("proper", True, "proper"),
    "no-event-line": ("proper", True, "proper"),
    "bom": ("proper", True, "proper"),
    "multi-line": ("proper", True, "proper"),
    "odd-lines": ("proper", True, "proper"),
    "split": ("closed", True, "proper"),
    "unterminated-last": ("proper", True, "proper"),
    "usage-late,seconds=0.01": ("proper", True, "proper"),
    "usage-preview": ("proper", True, "proper"),
    "duplicate-id": ("proper", True, "proper"),
    "events-after-terminal": ("proper", True, "proper"),
    "big-event,bytes=100000": ("proper", True, "proper"),
    "flood,bytes=1000000": ("proper", True, "proper"),
    "slow-then-content,seconds=0.01": ("proper", True, "proper"),
    "mid-silence,seconds=0.01": ("proper", True, "proper"),
    "late,seconds=0.01": ("proper", True, "proper"),
    "json-for-stream": ("proper", False, "proper"),
    "stream-for-json": ("proper", True, "proper"),
    "no-content-type": ("proper", True, "proper"),
    "wrong-content-type": ("proper", True, "proper"),
    "gzip": ("proper", False, "proper"),
    "deflate": ("proper", False, "proper"),
    "br": ("proper", False, "proper"),
    "zstd": ("proper", False, "proper"),
    "gzip-cut": ("proper", False, "proper"),
    "gzip-bad": ("proper", False, "proper"),
    "gzip-not": ("proper", True, "proper"),
    "coding-unknown": ("proper", True, "proper"),
    "gzip-status": ("proper", False, "proper"),
    "silent": ("open", False, "open"),
    "close-before-headers": ("truncated", False, "truncated"),
    "reset-before-headers": ("reset", False, "reset"),
    "keepalive-race": ("proper", True, "proper"),
    "headers-then-silence": ("open", False, "open"),
    "headers-then-end": ("proper", False, "proper"),
    "headers-then-close": ("truncated", False, "truncated"),
    "headers-then-reset": ("reset", False, "reset"),
    "empty-200": ("proper", False, "proper"),
    "comments-only": ("proper", False, "proper"),
    "comments-forever": ("open", False, "open"),
    "done-only": ("proper", True, "proper"),
    "eof": ("proper", False, "proper"),
    "eof-bare": ("closed", False, "closed"),
    "half-event": ("proper", False, "proper"),
    "half-event,end=cut": ("truncated", False, "truncated"),
    "half-event,end=reset": ("reset", False, "reset"),
    "cut": ("truncated", False, "truncated"),
    "short-length": ("truncated", False, "truncated"),
    "bad-chunk": ("broken", False, "broken"),
    "reset": ("reset", False, "reset"),
    "reset-bare": ("reset", False, "reset"),
    "ws-close": ("truncated", False, "truncated"),
    "tool-cut": ("truncated", False, "truncated"),
    "idle": ("open", False, "open"),
    "idle,seconds=0.01": ("proper", False, "truncated"),
    "pings,every=0.01": ("open", False, "open"),
    "trickle,every=0.01": ("open", False, "open"),
    "no-pong": ("open", False, "open"),
    "no-done": ("proper", False, "proper"),
    "no-done-cut": ("truncated", False, "proper"),
    "no-done-silence": ("open", False, "proper"),
    "no-finish": ("proper", True, "proper"),
    "half-last": ("proper", False, "proper"),
    "terminal-then-open": ("open", True, "open"),
    "terminal-then-reset": ("reset", True, "reset"),
    "terminal-then-cut": ("truncated", True, "truncated"),
    "status": ("proper", False, "proper"),
    "status,body=endless": ("open", False, "open"),
    "redirect": ("proper", False, "proper"),
    "error-first": ("proper", False, "proper"),
    "error-later": ("proper", False, "proper"),
    "error-then-done": ("proper", True, "proper"),
    "error-with-choices": ("proper", False, "proper"),
    "error-field": ("proper", False, "proper"),
    "error-string": ("proper", False, "proper"),
    "response-failed": ("proper", False, "proper"),
    "overloaded-in-band": ("proper", False, "proper"),
    "nul-in-error": ("proper", False, "proper"),
    "json-error-200": ("proper", False, "proper"),
    "malformed": ("proper", True, "proper"),
    "bad-utf8": ("proper", True, "proper"),
    "oversized,bytes=300000": ("proper", False, "proper"),
    "html": ("proper", False, "proper"),
    "text": ("proper", False, "proper"),
    "bad-header": ("proper", True, "proper"),
    "bad-status-line": ("truncated", False, "truncated"),
}
TERMINAL = {"message_stop", "response.completed", "response.incomplete"}
ENDLESS = {"comments-forever", "pings,every=0.01", "trickle,every=0.01", "status,body=endless"}


def terminal_seen(reply: Reply) -> bool:
    """Whether a whole terminal event is in the body, however it is spelt."""
    text = reply.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    for block in text.split(b"\n\n"):
        data = b"\n".join(line[5:].strip() for line in block.split(b"\n") if line.startswith(b"data:"))
        if data == b"[DONE]" or kind_of(data) in TERMINAL:
            return True
    return False


def kind_of(data: bytes) -> str:
    try:
        return str(json.loads(data).get("type"))
    except ValueError:
        return ""


def play(upstream: FaultServer, script: str, protocol: str, stream: bool) -> Reply:
    stays_open = WIRE[script][0 if stream else 2] == "open"
    patience = 0.08 if stays_open else 5
    limit = 300 if script in ENDLESS else 1 << 22
    return ask(upstream.port, script, protocol, stream=stream, patience=patience, limit=limit)


def test_every_scenario_is_described_and_has_a_row_here() -> None:
    assert {script.partition(",")[0] for script in WIRE} == set(SCENARIOS)
    assert all(row.doc.endswith(".") and row.name == name for name, row in SCENARIOS.items())
    assert not {parameter.split("=")[0] for row in SCENARIOS.values() for parameter in row.parameters.split()} & (
        set(COMMON) - {"size", "after"}
    )


@pytest.mark.parametrize("protocol", PATHS)
@pytest.mark.parametrize("script", WIRE)
def test_a_streamed_answer_ends_on_the_wire_as_its_scenario_says(upstream: FaultServer, script: str, protocol: str) -> None:
    reply = play(upstream, script, protocol, stream=True)
    ended, terminal, _ = WIRE[script]
    assert (reply.ended, terminal_seen(reply)) == (ended, terminal), reply.raw[-400:]
    assert upstream.log()[0].scenario == script.partition(",")[0]


@pytest.mark.parametrize("protocol", PATHS)
@pytest.mark.parametrize("script", WIRE)
def test_a_whole_answer_ends_on_the_wire_as_its_scenario_says(upstream: FaultServer, script: str, protocol: str) -> None:
    reply = play(upstream, script, protocol, stream=False)
    assert reply.ended == WIRE[script][2], reply.raw[-400:]


@pytest.mark.parametrize("protocol", PATHS)
def test_after_counts_deltas_and_never_reaches_the_end(upstream: FaultServer, protocol: str) -> None:
    long = ask(upstream.port, "eof,after=40", protocol)
    short = ask(upstream.port, "eof,after=0", protocol)
    assert len(long.datas) - len(short.datas) == 40
    assert not terminal_seen(long)


@pytest.mark.parametrize(
    ("script", "reason"),
    [("length", "length"), ("content-filter", "content_filter"), ("unknown-finish,reason=odd", "odd"), ("ok", "stop")],
)
def test_a_chat_answer_ends_with_the_reason_of_its_scenario(upstream: FaultServer, script: str, reason: str) -> None:
    streamed = [json.loads(data) for data in ask(upstream.port, script).datas[:-1]]
    whole = json.loads(ask(upstream.port, script, stream=False).body)
    assert streamed[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize(
    ("script", "status", "wanted"),
    [
        ("status,code=429,retry_after=7", 429, b"rate_limit_exceeded"),
        ("status,code=402", 402, b"insufficient_quota"),
        ("status,code=429,error=insufficient_quota", 429, b"insufficient_quota"),
        ("status,code=502,body=html", 502, b"<h1>Bad Gateway</h1>"),
        ("status,code=401,body=echo-key", 401, b"Bearer sk-secret"),
        ("status,code=529", 529, b"overloaded"),
        ("status,code=503,body=empty", 503, b""),
    ],
)
def test_a_status_comes_with_its_body(upstream: FaultServer, script: str, status: int, wanted: bytes) -> None:
    reply = ask(upstream.port, script, headers={"Authorization": "Bearer sk-secret"})
    assert reply.status == status
    assert wanted in reply.body
    assert reply.headers.get("retry-after") == ("7" if "retry_after" in script else None)


def test_a_big_error_body_is_big(upstream: FaultServer) -> None:
    assert len(ask(upstream.port, "status,code=502,body=big").body) > 1_900_000


def test_the_error_of_a_stream_has_nul_and_a_lone_surrogate(upstream: FaultServer) -> None:
    error = json.loads(ask(upstream.port, "nul-in-error").datas[-1])["error"]["message"]
    assert "\0" in error and "\ud800" in error


def test_responses_errors_go_on_counting(upstream: FaultServer) -> None:
    datas = [json.loads(data) for data in ask(upstream.port, "response-failed,after=2", "openai-responses").datas]
    assert [data["sequence_number"] for data in datas] == list(range(len(datas)))
    assert datas[-1]["type"] == "response.failed" and datas[-1]["response"]["id"] == datas[0]["response"]["id"]


def test_usage_comes_last_and_differs_from_its_preview(upstream: FaultServer) -> None:
    found = [json.loads(data) for data in ask(upstream.port, "usage-preview").datas[:-1]]
    usages = [data["usage"]["completion_tokens"] for data in found if data.get("usage")]
    assert usages == [1, 5]


def test_bad_utf8_is_no_utf8(upstream: FaultServer) -> None:
    for stream in (True, False):
        with pytest.raises(UnicodeDecodeError):
            ask(upstream.port, "bad-utf8", stream=stream).body.decode()


def test_the_second_request_of_a_racing_connection_gets_no_byte(upstream: FaultServer) -> None:
    with socket.create_connection(("127.0.0.1", upstream.port)) as sock:
        first = ask(upstream.port, "keepalive-race", sock=sock)
        second = ask(upstream.port, "keepalive-race", sock=sock)
    assert (first.ended, second.raw, second.ended) == ("proper", b"", "truncated")
    assert [(record.ordinal, record.connection) for record in upstream.log()] == [
        (1, upstream.log()[0].connection),
        (2, upstream.log()[0].connection),
    ]
