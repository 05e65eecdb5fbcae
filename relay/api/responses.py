"""Responses: `POST /v1/responses`, streamed and not."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api.asking import BODY_SCHEMA, ask
from relay.wire.registry import DIALECTS

router = Router(tags=["Responses"])
DIALECT = DIALECTS["responses"]


@router.post("/responses", openapi_extra=BODY_SCHEMA, summary="Responses, relayed as they stream")
async def create(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECT)
