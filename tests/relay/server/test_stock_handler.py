"""The lean handler is an optimisation: under Django's stock ASGIHandler the client's views give the same answers.

The stock handler knows no exchange, so a middleware of this test gives each request one, as the lean handler does.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import orjson
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import async_only_middleware

from relay import attempting, routing, vault
from relay.exchange import LIVE, Exchange
from relay.rehearsal.server import FaultServer
from relay.server.handler import RelayHandler
from relay.snapshot import NO_CREDENTIAL, ClientKeySpec, RouteSpec, Snapshot, UpstreamSpec

KEY = "stock-handler-key-0001"
PATHS = {"openai-chat": "/v1/chat/completions", "openai-responses": "/v1/responses", "anthropic": "/v1/messages"}


class Standing:
    """A client that is still there."""

    def heartbeat(self, frame: bytes) -> None: ...
    def abort(self) -> None: ...
    def takes(self) -> bool:
        return False

    def blocked_for(self, now: float) -> float:
        return 0.0

    def snapshot(self) -> None: ...


@async_only_middleware
def with_exchange(get_response: Callable[[HttpRequest], Awaitable[HttpResponseBase]]) -> Any:
    async def middleware(request: HttpRequest) -> HttpResponseBase:
        request.exchange = Exchange(request.method or "", request.path, Standing())  # type: ignore[attr-defined]
        return await get_response(request)

    return middleware


@pytest.fixture
async def upstream(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FaultServer]:
    with FaultServer().run_in_thread() as server:
        specs = tuple(
            UpstreamSpec(number, name, name, f"{server.url}/v1", credentials=(NO_CREDENTIAL,))
            for number, name in enumerate(PATHS, 1)
        )
        routes = (RouteSpec(1, "*", specs),)
        keys = {vault.digest(KEY): ClientKeySpec(1, "test", ())}
        monkeypatch.setattr(routing, "_snapshot", Snapshot(1, routes, specs, keys))
        yield server
        await attempting.transport().aclose()
        attempting._transports.clear()


async def ask(application: Any, path: str, model: str, stream: bool, key: str = KEY) -> httpx.Response:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hi."}], "input": "Hi.", "max_tokens": 9}
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, content=orjson.dumps(body), headers={"authorization": f"Bearer {key}"}, timeout=20)


def plain(answer: httpx.Response) -> tuple[int, str, list[str]]:
    """Status, type and lines without what differs between two requests."""
    lines = [line for line in answer.text.splitlines() if "created" not in line and "id" not in line]
    return answer.status_code, answer.headers["content-type"], lines


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("protocol", PATHS)
@pytest.mark.parametrize("model", ["ok", "eof", "status,code=429,retry_after=3", "error-first"])
async def test_the_stock_handler_gives_what_the_lean_one_gives(
    upstream: FaultServer, settings: Any, protocol: str, model: str, stream: bool
) -> None:
    lean = await ask(RelayHandler(None), PATHS[protocol], model, stream)
    routing._cooling.clear()  # what failed a moment ago would be sorted last
    settings.MIDDLEWARE = [f"{__name__}.with_exchange"]
    stock = await ask(ASGIHandler(), PATHS[protocol], model, stream)
    routing._cooling.clear()
    assert plain(stock) == plain(lean)
    assert stock.headers.get("retry-after") == lean.headers.get("retry-after")
    if model == "ok":
        assert stock.status_code == 200
        assert len(stock.content) == len(lean.content)
    await asyncio.sleep(0)
    assert not LIVE


async def test_a_bad_key_is_refused_alike(upstream: FaultServer, settings: Any) -> None:
    settings.MIDDLEWARE = [f"{__name__}.with_exchange"]
    stock = await ask(ASGIHandler(), PATHS["openai-chat"], "ok", True, key="wrong")
    assert stock.status_code == 401
    assert "not known" in stock.json()["error"]["message"]
