"""Messages: `POST /v1/messages`, streamed and not."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api.asking import BODY_SCHEMA, ask
from relay.wire.registry import DIALECTS

router = Router(tags=["Messages"])
DIALECT = DIALECTS["messages"]


@router.post("/messages", openapi_extra=BODY_SCHEMA, summary="Messages, relayed as they stream")
async def create(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECT)
