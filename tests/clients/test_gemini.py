"""google-genai as a client: what it reads through the gateway is what it reads without it, and a death raises."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import httpx
import pytest
from google import genai
from google.genai import errors, types

from relay.rehearsal.server import FaultServer
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway


@cache  # the SDK closes a client that nobody holds
def client(url: str, version: str = "v1beta") -> genai.Client:
    options = types.HttpOptions(base_url=url, api_version=version, timeout=20_000)
    return genai.Client(api_key=KEY, http_options=options)


def stream(url: str, model: str) -> Iterable[types.GenerateContentResponse]:
    return client(url).models.generate_content_stream(model=model, contents="Hi.")


def plain(answer: types.GenerateContentResponse) -> dict[str, Any]:
    """All of it but what the scripted upstream draws anew for each request."""
    text = answer.model_dump_json(exclude={"sdk_http_response", "response_id"})
    return json.loads(re.sub(r"call_[0-9a-f]{6}", "call", text))


@pytest.mark.parametrize("model", ["ok", "tools", "reasoning", "length", "content-filter", "multi-choice", "unicode"])
def test_a_stream_through_the_gateway_is_the_one_without_it(gateway: Gateway, upstream: FaultServer, model: str) -> None:
    through = [plain(item) for item in stream(gateway.url, model)]
    assert through == [plain(item) for item in stream(upstream.url, model)]
    assert len(through) > 1


@pytest.mark.parametrize("version", ["v1beta", "v1"])
@pytest.mark.parametrize("model", ["ok", "tools", "reasoning"])
def test_a_whole_answer_too(gateway: Gateway, upstream: FaultServer, model: str, version: str) -> None:
    through = client(gateway.url, version).models.generate_content(model=model, contents="Hi.")
    assert plain(through) == plain(client(upstream.url, version).models.generate_content(model=model, contents="Hi."))


@pytest.mark.parametrize("model", ["eof,after=3", "cut,after=3", "reset,after=3", "idle,after=3,seconds=30"])
def test_a_stream_that_died_raises_with_the_request_id(gateway: Gateway, model: str) -> None:
    got = []
    with pytest.raises(errors.APIError, match="request id req_"):
        for item in stream(gateway.url, model):
            got.append(item)
    assert len(got) == 3


def test_an_error_inside_the_stream_is_the_upstreams_own(gateway: Gateway) -> None:
    with pytest.raises(errors.APIError, match="rehearsed failure"):
        list(stream(gateway.url, "error-later,after=2"))


@pytest.mark.parametrize(("code", "kind"), [(429, errors.ClientError), (503, errors.ServerError)])
def test_an_error_status_is_the_sdks_own_error(gateway: Gateway, code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="rehearsed failure"):
        list(stream(gateway.url, f"status,code={code}"))


def test_a_refusal_of_ours_is_the_sdks_own_error(gateway: Gateway) -> None:
    bad = genai.Client(api_key="no-such-key", http_options=types.HttpOptions(base_url=gateway.url))
    with pytest.raises(errors.ClientError, match="not known") as caught:
        bad.models.generate_content(model="ok", contents="Hi.")
    assert (caught.value.code, caught.value.status) == (401, "UNAUTHENTICATED")


def test_tokens_are_counted_and_models_listed(gateway: Gateway) -> None:
    assert client(gateway.url).models.count_tokens(model="ok", contents="Hi.").total_tokens == 7
    assert "models/closed-port" in [model.name for model in client(gateway.url).models.list()]
    assert client(gateway.url, "v1").models.get(model="closed-port").name == "models/closed-port"


# scenario, outcome, cause, what the body ends with
ARRAYS = [
    ("ok", "completed", None, b"]"),
    ("length", "incomplete", None, b"]"),
    ("eof,after=3", "upstream-premature", "eof", b"}]}}]"),
    ("cut,after=3", "upstream-premature", "truncated-body", b"}]}}]"),
    ("silent", "upstream-error", "first-byte-timeout", b"}}"),
    ("json-for-stream", "completed", None, b"}]"),
    ("error-later,after=2,gap_ms=50", "upstream-error", "error-event", b"}]"),
]


@pytest.mark.parametrize(("model", "outcome", "cause", "tail"), ARRAYS)
def test_a_stream_without_alt_sse_is_one_json_array_whatever_happens(
    gateway: Gateway, model: str, outcome: str, cause: str | None, tail: bytes
) -> None:
    url = f"{gateway.url}/v1beta/models/{model}:streamGenerateContent?key={KEY}"
    answer = httpx.post(url, json={"contents": []}, timeout=20)
    assert answer.content.endswith(tail)
    assert isinstance(answer.json(), dict if answer.status_code >= 400 else list)
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["tag"], entry["model"]) == (outcome, cause, "gemini", model)


def test_the_clients_key_in_the_query_stays_here(gateway: Gateway, upstream: FaultServer) -> None:
    upstream.clear_log()
    url = f"{gateway.url}/v1beta/models/ok:streamGenerateContent?alt=sse&key={KEY}"
    answer = httpx.post(url, json={"contents": []}, timeout=20)
    record = upstream.log()[-1]
    assert (record.query, record.headers["x-goog-api-key"]) == ("alt=sse", "upstream-secret-gemini")
    entry = gateway.api.get(f"/api/audit/entries/{answer.headers['x-request-id']}").text
    assert KEY not in entry + gateway.output.read_text()


def test_usage_and_ids_are_on_record(gateway: Gateway) -> None:
    answer = httpx.post(
        f"{gateway.url}/v1beta/models/reasoning:streamGenerateContent?alt=sse",
        json={"contents": []},
        headers={"x-goog-api-key": KEY},
    )
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["input_tokens"], entry["output_tokens"], entry["cached_tokens"], entry["reasoning_tokens"]) == (12, 15, 4, 10)
    assert entry["evidence"]["had_reasoning"] is True
    assert entry["evidence"]["response_id"].startswith("gem-")
    assert "no-done-marker" not in entry["evidence"].get("notes", [])
