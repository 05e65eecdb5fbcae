"""Ollama: `POST /api/chat` and `/api/generate`, and what its clients ask before: tags, show, version."""

from __future__ import annotations

from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from ninja import Router

from relay import routing
from relay.api.asking import BODY_SCHEMA, ask, pass_on
from relay.api.listing import names_for
from relay.ending import Cause
from relay.refusal import Refusal
from relay.wire.registry import DIALECTS

router = Router(tags=["Ollama"])
DIALECT = DIALECTS["ollama"]
LEVEL = "0.13.0"  # the version of Ollama whose API is spoken here; clients compare it before they use a newer part
DETAILS = {"parent_model": "", "format": "", "family": "", "families": [], "parameter_size": "", "quantization_level": ""}


@router.post("/chat", openapi_extra=BODY_SCHEMA, summary="A conversation, as lines of JSON")
async def chat(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECT)


@router.post("/generate", openapi_extra=BODY_SCHEMA, summary="An answer to one prompt, as lines of JSON")
async def generate(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECT)


@router.post("/embed", summary="Embeddings, passed on")
async def embed(request: HttpRequest) -> HttpResponseBase:
    return await pass_on(request, DIALECT)


@router.post("/embeddings", summary="Embeddings as older clients ask for them, passed on")
async def embeddings(request: HttpRequest) -> HttpResponseBase:
    return await pass_on(request, DIALECT)


@router.get("/tags", summary="The models that this key may use")
async def tags(request: HttpRequest) -> HttpResponse:
    rows = [
        {"name": name, "model": name, "modified_at": "1970-01-01T00:00:00Z", "size": 0, "digest": "", "details": DETAILS}
        for name in names_for(request)
    ]
    return _json(request, {"models": rows})


@router.get("/ps", summary="No model is loaded here")
async def ps(request: HttpRequest) -> HttpResponse:
    return _json(request, {"models": []})


@router.get("/version", summary="The version of Ollama whose API is spoken")
async def version(request: HttpRequest) -> HttpResponse:
    return _json(request, {"version": LEVEL})


@router.post("/show", summary="One model: an Ollama upstream's own words, or what is known of another's")
async def show(request: HttpRequest) -> HttpResponseBase:
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refusal(Cause.BAD_REQUEST, f"the body is not JSON: {error}") from None
    name = (body.get("model") or body.get("name")) if isinstance(body, dict) else None
    if not isinstance(name, str):
        raise Refusal(Cause.BAD_REQUEST, "model is missing; expected the name of a model")
    route = routing.current().route_for(name)
    if route is None or not request.auth.allows(name):  # type: ignore[attr-defined]
        raise Refusal(Cause.NO_ROUTE, f"model '{name}' not found")
    if any(upstream.protocol == DIALECT.protocol for upstream in route.upstreams):
        return await pass_on(request, DIALECT, model=name)
    known = {"details": DETAILS, "model_info": {}, "modelfile": "", "template": "", "parameters": ""}
    return _json(request, known | {"capabilities": ["completion", "tools", "vision", "thinking"]})


def _json(request: HttpRequest, body: dict[str, Any]) -> HttpResponse:
    request.exchange.tag = "models"  # type: ignore[attr-defined]
    return HttpResponse(orjson.dumps(body), content_type="application/json")
