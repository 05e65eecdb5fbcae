"""Chat completions: `POST /v1/chat/completions`, streamed and not."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api.asking import BODY_SCHEMA, ask, pass_on
from relay.wire.registry import DIALECTS

router = Router(tags=["Chat completions"])
DIALECT = DIALECTS["chat"]


@router.post("/chat/completions", openapi_extra=BODY_SCHEMA, summary="Chat completions, relayed as they stream")
async def create(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECT)


@router.get("/chat/completions", summary="Stored completions, passed on")
async def stored(request: HttpRequest) -> HttpResponseBase:
    return await pass_on(request, DIALECT)
