"""The official SDKs read the scripted upstream itself, without a gateway between: they are the judges of what a protocol is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from relay.rehearsal.answers import THOUGHTS
from relay.rehearsal.server import FaultServer

SAID = "A good ending is told"
ASKED: list[Any] = [{"role": "user", "content": "How did it end?"}]


@pytest.fixture
def gpt(upstream: FaultServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as client:
        yield client


@pytest.fixture
def claude(upstream: FaultServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=upstream.url, api_key="k", max_retries=0) as client:
        yield client


def test_a_streamed_chat_answer(gpt: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(gpt.chat.completions.create(model="ok", messages=ASKED, stream=True, stream_options=options))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SAID
    assert [chunk.usage.total_tokens for chunk in chunks if chunk.usage] == [17]
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_usage_is_streamed_on_request_only(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(model="ok", messages=ASKED, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_a_whole_chat_answer(gpt: openai.OpenAI) -> None:
    answer = gpt.chat.completions.create(model="ok", messages=ASKED)
    assert answer.choices[0].message.content == SAID
    assert answer.usage and (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (12, 5)


def test_chat_tool_calls_interleave_and_come_together(gpt: openai.OpenAI) -> None:
    arguments: dict[int, str] = {}
    order = []
    for chunk in gpt.chat.completions.create(model="tools", messages=ASKED, stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            order.append(call.index)
            arguments[call.index] = arguments.get(call.index, "") + ((call.function and call.function.arguments) or "")
    assert arguments == {0: '{"city": "Oslo"}', 1: '{"city": "Łódź"}'}
    assert order[2:4] == [0, 1]
    whole = gpt.chat.completions.create(model="tools", messages=ASKED).choices[0]
    assert whole.finish_reason == "tool_calls"
    assert [call.function.arguments for call in whole.message.tool_calls or []] == list(arguments.values())  # type: ignore[union-attr]


def test_chat_reasoning(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(model="reasoning", messages=ASKED, stream=True))
    thought = "".join(getattr(chunk.choices[0].delta, "reasoning_content", None) or "" for chunk in chunks)
    assert thought == THOUGHTS
    whole = gpt.chat.completions.create(model="reasoning", messages=ASKED)
    assert whole.choices[0].message.reasoning_content == THOUGHTS  # type: ignore[attr-defined]


def test_chat_choices_side_by_side(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(model="multi-choice,n=2", messages=ASKED, stream=True, n=2))
    for index in (0, 1):
        mine = [chunk.choices[0] for chunk in chunks if chunk.choices[0].index == index]
        assert "".join(choice.delta.content or "" for choice in mine) == SAID
        assert mine[-1].finish_reason == "stop"


def test_a_streamed_response(gpt: openai.OpenAI) -> None:
    with gpt.responses.stream(model="ok", input="x") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == SAID
    assert final.output_text == SAID and final.usage and final.usage.total_tokens == 17
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_whole_response(gpt: openai.OpenAI) -> None:
    answer = gpt.responses.create(model="ok", input="x")
    assert (answer.status, answer.output_text) == ("completed", SAID)


@pytest.mark.parametrize("streamed", [True, False])
def test_response_tool_calls(gpt: openai.OpenAI, streamed: bool) -> None:
    final = response(gpt, "tools", streamed)
    calls = [item for item in final.output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == [
        ("get_weather", '{"city": "Oslo"}'),
        ("get_weather", '{"city": "Łódź"}'),
    ]


@pytest.mark.parametrize("streamed", [True, False])
def test_response_reasoning(gpt: openai.OpenAI, streamed: bool) -> None:
    first, second = response(gpt, "reasoning", streamed).output
    assert first.type == "reasoning" and first.summary[0].text == THOUGHTS
    assert second.type == "message"


def response(gpt: openai.OpenAI, model: str, streamed: bool) -> Any:
    if not streamed:
        return gpt.responses.create(model=model, input="x")
    with gpt.responses.stream(model=model, input="x") as stream:
        return stream.get_final_response()


@pytest.mark.parametrize("model", ["length", "content-filter"])
def test_a_shortened_response_says_so(gpt: openai.OpenAI, model: str) -> None:
    answer = gpt.responses.create(model=model, input="x")
    reason = {"length": "max_output_tokens", "content-filter": "content_filter"}[model]
    assert answer.status == "incomplete" and answer.incomplete_details and answer.incomplete_details.reason == reason
    *_, last = gpt.responses.create(model=model, input="x", stream=True)
    assert last.type == "response.incomplete"


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize(
    ("model", "kinds", "reason"),
    [
        ("ok", ["text"], "end_turn"),
        ("tools", ["tool_use", "tool_use"], "tool_use"),
        ("reasoning", ["thinking", "text"], "end_turn"),
        ("length", ["text"], "max_tokens"),
        ("refusal", ["text"], "refusal"),
    ],
)
def test_messages(claude: anthropic.Anthropic, model: str, kinds: list[str], reason: str, streamed: bool) -> None:
    answer = message(claude, model, streamed)
    assert [block.type for block in answer.content] == kinds
    assert answer.stop_reason == reason
    assert (answer.usage.input_tokens, answer.usage.cache_read_input_tokens) == (8, 4)
    if model == "tools":
        assert [block.input for block in answer.content] == [{"city": "Oslo"}, {"city": "Łódź"}]
    if model == "reasoning":
        assert answer.content[0].thinking == THOUGHTS and answer.content[0].signature


def message(claude: anthropic.Anthropic, model: str, streamed: bool) -> Any:
    if not streamed:
        return claude.messages.create(model=model, max_tokens=9, messages=ASKED)
    with claude.messages.stream(model=model, max_tokens=9, messages=ASKED) as stream:
        return stream.get_final_message()


@pytest.mark.parametrize("model", ["crlf", "cr", "no-space", "odd-lines", "split", "usage-late,seconds=0.01", "gzip", "deflate"])
def test_odd_spellings_mean_the_same_answer(claude: anthropic.Anthropic, model: str) -> None:
    assert message(claude, model, True).content[0].text == SAID


def test_errors_in_the_stream_reach_the_caller(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.APIError, match="rehearsed failure"):
        list(gpt.chat.completions.create(model="error-later", messages=ASKED, stream=True))
    with pytest.raises(anthropic.APIStatusError, match="rehearsed failure"):
        message(claude, "error-later", True)
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        message(claude, "overloaded-in-band", True)


def test_errors_by_status_reach_the_caller(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    with pytest.raises(openai.RateLimitError) as limited:
        gpt.responses.create(model="status,code=429,retry_after=7", input="x")
    assert limited.value.response.headers["retry-after"] == "7"
    assert limited.value.request_id
    with pytest.raises(anthropic.AuthenticationError):
        message(claude, "status,code=401", False)


def test_the_models_are_the_scenarios(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    assert "eof" in [model.id for model in gpt.models.list()]
    assert "eof" in [model.id for model in claude.models.list()]


def test_an_sdk_meets_every_call_of_a_busy_server(upstream: FaultServer) -> None:
    async def many() -> list[str | None]:
        async with openai.AsyncOpenAI(base_url=f"{upstream.url}/v1", api_key="k", max_retries=0) as client:
            calls = [client.responses.create(model=f"ok,events={number + 1}", input="x") for number in range(40)]
            return [answer.output_text for answer in await asyncio.gather(*calls)]

    assert [len(text.split()) for text in asyncio.run(many()) if text] == list(range(1, 41))
