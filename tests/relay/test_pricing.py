"""What a request costs: which price fits, which tokens count, in every protocol's words; and what has no cost at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from relay.pricing import PriceList, Prices, PriceSpec
from relay.wire.passage import Opaque
from relay.wire.registry import DIALECTS
from relay.wire.translation.translated import Translated
from tests.relay.rows import make_upstream
from tests.relay.wire.translation.test_answers import LISTENER


def priced(model: str, upstream: str | None = None, each: str = "1") -> PriceSpec:
    """A price that is known by what its input costs."""
    return PriceSpec(model, upstream, Decimal(each), Decimal(each), Decimal(each))


@pytest.mark.parametrize(
    ("upstream", "model", "fits"),
    [
        ("openai", "gpt-5", "3"),  # the exact name
        ("openai", "gpt-5-mini", "5"),  # the longest prefix
        ("openai", "gpt-5-nano", "5"),  # of two that begin alike, the first
        ("openai", "gpt-4", "1"),
        ("openai", "o4", None),
        ("spare", "gpt-5", "7"),  # a glob of the upstream's own before an exact name of any
        ("spare", "o4", "7"),
        (None, "gpt-5", "3"),
        ("openai", "GPT-5", None),
    ],
)
def test_an_upstreams_own_price_goes_first_then_as_routes_match(upstream: str | None, model: str, fits: str | None) -> None:
    prices = PriceList(
        [
            *(priced("gpt-*", None, "1"), priced("gpt-5-*", None, "5"), priced("gpt-5-n*", "other", "9")),
            *(priced("gpt-5-?*", None, "6"), priced("gpt-5", None, "3"), priced("*", "spare", "7")),
        ]
    )
    for _ in range(2):  # the second time from memory
        found = prices.price_for(upstream, model)
        assert (found and str(found.input)) == fits


def test_what_was_looked_up_is_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.pricing.REMEMBERED", 10)
    prices = PriceList([priced("m7")])
    assert [prices.price_for("u", f"m{number}") is not None for number in range(25)].count(True) == 1
    assert len(prices._found) <= 10


# Each price tells its tokens apart: in, cached and out stand at different digits of the cost of a million of each.
PRICE = PriceSpec("*", None, Decimal(1_000_000), Decimal(1000), Decimal(1))


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(f"event: {event.get('type', 'x')}\n".encode() + b"data: " + orjson.dumps(event) + b"\n\n" for event in events)


CHAT = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19, "prompt_tokens_details": {"cached_tokens": 4}}
RESPONSES = {"input_tokens": 12, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 4}}
START = {"input_tokens": 5, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 3, "output_tokens": 1}
GEMINI = {"promptTokenCount": 9, "toolUsePromptTokenCount": 3, "cachedContentTokenCount": 4}
GEMINI |= {"candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 19}
STREAMS = {
    "chat": sse({"choices": [], "usage": CHAT}),
    "responses": sse({"type": "response.completed", "response": {"status": "completed", "usage": RESPONSES}}),
    "messages": sse(
        {"type": "message_start", "message": {"id": "m", "usage": START}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
    ),
    "gemini": sse({"candidates": [], "usageMetadata": GEMINI}),
    "ollama": orjson.dumps({"done": True, "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 7}) + b"\n",
}
WHOLE = {
    "chat": {"choices": [{"message": {}, "finish_reason": "stop"}], "usage": CHAT},
    "responses": {"status": "completed", "usage": RESPONSES},
    "messages": {"content": [], "stop_reason": "end_turn", "usage": START | {"output_tokens": 7}},
    "gemini": {"candidates": [{"finishReason": "STOP"}], "usageMetadata": GEMINI},
    "ollama": {"done": True, "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 7},
}
COSTS = dict.fromkeys(STREAMS, "8.004007") | {"ollama": "12.000007"}  # which tells of no cache


def cost_of(usage: Any) -> str | None:
    """Of an entry as relay/evidence.py makes it."""
    entry = {
        "model": "m",
        "provider": "u",
        **({"input_tokens": usage.input, "output_tokens": usage.output, "cached_tokens": usage.cached} if usage else {}),
    }
    found = PriceList([PRICE]).cost_of({name: value for name, value in entry.items() if value is not None})
    return None if found is None else f"{found:f}"


@pytest.mark.parametrize("tag", STREAMS)
def test_every_protocol_counts_cached_tokens_once(tag: str) -> None:
    """Twelve in, four of them from a cache, and seven out; Messages and Gemini say them in parts."""
    reader = DIALECTS[tag].reader()
    for frame in DIALECTS[tag].scanner().feed(STREAMS[tag]):
        reader.read(frame)
    assert cost_of(reader.answer.usage) == COSTS[tag]
    whole = DIALECTS[tag].reader().answer
    DIALECTS[tag].read_whole(orjson.dumps(WHOLE[tag]), whole)
    assert cost_of(whole.usage) == COSTS[tag]


def test_a_translated_answer_costs_what_its_upstream_told_of_and_its_client_is_told_the_same() -> None:
    passage = Translated(DIALECTS["chat"], "anthropic", LISTENER, frozenset())
    told = orjson.loads(passage.read_whole(orjson.dumps(WHOLE["messages"] | {"id": "m"})))
    assert cost_of(passage.answer.usage) == COSTS["messages"]
    assert told["usage"]["prompt_tokens"] == 12 and told["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


def test_a_stream_that_broke_costs_what_was_told_of_before() -> None:
    reader = DIALECTS["messages"].reader()
    for frame in DIALECTS["messages"].scanner().feed(STREAMS["messages"].partition(b"event: message_delta")[0]):
        reader.read(frame)
    assert cost_of(reader.answer.usage) == "8.004001"


def test_messages_that_say_it_all_once_more_or_only_part_of_it_change_nothing_else() -> None:
    again = sse(
        {"type": "message_delta", "delta": {}, "usage": START | {"output_tokens": 9}}, {"type": "message_delta", "usage": {}}
    )
    reader = DIALECTS["messages"].reader()
    for frame in DIALECTS["messages"].scanner().feed(STREAMS["messages"] + again):
        reader.read(frame)
    usage = reader.answer.usage
    assert usage is not None
    assert (usage.input, usage.cached, usage.written, usage.output, usage.total) == (12, 4, 3, 9, 21)


def test_embeddings_cost_their_input() -> None:
    passage = Opaque(DIALECTS["chat"])
    passage.read_whole(orjson.dumps({"data": [], "usage": {"prompt_tokens": 12, "total_tokens": 12}}))
    assert cost_of(passage.answer.usage) == "12.000000"


ENTRY = {"model": "m", "provider": "u", "input_tokens": 12, "cached_tokens": 4, "output_tokens": 7}


@pytest.mark.parametrize(
    "changes",
    [
        *({"input_tokens": None}, {"input_tokens": "12"}, {"input_tokens": True}, {"input_tokens": -1}, {"input_tokens": 1.5}),
        *({"model": None}, {"model": ["m"]}, {"upstream_model": {"name": "m"}}, {"drill": True}, {"direction": "egress"}),
        {"input_tokens": 1 << 61},  # more than the column has digits for: the row must be stored all the same
    ],
)
def test_what_is_not_known_has_no_cost_rather_than_0(changes: dict[str, Any]) -> None:
    assert PriceList([PRICE]).cost_of(ENTRY) == Decimal("8.004007")
    assert PriceList([PRICE]).cost_of(ENTRY | changes) is None
    assert PriceList([]).cost_of(ENTRY) is None


def test_a_price_of_0_is_a_price_and_cached_tokens_beyond_the_input_take_nothing_off() -> None:
    assert PriceList([priced("*", None, "0")]).cost_of(ENTRY) == 0
    assert PriceList([PRICE]).cost_of(ENTRY | {"cached_tokens": 20}) == Decimal("0.020007")
    assert PriceList([PRICE]).cost_of(ENTRY | {"provider": []}) == Decimal("8.004007")


def test_the_price_is_that_of_the_model_that_the_upstream_was_asked_for() -> None:
    prices = PriceList([priced("asked", None, "1000000"), priced("sent", None, "2000000")])
    assert prices.cost_of({"model": "asked", "input_tokens": 1}) == 1
    assert prices.cost_of({"model": "asked", "upstream_model": "sent", "input_tokens": 1}) == 2


@pytest.mark.database
@pytest.mark.django_db
def test_rows_are_read_once_until_the_configuration_changes(
    django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from relay.models import Price

    monkeypatch.setattr("relay.pricing.LOOK_SECONDS", 0.0)
    openai = make_upstream("openai")
    Price.objects.create(model="gpt-*", input="2", output="8")
    Price.objects.create(model="gpt-*", upstream=openai, input="1.25", cached_input="0.125", output="10", position=2000)
    prices = Prices()
    with django_assert_num_queries(2):
        first = prices.current()
    with django_assert_num_queries(1):
        assert prices.current() is first
    entry = {"model": "gpt-5", "input_tokens": 1_000_000, "cached_tokens": 500_000, "output_tokens": 100_000}
    assert first.cost_of(entry | {"provider": "openai"}) == Decimal("1.6875")
    assert first.cost_of(entry | {"provider": "spare"}) == Decimal("2.8")  # cached as the rest of the input
    openai.name = "renamed"
    openai.save()
    assert prices.current().cost_of(entry | {"provider": "renamed"}) == Decimal("1.6875")
    openai.delete()
    assert prices.current().cost_of(entry | {"provider": "renamed"}) == Decimal("2.8")


@pytest.mark.database
@pytest.mark.django_db
def test_between_two_looks_nothing_is_asked(django_assert_num_queries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.pricing.LOOK_SECONDS", 60.0)
    prices = Prices()
    prices.current()
    with django_assert_num_queries(0):
        for _ in range(1000):
            prices.current()
