"""From a request to the supervisor: what all protocols' views share."""

from __future__ import annotations

import orjson
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from relay import routing, supervisor
from relay.ending import Cause
from relay.exchange import Exchange
from relay.refusal import Refusal
from relay.wire.events import BadField
from relay.wire.registry import Dialect

# What the gateway itself reads of a body; all else is between the client and the upstream.
BODY_SCHEMA = {
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


async def ask(request: HttpRequest, dialect: Dialect) -> HttpResponseBase:
    """Routes the request by its body's `model` and relays the answer.

    Raises:
        Refusal: the body is no JSON object, a field has the wrong type, or no route serves the model.
    """
    exchange: Exchange = request.exchange  # type: ignore[attr-defined]
    exchange.tag = dialect.tag
    exchange.heartbeat_frame = dialect.heartbeat
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refusal(Cause.BAD_REQUEST, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(Cause.BAD_REQUEST, "the body is not a JSON object")
    try:
        facts = dialect.request_facts(body)
    except BadField as error:
        raise Refusal(Cause.BAD_REQUEST, str(error)) from None
    if not facts.model:
        raise Refusal(Cause.BAD_REQUEST, "model is missing; expected the name of a model")
    exchange.model, exchange.stream, exchange.variant_hash = facts.model, facts.stream, facts.variant_hash
    key = request.auth  # type: ignore[attr-defined]
    if not key.allows(facts.model):
        raise Refusal(Cause.FORBIDDEN_MODEL, f"this client key may not use the model {facts.model!r}")
    route = routing.current().route_for(facts.model)
    if route is None:
        raise Refusal(Cause.NO_ROUTE, f"no route serves the model {facts.model!r}")
    return await supervisor.relay(exchange, request, dialect, route, body)
