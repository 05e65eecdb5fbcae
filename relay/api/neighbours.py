"""Neighbours of the three protocols: JSON sub-paths that pass through to an upstream of the same protocol, and are recorded."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api.asking import ask
from relay.wire.registry import DIALECTS

router = Router(tags=["Neighbours"])


@router.post("/embeddings", summary="Embeddings, passed through")
async def embeddings(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECTS["chat"])


@router.post("/responses/{path:rest}", summary="What else an upstream has under /responses, passed through")
async def under_responses(request: HttpRequest, rest: str) -> HttpResponseBase:
    return await ask(request, DIALECTS["responses"])


@router.post("/messages/{path:rest}", summary="What else an upstream has under /messages, passed through")
async def under_messages(request: HttpRequest, rest: str) -> HttpResponseBase:
    return await ask(request, DIALECTS["messages"])
