"""Gemini: `POST …/models/{model}:generateContent` and `:streamGenerateContent`, under /v1beta and /v1, and neighbours."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api import listing
from relay.api.asking import ask, pass_on
from relay.wire.registry import DIALECTS, GEMINI_ARRAY

router = Router(tags=["Gemini"])
DIALECT = DIALECTS["gemini"]
WHOLE, STREAM = "generateContent", "streamGenerateContent"
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@router.get("/models", summary="The models that this key may use")
async def listed(request: HttpRequest) -> HttpResponseBase:
    return await listing.models(request)


@router.get("/models/{path:name}", summary="One of them")
async def one(request: HttpRequest, name: str) -> HttpResponseBase:
    return await listing.model(request, name)


@router.post("/models/{path:name}", summary="generateContent, streamGenerateContent, countTokens …")
async def generate(request: HttpRequest, name: str) -> HttpResponseBase:
    """`name` is `{model}:{verb}`. A verb that is no generation passes on as it is."""
    model, _, verb = name.rpartition(":")
    query = without_key(request.scope["query_string"].decode("latin-1"))  # type: ignore[attr-defined]
    if verb not in (WHOLE, STREAM):
        return await pass_on(request, DIALECT, query=query, model=model or verb)
    streams = verb == STREAM
    as_events = request.GET.get("alt") == "sse" or not streams
    return await ask(request, DIALECT if as_events else GEMINI_ARRAY, model=model, stream=streams, query=query)


@router.api_operation(METHODS, "/{path:rest}", summary="What else lies there, passed on")
async def neighbour(request: HttpRequest, rest: str) -> HttpResponseBase:
    query = without_key(request.scope["query_string"].decode("latin-1"))  # type: ignore[attr-defined]
    return await pass_on(request, DIALECT, query=query)


def without_key(query: str) -> str:
    """The query less `key`, which is the client's secret."""
    if "key=" not in query:
        return query
    return urlencode([(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "key"])
