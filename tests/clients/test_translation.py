"""Any client on any upstream: what its own SDK hears of a translated answer is what it hears of one in its own protocol."""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.rehearsal.server import FaultServer
from tests.clients.hearing import CLIENTS, ERRORS, Heard
from tests.gateways import Gateway

pytestmark = pytest.mark.gateway
UPSTREAMS = ("chat", "responses", "messages", "gemini", "ollama")
PAIRS = [(client, upstream) for client in CLIENTS for upstream in UPSTREAMS if client != upstream]
NO_CACHE = {"ollama"}  # these do not tell what was read from a cache


def alike(heard: Heard, client: str, upstream: str) -> Heard:
    """Without what one of the two protocols has no word for (features.py)."""
    if heard.usage and {client, upstream} & NO_CACHE:
        return replace(heard, usage=(heard.usage[0], 0, heard.usage[2]))
    return heard


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("model", ["ok", "tools", "reasoning", "length", "unicode"])
@pytest.mark.parametrize(("client", "behind"), PAIRS)
def test_an_answer_is_heard_as_in_the_clients_own_protocol(
    gateway: Gateway, upstream: FaultServer, client: str, behind: str, model: str, stream: bool
) -> None:
    through = CLIENTS[client](gateway.url, f"{behind}/{model}", stream)
    assert alike(through, client, behind) == alike(CLIENTS[client](upstream.url, model, stream), client, behind)


@pytest.mark.parametrize("model", ["eof,after=3", "cut,after=3", "reset,after=3", "error-later,after=3", "malformed,after=3"])
@pytest.mark.parametrize(("client", "behind"), PAIRS)
def test_a_translated_stream_that_dies_raises_and_ends_nowhere(gateway: Gateway, client: str, behind: str, model: str) -> None:
    with pytest.raises(ERRORS, match=r"request id req_|rehearsed failure"):
        CLIENTS[client](gateway.url, f"{behind}/{model}", True)


@pytest.mark.parametrize(("client", "behind"), PAIRS)
def test_an_error_status_is_told_in_the_clients_words(gateway: Gateway, client: str, behind: str) -> None:
    with pytest.raises(ERRORS, match="rehearsed failure") as caught:
        CLIENTS[client](gateway.url, f"refusing-{behind}/status,code=429", True)
    assert 429 in (getattr(caught.value, "status_code", 0), getattr(caught.value, "code", 0))
