"""Counting tokens: any client that can ask for it, on any upstream that can answer; elsewhere an error that says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from google.genai import errors

from relay.rehearsal.server import FaultServer
from tests.clients.hearing import ERRORS, SAY, WEATHER, anthropic_client, gemini_client, openai_client
from tests.gateways import Gateway

pytestmark = pytest.mark.gateway
TOOL: Any = {"name": "get_weather", "input_schema": WEATHER["parameters"]}


def messages(url: str, model: str) -> int:
    thinking: Any = {"type": "enabled", "budget_tokens": 2048}
    count = anthropic_client(url).messages.count_tokens
    return count(model=model, messages=SAY, system="Be brief.", tools=[TOOL], thinking=thinking).input_tokens


def responses(url: str, model: str) -> int:
    tools: Any = [{"type": "function", "strict": False, **WEATHER}]
    count = openai_client(url).responses.input_tokens.count
    return count(model=model, input="Hi.", instructions="Be brief.", tools=tools).input_tokens


def gemini(url: str, model: str) -> int:
    return gemini_client(url).models.count_tokens(model=model, contents="Hi.").total_tokens or 0


CLIENTS: dict[str, Callable[[str, str], int]] = {"messages": messages, "responses": responses, "gemini": gemini}
# What the upstream of each protocol must be asked: the path's end, and where its body has the conversation.
ASKED = {
    "messages": ("/v1/messages/count_tokens", lambda body: body["messages"][0]["content"]),
    "responses": ("/v1/responses/input_tokens", lambda body: body["input"]),
    "gemini": (":countTokens", lambda body: body.get("generateContentRequest", body)["contents"][0]["parts"]),
}
KNOWN = {
    "messages": {"model", "messages", "system", "tools", "tool_choice", "thinking"},
    "responses": {"model", "input", "instructions", "tools", "tool_choice", "reasoning", "parallel_tool_calls"},
    "gemini": {"generateContentRequest", "contents"},
}


@pytest.mark.parametrize("behind", ASKED)
@pytest.mark.parametrize("client", CLIENTS)
def test_a_count_is_asked_for_in_the_upstreams_words_and_told_in_the_clients(
    gateway: Gateway, upstream: FaultServer, client: str, behind: str
) -> None:
    upstream.clear_log()
    assert CLIENTS[client](gateway.url, f"{behind}/ok") == 7
    (record,) = upstream.log()
    ending, said = ASKED[behind]
    body = json.loads(record.body)
    assert record.path.endswith(ending)
    assert "Hi." in json.dumps(said(body))
    assert body.keys() <= KNOWN[behind]  # real upstreams refuse what they do not know
    if client != "gemini":
        assert "Be brief." in record.body and "get_weather" in record.body
    if behind == "gemini" and client != "gemini":
        assert body["generateContentRequest"]["model"] == "models/ok"


def test_it_is_on_record_without_usage_since_nothing_was_used(gateway: Gateway) -> None:
    raw = anthropic_client(gateway.url).messages.with_raw_response.count_tokens(model="gemini/ok", messages=SAY)
    entry = gateway.entry(raw.headers["x-request-id"])
    assert (entry["outcome"], entry["tag"], entry["provider"], entry["input_tokens"]) == ("completed", "messages", "gemini", None)


@pytest.mark.parametrize("behind", ["chat", "ollama"])
@pytest.mark.parametrize("client", CLIENTS)
def test_where_nothing_can_count_the_client_is_told_so(gateway: Gateway, client: str, behind: str) -> None:
    with pytest.raises(ERRORS, match=r"no upstream of .* has a call that counts tokens") as caught:
        CLIENTS[client](gateway.url, f"{behind}/ok")
    assert isinstance(caught.value, anthropic.NotFoundError | openai.NotFoundError | errors.ClientError)


@pytest.mark.parametrize(("client", "behind"), [("messages", "gemini"), ("responses", "messages"), ("gemini", "responses")])
def test_an_error_of_the_upstream_is_told_in_the_clients_words(gateway: Gateway, client: str, behind: str) -> None:
    with pytest.raises(ERRORS, match="rehearsed failure") as caught:
        CLIENTS[client](gateway.url, f"{behind}/status,code=400")
    assert 400 in (getattr(caught.value, "status_code", 0), getattr(caught.value, "code", 0))


def test_a_field_that_cannot_be_carried_is_named(gateway: Gateway) -> None:
    audio: Any = [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "f"}}]}]
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[0\].content\[0\].source.type"):
        anthropic_client(gateway.url).messages.count_tokens(model="gemini/ok", messages=audio)
