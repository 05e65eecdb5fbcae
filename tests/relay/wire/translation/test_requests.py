"""Requests between protocols: what is carried comes out the same, and what cannot be is refused by name or on record."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from relay.wire.events import BadField
from relay.wire.registry import DIALECTS
from relay.wire.translation.features import FEATURES, PROTOCOLS
from relay.wire.translation.prompt import (
    Format,
    Media,
    Prompt,
    Reasoning,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    joined_text,
)
from relay.wire.translation.translated import DIALECT_OF, MAPPINGS, translate

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PNG = "iVBORw0KGgo="


def rich() -> Prompt:
    """A conversation with all that every protocol can carry."""
    return Prompt(
        turns=[
            Turn("system", (Text("Be brief."),)),
            Turn("user", (Text("Two cities."), Media("image", "image/png", PNG))),
            Turn(
                "assistant",
                (
                    Text("I look."),
                    ToolCall("call_0_get_weather", "get_weather", '{"city":"Oslo"}'),
                    ToolCall("call_1_get_weather", "get_weather", '{"city":"Quito"}'),
                ),
            ),
            Turn(
                "user",
                (
                    ToolResult("call_0_get_weather", (Text("rain"),), "get_weather"),
                    ToolResult("call_1_get_weather", (Text("sun"),), "get_weather"),
                ),
            ),
            Turn("user", (Text("Which is nicer?"),)),
        ],
        tools=[Tool("get_weather", "The weather.", SCHEMA)],
        format=Format(SCHEMA, "answer"),
        reasoning=Reasoning("medium"),
        max_tokens=9000,
        temperature=0.5,
        top_p=0.9,
    )


def told(prompt: Prompt) -> list[tuple[str, Any]]:
    """The conversation part by part, so that how a protocol groups parts into messages makes no difference."""
    found: list[tuple[str, Any]] = []
    calls: list[str] = []  # ids, which a protocol may not carry: their order tells which result is whose
    for turn in prompt.turns:
        for part in turn.parts:
            match part:
                case ToolCall(id, name, arguments):
                    calls.append(id)
                    found.append(("call", (name, orjson.loads(arguments))))
                case ToolResult(id, parts):
                    found.append(("result", (calls.index(id), joined_text(parts))))
                case Media():
                    found.append(("media", (part.kind, part.media_type, part.data, part.url)))
                case Text(text):
                    found.append((turn.role, text))
    return found


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_written_in_a_protocol_reads_the_same(protocol: str) -> None:
    prompt = rich()
    back = MAPPINGS[protocol].read(MAPPINGS[protocol].write(prompt, "some-model", True))
    assert told(back) == told(rich())
    assert [(tool.name, tool.description, tool.schema) for tool in back.tools] == [("get_weather", "The weather.", SCHEMA)]
    assert back.format is not None
    assert back.format.schema == SCHEMA
    assert (back.reasoning is None) is (protocol == "anthropic")  # a tool call in the history lacks its signed reasoning
    assert (back.max_tokens, back.temperature, back.top_p) == (prompt.max_tokens, prompt.temperature, prompt.top_p)


@pytest.mark.parametrize(("source", "target"), [(a, b) for a in PROTOCOLS for b in PROTOCOLS if a != b])
def test_a_rich_request_crosses_every_pair(source: str, target: str) -> None:
    prompt = rich()
    prompt.reasoning = None
    body = MAPPINGS[source].write(prompt, "some-model", True)
    found = translate(DIALECT_OF[source], body, target, "other-model", True)
    back = MAPPINGS[target].read(orjson.loads(found.payload))
    assert told(back) == told(rich())
    assert (back.max_tokens, back.temperature, back.top_p) == (9000, 0.5, 0.9)
    assert not [note for note in found.notes if note.startswith("lost") and "store" not in note]


CLAUDE_CODE = {
    "model": "claude-x",
    "max_tokens": 32000,
    "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Read it."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "text", "text": "Reading."},
                {"type": "tool_use", "id": "toolu_1", "name": "Read", "input": {"path": "a.py"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": [{"type": "text", "text": "x = 1"}],
                    "is_error": True,
                },
                {"type": "text", "text": "Go on."},
            ],
        },
    ],
    "tools": [
        {"name": "Read", "description": "Reads.", "input_schema": SCHEMA},
        {"type": "web_search_20250305", "name": "web_search"},
    ],
    "thinking": {"type": "enabled", "budget_tokens": 9000},
    "metadata": {"user_id": "u1"},
    "stream": True,
}


def test_an_agents_messages_as_a_chat() -> None:
    found = translate(DIALECTS["messages"], CLAUDE_CODE, "openai-chat", "gpt-5-mini", True)
    assert orjson.loads(found.payload) == {
        "model": "gpt-5-mini",
        "messages": [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": "Read it."},
            {
                "role": "assistant",
                "content": "Reading.",
                "tool_calls": [
                    {"id": "toolu_1", "type": "function", "function": {"name": "Read", "arguments": '{"path":"a.py"}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "x = 1"},
            {"role": "user", "content": "Go on."},
        ],
        "max_completion_tokens": 32000,
        "user": "u1",
        "tools": [{"type": "function", "function": {"name": "Read", "description": "Reads.", "parameters": SCHEMA}}],
        "reasoning_effort": "medium",
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert found.notes == {
        "lost:cache_control",
        "lost:is_error",
        "lost:reasoning of earlier turns",
        "lost:tools[1].type web_search_20250305",
    }


def test_a_chat_as_messages_has_what_the_protocol_insists_on() -> None:
    body = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Hi."},
            {"role": "user", "content": "Again."},
            {"role": "system", "content": "Now in French."},
        ],
        "parallel_tool_calls": False,
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "seed": 4,
    }
    found = translate(DIALECTS["chat"], body, "anthropic", "claude-sonnet-4-5", False)
    assert orjson.loads(found.payload) == {
        "model": "claude-sonnet-4-5",
        "system": "Be brief.",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": text} for text in ("Hi.", "Again.", "Now in French.")]}
        ],
        "max_tokens": 32000,
        "tools": [{"name": "f", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    }
    assert found.notes == {"lost:seed", "assumed:max_tokens=32000", "moved:instructions in mid-conversation"}


def test_a_signature_comes_back_to_its_vendor_through_a_client_of_another_protocol() -> None:
    thought = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
    history = {
        "input": [
            {"role": "user", "content": "Hi."},
            thought | {"encrypted_content": "epitaph.anthropic.c2ln"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "done"},
        ],
        "reasoning": {"effort": "high"},
    }
    found = translate(DIALECTS["responses"], history, "anthropic", "claude-sonnet-4-5", True)
    body = orjson.loads(found.payload)
    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    assert body["thinking"]["type"] == "enabled"
    to_gemini = orjson.loads(translate(DIALECTS["responses"], history, "gemini", "gemini-3-pro", True).payload)
    assert "c2ln" not in orjson.dumps(to_gemini).decode()


def test_without_its_signed_reasoning_a_tool_call_goes_on_without_thinking() -> None:
    body = {
        "messages": [
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "done"},
        ],
        "reasoning_effort": "high",
    }
    found = translate(DIALECTS["chat"], body, "anthropic", "claude-sonnet-4-5", True)
    assert "thinking" not in orjson.loads(found.payload)
    assert any("signed reasoning" in note for note in found.notes)


CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi."}]}
AUDIO = {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}
REFUSED = [
    ("chat", "anthropic", CHAT | {"n": 2}, "n cannot be carried"),
    ("chat", "anthropic", CHAT | {"logprobs": True}, "logprobs cannot be carried"),
    ("chat", "gemini", {"messages": "Hi."}, "messages is str; expected a list"),
    ("chat", "anthropic", CHAT | {"temperature": "hot"}, "temperature is str; expected a number"),
    ("chat", "anthropic", {"messages": [{"role": "user", "content": [AUDIO]}]}, "input_audio cannot be carried"),
    ("chat", "anthropic", {"messages": [{"role": "user", "content": [{"type": "video"}]}]}, r"messages\[0\].content\[0\].type"),
    ("chat", "openai-responses", CHAT | {"stop": ["x"]}, "stop cannot be carried"),
    ("chat", "ollama", CHAT | {"tools": [], "tool_choice": "required"}, "tool_choice cannot be carried"),
    ("responses", "openai-chat", {"input": "Hi.", "previous_response_id": "resp_1"}, "previous_response_id cannot be carried"),
    ("responses", "openai-chat", {"input": [{"type": "computer_call"}]}, r"input\[0\].type is 'computer_call'"),
    ("messages", "openai-chat", {"messages": [], "mcp_servers": [{}]}, "mcp_servers cannot be carried"),
    ("messages", "gemini", {"messages": [{"role": "user", "content": [{"type": "odd"}]}]}, r"messages\[0\].content\[0\].type"),
    ("gemini", "openai-chat", {"contents": [], "cachedContent": "c/1"}, "cachedContent cannot be carried"),
    ("gemini", "openai-chat", {"contents": [], "generation_config": {"response_modalities": ["AUDIO"]}}, "responseModalities"),
    ("ollama", "openai-chat", {"prompt": "Hi.", "raw": True}, "raw cannot be carried"),
]


@pytest.mark.parametrize(("tag", "target", "body", "said"), REFUSED)
def test_what_cannot_be_carried_is_refused_by_its_name(tag: str, target: str, body: dict[str, Any], said: str) -> None:
    with pytest.raises(BadField, match=said):
        translate(DIALECTS[tag], body, target, "m", True)


LOST = [
    ("chat", "anthropic", CHAT | {"logit_bias": {"1": 2}, "service_tier": "flex"}, {"lost:logit_bias", "lost:service_tier"}),
    ("responses", "openai-chat", {"input": "Hi.", "store": True, "include": ["x"]}, {"lost:store", "lost:include x"}),
    ("responses", "openai-chat", {"input": "Hi.", "text": {"verbosity": "low"}}, {"lost:text.verbosity"}),
    ("gemini", "openai-chat", {"contents": [], "safetySettings": [{}]}, {"lost:safetySettings"}),
    ("gemini", "openai-chat", {"contents": [], "tools": [{"googleSearch": {"x": 1}}]}, {"lost:tools[0].googleSearch"}),
    ("ollama", "anthropic", {"prompt": "Hi.", "options": {"num_ctx": 9, "seed": 1}}, {"lost:options.num_ctx", "lost:seed"}),
]


@pytest.mark.parametrize(("tag", "target", "body", "notes"), LOST)
def test_what_is_lost_is_on_record(tag: str, target: str, body: dict[str, Any], notes: set[str]) -> None:
    found = translate(DIALECTS[tag], body, target, "m", True)
    assert notes <= found.notes


def test_the_table_names_every_plain_setting_of_a_prompt() -> None:
    scalars = {feature.name for feature in FEATURES if feature.scalar}
    assert scalars == {
        "max_tokens",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "n",
        "user",
    }
    prompt = Prompt(tool_choice=ToolChoice("auto"))
    assert not [feature.name for feature in FEATURES if feature.used(prompt)]
