"""What lies beside the protocols' own endpoints passes on: any method, any body, recorded with an honest ending."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import openai
import pytest

from relay.rehearsal.server import FaultServer
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
HEADERS = {"authorization": f"Bearer {KEY}"}


@pytest.fixture
def client(gateway: Gateway) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=f"{gateway.url}/v1", max_retries=0)


def test_a_transcription_is_routed_by_the_model_in_its_form_and_its_bytes_are_the_clients(
    client: openai.OpenAI, upstream: FaultServer
) -> None:
    upstream.clear_log()
    sound = bytes(range(256)) * 40
    raw = client.audio.transcriptions.with_raw_response.create(model="whisper-9", file=("a.wav", sound))
    record = upstream.log()[-1]
    assert record.path == "/v1/audio/transcriptions"
    assert record.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert record.body_bytes == int(record.headers["content-length"]) > len(sound)
    assert raw.headers["x-request-id"].startswith("req_")


def test_the_model_of_a_form_is_on_record(client: openai.OpenAI, gateway: Gateway) -> None:
    raw = client.audio.transcriptions.with_raw_response.create(model="whisper-9", file=("a.wav", b"\r\n--x\r\n"))
    entry = gateway.entry(raw.headers["x-request-id"])
    assert (entry["model"], entry["path"], entry["outcome"]) == ("whisper-9", "/v1/audio/transcriptions", "completed")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/responses/resp_1?include=x&after=2"),
        ("DELETE", "/v1/responses/resp_1"),
        ("GET", "/v1/chat/completions?limit=2"),
        ("GET", "/v1/files"),
        ("POST", "/v1/images/generations"),
        ("PATCH", "/v1/things/1"),
    ],
)
def test_any_method_and_query_reach_the_upstream(gateway: Gateway, method: str, path: str) -> None:
    body = b'{"model": "any", "prompt": "x"}' if method in ("POST", "PATCH") else b""
    answer = httpx.request(method, gateway.url + path, content=body, headers=HEADERS | {"content-type": "application/json"})
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["method"], f"{said['path']}?{said['query']}".rstrip("?"), said["body"]) == (method, path, body.decode())
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["method"], entry["path"], entry["outcome"]) == (method, path.partition("?")[0], "completed")


def test_a_file_streams_through_byte_for_byte(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.url}/v1/files/f/blob", params={"pieces": 3, "size": 6}, headers=HEADERS)
    assert answer.content == b"\xff\x00" * 3 + b"\xff\x01" * 3 + b"\xff\x02" * 3
    assert answer.headers["content-type"] == "application/octet-stream"
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["bytes_out"]) == ("completed", 18)


@pytest.mark.parametrize(("end", "cause"), [("cut", "truncated-body"), ("reset", "reset")])
def test_a_file_that_breaks_off_is_cut_for_the_client_too(gateway: Gateway, end: str, cause: str) -> None:
    path = f"{gateway.url}/v1/files/f/blob"
    asked = {"end": end, "gap_ms": "30"}
    with httpx.stream("GET", path, params=asked, headers=HEADERS) as answer, pytest.raises(httpx.TransportError):
        answer.read()
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"]) == ("upstream-premature", cause)


def chunks(client: openai.OpenAI, model: str, **more: Any) -> list[Any]:
    said: Any = [{"role": "user", "content": "Hi."}]
    return list(client.chat.completions.create(model=model, messages=said, stream=True, **more))


def test_usage_is_asked_for_and_recorded_and_its_chunk_kept_to_ourselves(
    client: openai.OpenAI, gateway: Gateway, upstream: FaultServer
) -> None:
    upstream.clear_log()
    said: Any = [{"role": "user", "content": "Hi."}]
    raw = client.chat.completions.with_raw_response.create(model="ok", messages=said, stream=True)
    assert all(chunk.choices for chunk in raw.parse())
    assert '"include_usage":true' in upstream.log()[-1].body
    entry = gateway.entry(raw.headers["x-request-id"])
    assert (entry["input_tokens"], entry["output_tokens"]) == (12, 5)


@pytest.mark.parametrize("asked", [True, False])
def test_a_client_that_speaks_of_usage_gets_what_it_said(client: openai.OpenAI, upstream: FaultServer, asked: bool) -> None:
    upstream.clear_log()
    got = chunks(client, "ok", stream_options={"include_usage": asked})
    assert (got[-1].choices == []) is asked
    assert bool(got[-1].usage) is asked
    assert f'"include_usage":{str(asked).lower()}' in upstream.log()[-1].body


def test_every_caller_gets_the_list_of_models_in_its_own_words(gateway: Gateway, client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["closed-port"]  # of the routes, the one that is no glob
    assert client.models.retrieve("closed-port").id == "closed-port"
    messages = anthropic.Anthropic(api_key=KEY, base_url=gateway.url, max_retries=0)
    assert [model.id for model in messages.models.list()] == ["closed-port"]
    assert messages.models.retrieve("closed-port").type == "model"


def test_a_form_asks_for_the_upstreams_own_name_of_the_model(client: openai.OpenAI, upstream: FaultServer) -> None:
    upstream.clear_log()
    client.audio.transcriptions.create(model="chat/whisper-9", file=("a.wav", b"\x00\xff" * 9))
    body = upstream.log()[-1].body
    assert "whisper-9" in body
    assert "chat/whisper-9" not in body


def test_an_earlier_response_belongs_to_the_credential_that_made_it(
    client: openai.OpenAI, gateway: Gateway, upstream: FaultServer
) -> None:
    first = client.responses.create(model="responses/ok", input="Hi.")
    upstream.clear_log()
    assert client.responses.create(model="responses/ok", input="Go on.", previous_response_id=first.id).status == "completed"
    assert upstream.log()[-1].headers["authorization"].endswith("upstream-secret-responses")
    headers = HEADERS | {"content-type": "application/json"}
    asked = {"model": "socket/ok", "input": "Go on.", "previous_response_id": first.id}
    elsewhere = httpx.post(f"{gateway.url}/v1/responses", json=asked, headers=headers)
    assert (elsewhere.status_code, first.id in elsewhere.json()["error"]["message"]) == (400, True)
    upstream.clear_log()
    httpx.get(f"{gateway.url}/v1/responses/{first.id}", headers=HEADERS)
    assert [record.headers["authorization"].rpartition("-")[2] for record in upstream.log()] == ["responses"]
