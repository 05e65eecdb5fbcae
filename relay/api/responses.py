"""Responses: `POST /v1/responses`, streamed and not."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api.asking import ask
from relay.wire.registry import DIALECTS

router = Router(tags=["Responses"])
DIALECT = DIALECTS["responses"]
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


@router.post("/responses", openapi_extra=SCHEMA, summary="Responses, relayed as they stream")
async def create(request: HttpRequest) -> HttpResponseBase:
    return await ask(request, DIALECT)
