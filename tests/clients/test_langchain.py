"""LangChain's OpenAI model as a client, on an upstream of its own protocol and on others."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from langchain_core.messages import AIMessageChunk
from langchain_openai import ChatOpenAI

from tests.clients.hearing import WEATHER
from tests.gateways import KEY, Gateway

pytestmark = pytest.mark.gateway


def model(gateway: Gateway, name: str, **more: Any) -> Any:
    url = f"{gateway.url}/v1"
    return ChatOpenAI(model=name, api_key=KEY, base_url=url, max_retries=0, stream_usage=True, **more)  # type: ignore[arg-type]


def gathered(chunks: Any) -> AIMessageChunk:
    found = None
    for chunk in chunks:
        found = chunk if found is None else found + chunk
    assert found is not None
    return found


@pytest.mark.parametrize("behind", ["chat", "messages", "gemini", "ollama"])
@pytest.mark.parametrize("streams", [True, False], ids=["stream", "whole"])
def test_it_hears_text_and_usage(gateway: Gateway, behind: str, streams: bool) -> None:
    asked = model(gateway, f"{behind}/ok")
    said = gathered(asked.stream("Hi.")) if streams else asked.invoke("Hi.")
    assert said.content == "A good ending is told"
    assert said.usage_metadata["total_tokens"] == 17


@pytest.mark.parametrize("behind", ["chat", "messages", "gemini"])
def test_it_hears_tool_calls(gateway: Gateway, behind: str) -> None:
    tools = [{"type": "function", "function": WEATHER}]
    said = gathered(model(gateway, f"{behind}/tools").bind_tools(tools).stream("Hi."))
    assert [(call["name"], call["args"]["city"]) for call in said.tool_calls] == [
        ("get_weather", "Oslo"),
        ("get_weather", "Łódź"),
    ]


@pytest.mark.parametrize("behind", ["chat", "messages"])
def test_a_stream_that_died_raises_with_the_request_id(gateway: Gateway, behind: str) -> None:
    with pytest.raises(openai.APIError, match="request id req_"):
        gathered(model(gateway, f"{behind}/cut,after=3").stream("Hi."))


def test_it_speaks_responses_too(gateway: Gateway) -> None:
    said = gathered(model(gateway, "chat/ok", use_responses_api=True).stream("Hi."))
    assert said.text == "A good ending is told" or said.text() == "A good ending is told"
