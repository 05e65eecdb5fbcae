"""The fault matrix for Gemini, Ollama and the translated pairs: what is provoked is what is on record, and the client is told.

The matrix proper (relay/rehearsal/matrix) has a column for each protocol whose bytes pass as events of their own; here are
those that differ: other framings, ends without a marker, and streams that are written anew. All rows run first, at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from relay.ending import OUTCOMES, Outcome
from tests.gateways import KEY, Gateway

pytestmark = [pytest.mark.gateway, pytest.mark.timeout(240)]
SAY = [{"role": "user", "content": "Hi."}]
COLUMNS = [
    ("gemini", "gemini"),
    ("ollama", "ollama"),
    ("messages", "chat"),
    ("chat", "messages"),
    ("responses", "chat"),
    ("chat", "gemini"),
    ("gemini", "messages"),
    ("ollama", "responses"),
    ("messages", "ollama"),
]
DONE = {
    "chat": b"data: [DONE]",
    "responses": b"event: response.completed",
    "messages": b"event: message_stop",
    "gemini": b"finishReason",
    "ollama": b'"done":true',
}
TOLD = {
    "chat": b'data: {"error"',
    "responses": b"event: response.failed",
    "messages": b"event: error",
    "gemini": b'data: {"error"',
    "ollama": b'{"error"',
}
TYPES = {"ollama": "application/x-ndjson"}


@dataclass(frozen=True)
class Row:
    """`told`: the stream ends with an error event and no end; else, under a 200, with the end and no error."""

    script: str
    outcome: str
    cause: str | None
    fault: str | None
    phase: str
    status: int = 200
    told: bool = False
    stream: bool = True
    only: tuple[str, ...] = ()  # upstreams
    but: tuple[str, ...] = ()


DEAD = ("upstream", "streaming", 200, True)
ROWS = [
    Row("ok", "completed", None, None, "finishing"),
    Row("tools", "completed", None, None, "finishing"),
    Row("reasoning", "completed", None, None, "finishing"),
    Row("length", "incomplete", None, None, "finishing"),
    Row("terminal-then-open", "completed", None, None, "finishing", but=("gemini",)),  # without a marker: silence ends it
    Row("terminal-then-reset,seconds=0.1", "completed", None, None, "finishing", but=("gemini",)),
    Row("no-done", "completed", None, None, "finishing", only=("chat", "gemini", "messages")),
    Row("split", "completed", None, None, "finishing"),
    Row("unicode", "completed", None, None, "finishing"),
    Row("gzip", "completed", None, None, "finishing"),
    Row("eof,after=3", "upstream-premature", "eof", *DEAD),
    Row("half-event,after=3", "upstream-premature", "eof", *DEAD),
    Row("cut,after=3", "upstream-premature", "truncated-body", *DEAD),
    Row("reset,after=3", "upstream-premature", "reset", *DEAD),
    Row("bad-chunk,after=3", "upstream-premature", "upstream-protocol", *DEAD),
    Row("idle,after=3,seconds=30", "upstream-error", "idle-timeout", *DEAD),
    Row("error-later,after=3,gap_ms=30", "upstream-error", "error-event", *DEAD),
    Row("error-first,code=429", "upstream-error", "error-event", "upstream", "streaming", 429, but=("ollama",)),
    Row("silent", "upstream-error", "first-byte-timeout", "upstream", "waiting", 504),
    Row("html", "upstream-error", "not-a-stream", "upstream", "waiting", 502),
    Row("headers-then-end", "upstream-premature", "eof", "upstream", "waiting", 504),
    Row("reset-before-headers", "upstream-premature", "reset", "upstream", "waiting", 504),
    Row("status,code=401", "upstream-error", "auth-rejected", "operator", "waiting", 502),
    Row("status,code=404", "upstream-error", "http-status", "client", "waiting", 404),
    Row("status,code=429", "upstream-error", "rate-limited", "upstream", "waiting", 429),
    Row("status,code=500,body=html", "upstream-error", "http-status", "upstream", "waiting", 500),
    Row("json-for-stream", "completed", None, None, "finishing"),
    Row("ok", "completed", None, None, "finishing", stream=False),
    Row("length", "incomplete", None, None, "finishing", stream=False),
    Row("cut", "upstream-premature", "truncated-body", "upstream", "waiting", 504, stream=False),
    Row("html", "upstream-error", "malformed-event", "upstream", "waiting", 502, stream=False),
    Row("json-error-200,code=500", "upstream-error", "error-event", "upstream", "waiting", 500, stream=False, but=("ollama",)),
]
CASES = [
    (client, behind, row)
    for client, behind in COLUMNS
    for row in ROWS
    if behind not in row.but and (not row.only or behind in row.only)
]


def name(case: tuple[str, str, Row]) -> str:
    client, behind, row = case
    return f"{client}-on-{behind}-{'stream' if row.stream else 'whole'}-{row.script}"


def upstream_of(protocol: str, row: Row) -> str:
    """What refuses cools for a minute, and other tests want theirs at once."""
    return f"refusing-{protocol}" if row.script.startswith("status") else protocol


def ask(http: httpx.Client, case: tuple[str, str, Row]) -> httpx.Response:
    client, behind, row = case
    model = f"{upstream_of(behind, row)}/{row.script}"
    body: dict[str, Any] = {"model": model, "stream": row.stream}
    path = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages", "ollama": "/api/chat"}
    if client == "gemini":
        verb = "streamGenerateContent?alt=sse" if row.stream else "generateContent"
        url, body = f"/v1beta/models/{model}:{verb}", {"contents": [{"role": "user", "parts": [{"text": "Hi."}]}]}
    else:
        url = path[client]
        body |= {"input": "Hi."} if client == "responses" else {"messages": SAY}
        body |= {"max_tokens": 900} if client == "messages" else {}
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": name(case).replace(",", ".").replace("=", "_")[:100]}
    return http.post(url, json=body, headers=headers)


@pytest.fixture(scope="module")
def all_asked(gateway: Gateway, request: pytest.FixtureRequest) -> dict[str, httpx.Response]:
    """The selected cases, asked at once."""
    found = [item.callspec.params["case"] for item in request.session.items if "all_asked" in getattr(item, "fixturenames", ())]
    with ThreadPoolExecutor(20) as pool, httpx.Client(base_url=gateway.url, timeout=30) as http:
        return dict(zip(map(name, found), pool.map(lambda case: ask(http, case), found), strict=True))


@pytest.mark.parametrize("case", CASES, ids=name)
def test_it_ends_as_the_row_says(gateway: Gateway, all_asked: dict[str, httpx.Response], case: tuple[str, str, Row]) -> None:
    client, behind, row = case
    answer = all_asked[name(case)]
    entry = gateway.entry(answer.headers["x-request-id"])
    got = (entry["outcome"], entry["cause"], entry["fault"], entry["phase"])
    assert got == (row.outcome, row.cause, row.fault, row.phase), (entry["error"], entry["evidence"])
    rule = OUTCOMES[Outcome(row.outcome)]
    events = gateway.events(entry["request_id"])
    assert [event["name"] for event in events] == ([rule.name] if rule.abnormal else [])
    assert (answer.status_code, entry["client_status"]) == (row.status, row.status), answer.text
    assert (entry["tag"], entry["provider"]) == (client, upstream_of(behind, row))
    if row.status != 200:
        assert answer.json()["error"]
    elif row.stream:
        assert answer.headers["content-type"].startswith(TYPES.get(client, "text/event-stream"))
        assert (TOLD[client] in answer.content) is row.told or row.cause == "error-event"
        assert (DONE[client] in answer.content) is (not row.told) or row.outcome == "incomplete"
    if row.told and row.cause != "error-event":
        assert entry["request_id"].encode() in answer.content
