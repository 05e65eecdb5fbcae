"""What an official SDK makes of an answer, in one shape for all of them, so that answers can be compared across protocols."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import anthropic
import ollama
import openai
from google import genai
from google.genai import types

from tests.gateways import KEY

SAY: Any = [{"role": "user", "content": "Hi."}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@dataclass
class Heard:
    """One answer. `stop` in the words of the client's protocol."""

    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    stop: str | None = None
    usage: tuple[int, int, int] | None = None  # input, those from a cache, output


@cache
def openai_client(url: str) -> openai.OpenAI:
    return openai.OpenAI(api_key=KEY, base_url=f"{url}/v1", max_retries=0)


@cache
def anthropic_client(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=KEY, base_url=url, max_retries=0)


@cache
def gemini_client(url: str) -> genai.Client:
    return genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=url, timeout=20_000))


@cache
def ollama_client(url: str) -> ollama.Client:
    return ollama.Client(host=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=20)


def chat(url: str, model: str, stream: bool) -> Heard:
    tools: Any = [{"type": "function", "function": WEATHER}]
    create = openai_client(url).chat.completions.create
    if not stream:
        choice = (answer := create(model=model, messages=SAY, tools=tools)).choices[0]
        said = choice.message
        asked: list[Any] = list(said.tool_calls or [])
        calls = [(call.function.name, json.loads(call.function.arguments)) for call in asked]
        thoughts = (said.model_extra or {}).get("reasoning_content") or ""
        return Heard(
            (said.content or "") + (said.refusal or ""), thoughts, calls, choice.finish_reason, _chat_usage(answer.usage)
        )
    heard, pieces = Heard(), {}
    for chunk in create(model=model, messages=SAY, tools=tools, stream=True, stream_options={"include_usage": True}):
        heard.usage = _chat_usage(chunk.usage) or heard.usage
        for piece in chunk.choices:
            heard.stop = piece.finish_reason or heard.stop
            heard.text += (piece.delta.content or "") + (piece.delta.refusal or "")
            heard.thoughts += (piece.delta.model_extra or {}).get("reasoning_content") or ""
            for call in piece.delta.tool_calls or []:
                known = pieces.setdefault(call.index, ["", ""])
                known[0] += (call.function and call.function.name) or ""
                known[1] += (call.function and call.function.arguments) or ""
    heard.calls = [(name, json.loads(arguments)) for name, arguments in pieces.values()]
    return heard


def _chat_usage(usage: Any) -> tuple[int, int, int] | None:
    if usage is None:
        return None
    return (
        usage.prompt_tokens,
        (usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens) or 0,
        usage.completion_tokens,
    )


def responses(url: str, model: str, stream: bool) -> Heard:
    tools: Any = [{"type": "function", "strict": False, **WEATHER}]
    client, answer = openai_client(url), None
    if stream:
        with client.responses.stream(model=model, input="Hi.", tools=tools) as events:
            for event in events:
                if event.type in ("response.completed", "response.incomplete"):
                    answer = event.response
    else:
        answer = client.responses.create(model=model, input="Hi.", tools=tools)
    assert answer is not None
    heard = Heard(stop=answer.incomplete_details.reason if answer.incomplete_details else answer.status)
    for item in answer.output:
        if item.type == "message":
            heard.text += "".join(part.text if part.type == "output_text" else part.refusal for part in item.content)
        elif item.type == "reasoning":
            heard.thoughts += "".join(part.text for part in item.summary)
        elif item.type == "function_call":
            heard.calls.append((item.name, json.loads(item.arguments)))
    used = answer.usage
    heard.usage = (used.input_tokens, used.input_tokens_details.cached_tokens, used.output_tokens) if used else None
    return heard


def messages(url: str, model: str, stream: bool) -> Heard:
    tools: Any = [{"name": "get_weather", "input_schema": WEATHER["parameters"]}]
    client = anthropic_client(url)
    if stream:
        with client.messages.stream(model=model, max_tokens=900, messages=SAY, tools=tools) as events:
            answer = events.get_final_message()
    else:
        answer = client.messages.create(model=model, max_tokens=900, messages=SAY, tools=tools)
    heard = Heard(stop=answer.stop_reason)
    for block in answer.content:
        if block.type == "text":
            heard.text += block.text
        elif block.type == "thinking":
            heard.thoughts += block.thinking
        elif block.type == "tool_use":
            heard.calls.append((block.name, dict(block.input)))
    used, cached = answer.usage, answer.usage.cache_read_input_tokens or 0
    heard.usage = (used.input_tokens + cached, cached, used.output_tokens)
    return heard


def gemini(url: str, model: str, stream: bool) -> Heard:
    declared = types.FunctionDeclaration(name="get_weather", parameters_json_schema=WEATHER["parameters"])
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    models = gemini_client(url).models
    ask: Any = models.generate_content_stream if stream else lambda **fields: [models.generate_content(**fields)]
    heard = Heard()
    for answer in ask(model=model, contents="Hi.", config=config):
        for candidate in answer.candidates or []:
            heard.stop = candidate.finish_reason.value if candidate.finish_reason else heard.stop
            for part in (candidate.content and candidate.content.parts) or []:
                if part.function_call:
                    heard.calls.append((part.function_call.name, dict(part.function_call.args or {})))
                elif part.thought:
                    heard.thoughts += part.text or ""
                else:
                    heard.text += part.text or ""
        if answer.usage_metadata and answer.usage_metadata.total_token_count:
            used = answer.usage_metadata
            output = (used.candidates_token_count or 0) + (used.thoughts_token_count or 0)
            heard.usage = (used.prompt_token_count, used.cached_content_token_count or 0, output)
    return heard


def ollama_chat(url: str, model: str, stream: bool) -> Heard:
    tools: Any = [{"type": "function", "function": WEATHER}]
    found = ollama_client(url).chat(model=model, messages=SAY, tools=tools, stream=stream)
    heard = Heard()
    for answer in found if stream else [found]:
        heard.text += answer.message.content or ""
        heard.thoughts += answer.message.thinking or ""
        heard.calls += [(call.function.name, dict(call.function.arguments)) for call in answer.message.tool_calls or []]
        heard.stop = answer.done_reason or heard.stop
        if answer.done:
            heard.usage = (answer.prompt_eval_count or 0, 0, answer.eval_count or 0)
    return heard


CLIENTS: dict[str, Callable[[str, str, bool], Heard]] = {
    "chat": chat,
    "responses": responses,
    "messages": messages,
    "gemini": gemini,
    "ollama": ollama_chat,
}
ERRORS = (openai.APIError, anthropic.APIError, genai.errors.APIError, ollama.ResponseError)
