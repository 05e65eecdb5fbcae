"""The official SDKs as clients: what they read, and that a stream that died makes them raise with our message."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import openai
import pytest

from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway
SAY: Any = [{"role": "user", "content": "Hi."}]


def chat(gateway: Gateway, model: str) -> Iterable[Any]:
    client = openai.OpenAI(api_key=KEY, base_url=f"{gateway.url}/v1", max_retries=0)
    return client.chat.completions.create(model=model, messages=SAY, stream=True)


def responses(gateway: Gateway, model: str) -> Iterable[Any]:
    client = openai.OpenAI(api_key=KEY, base_url=f"{gateway.url}/v1", max_retries=0)
    return client.responses.create(model=model, input="Hi.", stream=True)


def messages(gateway: Gateway, model: str) -> Iterable[Any]:
    client = anthropic.Anthropic(api_key=KEY, base_url=gateway.url, max_retries=0)
    return client.messages.create(model=model, max_tokens=9, messages=SAY, stream=True)


ASK = [chat, responses, messages]


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("model", ["ok", "tools", "reasoning"])
def test_a_healthy_stream_is_read_to_its_end(gateway: Gateway, ask: Callable[..., Iterable[Any]], model: str) -> None:
    assert len(list(ask(gateway, model))) > 3


@pytest.mark.parametrize("ask", ASK)
@pytest.mark.parametrize("model", ["eof,after=3", "cut,after=3", "reset,after=3"])
def test_a_stream_that_died_raises_with_the_request_id(gateway: Gateway, ask: Callable[..., Iterable[Any]], model: str) -> None:
    got = []
    with pytest.raises((openai.APIError, anthropic.APIError), match="request id req_"):
        for item in ask(gateway, model):
            got.append(item)
    assert got


@pytest.mark.parametrize("ask", ASK)
def test_an_error_status_is_the_sdks_own_error(gateway: Gateway, ask: Callable[..., Iterable[Any]]) -> None:
    with pytest.raises((openai.RateLimitError, anthropic.RateLimitError)):
        list(ask(gateway, "status,code=429,retry_after=7"))


@pytest.mark.parametrize(
    ("model", "stream"),
    [("status,code=429", True), ("status,code=500", False), ("eof,after=0", True)],
)
def test_anthropics_sdk_finds_our_request_id_on_an_error(gateway: Gateway, model: str, stream: bool) -> None:
    client = anthropic.Anthropic(api_key=KEY, base_url=gateway.url, max_retries=0)
    with pytest.raises(anthropic.APIStatusError) as raised:
        client.messages.create(model=model, max_tokens=9, messages=SAY, stream=stream)
    assert raised.value.request_id == raised.value.response.headers["x-request-id"]
    assert gateway.entry(str(raised.value.request_id))["model"] == model


def test_anthropics_sdk_finds_our_request_id_on_a_key_that_is_none(gateway: Gateway) -> None:
    client = anthropic.Anthropic(api_key="nobody's", base_url=gateway.url, max_retries=0)
    for ask in (lambda: client.messages.create(model="ok", max_tokens=9, messages=SAY), client.models.list):
        with pytest.raises(anthropic.AuthenticationError) as raised:
            ask()
        assert gateway.entry(str(raised.value.request_id))["cause"] == "bad-key"


def test_anthropics_sdk_finds_our_request_id_on_an_answer(gateway: Gateway) -> None:
    client = anthropic.Anthropic(api_key=KEY, base_url=gateway.url, max_retries=0)
    whole = client.messages.create(model="ok", max_tokens=9, messages=SAY)
    assert gateway.entry(str(whole._request_id))["outcome"] == "completed"
    counted = client.messages.count_tokens(model="ok", messages=SAY)
    assert str(counted._request_id).startswith("req_")
    with client.messages.stream(model="ok,gap_ms=20", max_tokens=9, messages=SAY) as stream:
        assert list(stream)
        assert gateway.entry(str(stream.request_id))["stream"] is True


def test_only_messages_carries_the_request_id_twice(gateway: Gateway) -> None:
    client = openai.OpenAI(api_key=KEY, base_url=f"{gateway.url}/v1", max_retries=0)
    raw = client.chat.completions.with_raw_response.create(model="ok", messages=SAY)
    assert raw.headers["x-request-id"].startswith("req_") and "request-id" not in raw.headers
