"""What else lies under /v1: any method and any body passes on to an upstream of the same protocol, and is recorded."""

from __future__ import annotations

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api.asking import pass_on
from relay.api.callers import dialect_of

router = Router(tags=["Neighbours"])
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]


@router.api_operation(METHODS, "/{path:rest}", summary="Files, embeddings, audio, images, stored responses …: passed on")
async def neighbour(request: HttpRequest, rest: str) -> HttpResponseBase:
    return await pass_on(request, dialect_of(request.path, request.META))
