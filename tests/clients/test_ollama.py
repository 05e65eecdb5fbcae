"""The ollama package as a client: what it reads through the gateway is what it reads without it, and a death raises."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import httpx
import ollama
import pytest

from relay.rehearsal.server import FaultServer
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
SAY = [{"role": "user", "content": "Hi."}]
HEADERS = {"Authorization": f"Bearer {KEY}"}


def client(url: str) -> ollama.Client:
    return ollama.Client(host=url, headers=HEADERS, timeout=20)


def chat(url: str, model: str, stream: bool = True) -> Any:
    return client(url).chat(model=model, messages=SAY, stream=stream)


def generate(url: str, model: str, stream: bool = True) -> Any:
    return client(url).generate(model=model, prompt="Hi.", stream=stream)


def plain(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.model_dump().items() if name != "created_at"}


ASK = [chat, generate]


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("model", ["ok", "tools", "reasoning", "length", "unicode"])
def test_a_stream_through_the_gateway_is_the_one_without_it(
    gateway: Gateway, upstream: FaultServer, ask: Callable[..., Iterable[Any]], model: str
) -> None:
    through = [plain(item) for item in ask(gateway.url, model)]
    assert through == [plain(item) for item in ask(upstream.url, model)]
    assert through[-1]["done"] is True


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("model", ["ok", "tools", "reasoning"])
def test_a_whole_answer_too(gateway: Gateway, upstream: FaultServer, ask: Callable[..., Any], model: str) -> None:
    assert plain(ask(gateway.url, model, stream=False)) == plain(ask(upstream.url, model, stream=False))


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("model", ["eof,after=3", "cut,after=3", "reset,after=3", "idle,after=3,seconds=30"])
def test_a_stream_that_died_raises_with_the_request_id(gateway: Gateway, ask: Callable[..., Iterable[Any]], model: str) -> None:
    got = []
    with pytest.raises(ollama.ResponseError, match="request id req_"):
        for item in ask(gateway.url, model):
            got.append(item)
    assert len(got) == 3


def test_an_error_status_and_a_refusal_are_the_packages_own_errors(gateway: Gateway) -> None:
    with pytest.raises(ollama.ResponseError, match="rehearsed failure") as caught:
        list(chat(gateway.url, "status,code=503"))
    assert caught.value.status_code == 503
    with pytest.raises(ollama.ResponseError, match="not known"):
        list(ollama.Client(host=gateway.url, headers={"Authorization": "Bearer nobody"}).chat("ok", SAY))


def test_models_are_listed_shown_and_the_version_told(gateway: Gateway) -> None:
    assert "closed-port" in [model.model for model in client(gateway.url).list().models]
    assert client(gateway.url).show("closed-port").capabilities == ["completion", "tools", "vision", "thinking"]
    assert httpx.get(f"{gateway.url}/api/version", headers=HEADERS).json()["version"]
    assert "model is missing" in httpx.post(f"{gateway.url}/api/show", json={}, headers=HEADERS).json()["error"]


# scenario, outcome, cause
ENDINGS = [
    ("ok", "completed", None),
    ("length", "incomplete", None),
    ("no-done", "upstream-premature", "eof"),
    ("half-last", "upstream-premature", "eof"),
    ("unterminated-last", "completed", None),
    ("error-later,after=2", "upstream-error", "error-event"),
    ("html", "upstream-error", "not-a-stream"),
    ("terminal-then-open", "completed", None),
]


@pytest.mark.parametrize(("model", "outcome", "cause"), ENDINGS)
def test_lines_end_as_is_on_record(gateway: Gateway, model: str, outcome: str, cause: str | None) -> None:
    answer = httpx.post(f"{gateway.url}/api/chat", json={"model": model, "messages": SAY}, headers=HEADERS, timeout=20)
    entry = gateway.entry(answer.headers["x-request-id"])
    assert (entry["outcome"], entry["cause"], entry["tag"]) == (outcome, cause, "ollama")
    if answer.status_code == 200:
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert entry["stream"] is True


def test_the_management_api_beside_it_still_answers(gateway: Gateway) -> None:
    assert gateway.api.get("/api/audit/entries").status_code == 200
    assert httpx.post(f"{gateway.url}/api/chat", json={"model": "ok", "messages": SAY}).status_code == 401
