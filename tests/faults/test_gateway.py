"""What the gateway promises beside its endings: bytes untouched, no secret told, ids, CORS, compressed requests."""

from __future__ import annotations

import gzip
import http.client
import subprocess
import sys
import zlib
from typing import Any

import brotli
import httpx
import pytest
import zstandard

from tests.gateways import KEY, ROOT, Gateway

pytestmark = pytest.mark.gateway

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


def ask(gateway: Gateway, tag: str, model: object, stream: bool = True, **headers: str) -> httpx.Response:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi."}], "input": "Hi.", "max_tokens": 9}
    return httpx.post(gateway.url + PATHS[tag], json=body, headers={"authorization": f"Bearer {KEY}", **headers}, timeout=20)


def test_the_bytes_of_a_stream_are_the_upstreams_own(gateway: Gateway, upstream: Any) -> None:
    body = {"model": "duplicate-id", "stream": True, "messages": []}
    direct = httpx.post(upstream.url + PATHS["chat"], json=body, timeout=10).content
    through = ask(gateway, "chat", "duplicate-id").content
    strip = [line for line in direct.splitlines() if b"created" not in line]
    assert strip == [line for line in through.splitlines() if b"created" not in line]
    assert len(direct) == len(through)


def test_what_the_connection_names_goes_no_further(gateway: Gateway, upstream: Any) -> None:
    named = {"connection": "keep-alive, X-One-Hop", "x-one-hop": "1", "x-all-the-way": "1"}
    assert ask(gateway, "chat", "ok", **named).status_code == 200
    sent = upstream.log()[-1].headers
    assert "x-all-the-way" in sent
    assert not {"x-one-hop", "connection"} & sent.keys()


def test_no_secret_is_recorded(gateway: Gateway) -> None:
    ask(gateway, "chat", "status,code=401,body=echo-key,pair")  # an upstream of its own, since it cools afterwards
    listed = gateway.api.get("/api/audit/entries", params={"limit": 200}).text
    listed += gateway.api.get("/api/errors/events", params={"limit": 500}).text + gateway.output.read_text()
    assert KEY not in listed
    assert "upstream-secret" not in listed


def test_a_client_that_repeats_its_request_id_gets_a_row_for_each_request(gateway: Gateway) -> None:
    answers = [ask(gateway, "chat", "duplicate-id", **{"x-request-id": "the-same-again"}) for _ in range(3)]
    ours = {answer.headers["x-request-id"] for answer in answers}
    assert len(ours) == 3
    assert {gateway.entry(request_id)["client_request_id"] for request_id in ours} == {"the-same-again"}
    for word in ("the-same-again", "chatcmpl-0000same"):
        found = gateway.api.get("/api/audit/entries", params={"search": word}).json()["items"]
        assert ours <= {item["request_id"] for item in found}


def test_a_credential_that_was_refused_is_tried_last_and_says_why(own_gateway: Gateway) -> None:
    def attempts(model: str) -> list[tuple[str, int | None]]:
        answer = ask(own_gateway, "chat", model)
        found = own_gateway.entry(answer.headers["x-request-id"])["evidence"]["attempts"]
        return [(attempt["credential"].rpartition("/")[2].strip(), attempt.get("status")) for attempt in found]

    pair = "status,code=401,for_key=-a,pair"
    assert attempts(pair) == [("pair-a", 401), ("pair-b", 200)]
    assert attempts(pair) == [("pair-b", 200)]  # for a minute the other one goes first
    assert attempts("status,code=401,pair") == [("pair-b", 401), ("pair-a", 401)]
    assert attempts("ok,pair") == [("pair-a", 200)]  # all cool: the route's order, and the first is tried all the same
    shown = [sys.executable, "manage.py", "shell", "-c", COOLING]
    told = subprocess.run(shown, cwd=ROOT, env=own_gateway.environment, check=True, capture_output=True, text=True).stdout
    assert "pair-a auth-rejected: HTTP 401" in told
    assert "True" in told
    assert "upstream-secret" not in told


def test_a_preflight_is_answered_and_a_refusal_carries_the_headers_too(gateway: Gateway) -> None:
    origin = {"origin": "https://app.example"}
    answer = httpx.options(gateway.url + PATHS["chat"], headers=origin)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, "https://app.example")
    refused = httpx.post(gateway.url + PATHS["chat"], content=b"{}", headers=origin)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example")
    other = httpx.options(gateway.url + PATHS["chat"], headers={"origin": "https://other.example"})
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/messages/count_tokens", "/v1/responses/compact"])
def test_a_neighbouring_path_passes_through_and_is_recorded(gateway: Gateway, path: str) -> None:
    body = {"model": "ok", "input": "Hi."}
    answer = httpx.post(gateway.url + path, json=body, headers={"authorization": f"Bearer {KEY}"}, timeout=10)
    assert answer.status_code == 200, answer.text
    assert gateway.entry(answer.headers["x-request-id"])["path"] == path


@pytest.mark.parametrize("path", ["/v1/files/../../admin", "/v1/files/%2e%2e/%2e%2e/admin", "/v1beta/models/a/../b:countTokens"])
def test_a_path_that_leads_out_of_the_upstreams_address_goes_nowhere(gateway: Gateway, path: str) -> None:
    """Asked without a client that would resolve the path itself."""
    connection = http.client.HTTPConnection("127.0.0.1", httpx.URL(gateway.url).port or 0, timeout=10)
    connection.request("POST", path, b"{}", {"authorization": f"Bearer {KEY}", "content-type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 400 and "a segment . or .." in text
    assert gateway.entry(answer.headers["x-request-id"])["cause"] == "bad-request"


COOLING = """
from django.utils import timezone
from relay.models import Credential
for row in Credential.objects.filter(label__startswith="pair"):
    print(row.label, row.last_failure, row.cooling_until > timezone.now())
"""
BODY = b'{"model": "ok", "stream": true, "messages": []}'


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", gzip.compress(BODY, mtime=0), 200),
        ("zstd", zstandard.compress(BODY), 200),
        ("br", brotli.compress(BODY), 200),
        ("deflate", zlib.compress(BODY), 200),
        ("deflate", zlib.compress(BODY)[2:-4], 200),  # raw, as many senders understand the word
        ("zstd", BODY, 400),
        ("br", brotli.compress(BODY)[:-5], 400),
        ("gzip", BODY, 400),
        ("gzip", gzip.compress(BODY, mtime=0)[:-9], 400),
        ("gzip", gzip.compress(bytes(80 << 20), mtime=0), 413),
        ("zstd", zstandard.compress(bytes(80 << 20)), 413),
        ("lzw", BODY, 415),
    ],
)
def test_a_compressed_request_is_decoded_or_refused(gateway: Gateway, coding: str, body: bytes, status: int) -> None:
    headers = {"authorization": f"Bearer {KEY}", "content-encoding": coding}
    answer = httpx.post(gateway.url + PATHS["chat"], content=body, headers=headers, timeout=20)
    assert answer.status_code == status
    assert gateway.entry(answer.headers["x-request-id"])["outcome"] == ("completed" if status == 200 else "rejected")


def test_a_trusted_proxy_says_who_the_client_is(gateway: Gateway) -> None:
    answer = ask(gateway, "chat", "ok", **{"x-forwarded-for": "10.9.9.9, 192.0.2.7"})
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["peer"], entry["evidence"]["client_socket"]["peer"]) == ("192.0.2.7", "proxy")
