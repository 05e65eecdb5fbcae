"""Messages: `POST /v1/messages`, streamed and not."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api.asking import ask
from relay.wire.registry import DIALECTS

router = Router(tags=["Messages"])
DIALECT = DIALECTS["messages"]
SCHEMA = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model"],
                    "properties": {"model": {"type": "string"}, "stream": {"type": "boolean", "default": False}},
                    "additionalProperties": True,
                }
            }
        },
    }
}


@router.post("/messages", openapi_extra=SCHEMA, summary="Messages, relayed as they stream")
async def create(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECT)
