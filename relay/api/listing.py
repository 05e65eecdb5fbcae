"""Models: the names that this client key may ask for, listed in the words of whoever asks."""

from __future__ import annotations

from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse

from relay import routing
from relay.api.callers import dialect_of
from relay.ending import Cause
from relay.refusal import Refusal


async def models(request: HttpRequest) -> HttpResponse:
    """All of them."""
    tag = _tag(request)
    rows = [ROWS[tag](name) for name in names_for(request)]
    return _json(LISTS[tag](rows))


async def model(request: HttpRequest, name: str) -> HttpResponse:
    """One of them.

    Raises:
        Refusal: no route serves it, or not for this key.
    """
    tag = _tag(request)
    key = request.auth  # type: ignore[attr-defined]
    if routing.current().route_for(name) is None or not key.allows(name):
        raise Refusal(Cause.NO_ROUTE, f"no route serves the model {name!r}")
    return _json(ROWS[tag](name))


def names_for(request: HttpRequest) -> list[str]:
    """What the caller's key may ask for."""
    return routing.current().models_for(request.auth)  # type: ignore[attr-defined]


def _tag(request: HttpRequest) -> str:
    request.exchange.tag = "models"  # type: ignore[attr-defined]
    return dialect_of(request.path, request.META).tag


def _json(body: dict[str, Any]) -> HttpResponse:
    return HttpResponse(orjson.dumps(body), content_type="application/json")


def _openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "epitaph"}


def _anthropic(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "1970-01-01T00:00:00Z"}


def _openai_list(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": rows}


def _anthropic_list(rows: list[dict[str, Any]]) -> dict[str, Any]:
    ends = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    return {"data": rows, "has_more": False, "first_id": ends[0], "last_id": ends[1]}


def _gemini(name: str) -> dict[str, Any]:
    methods = ["generateContent", "streamGenerateContent", "countTokens"]
    return {"name": f"models/{name}", "version": "", "displayName": name, "supportedGenerationMethods": methods}


def _gemini_list(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"models": rows}


ROWS = {"chat": _openai, "messages": _anthropic, "gemini": _gemini}
LISTS = {"chat": _openai_list, "messages": _anthropic_list, "gemini": _gemini_list}
