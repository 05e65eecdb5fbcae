"""Models: the names that this client key may ask for, listed in the words of whoever asks."""

from __future__ import annotations

from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from ninja import Router

from relay import routing
from relay.api.callers import dialect_of
from relay.ending import Cause
from relay.refusal import Refusal

router = Router(tags=["Models"])


@router.get("/models", summary="The models that this key may use")
async def models(request: HttpRequest) -> HttpResponse:
    tag = _tag(request)
    rows = [ROWS[tag](name) for name in names_for(request)]
    return _json(LISTS[tag](rows))


@router.get("/models/{path:name}", summary="One of them")
async def model(request: HttpRequest, name: str) -> HttpResponse:
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


ROWS = {"chat": _openai, "messages": _anthropic}
LISTS = {"chat": _openai_list, "messages": _anthropic_list}
