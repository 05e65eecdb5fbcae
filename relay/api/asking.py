"""From a request to the supervisor: what all protocols' views share."""

from __future__ import annotations

from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from relay import quotas, routing, supervisor
from relay.api.form import form_field
from relay.ending import Cause
from relay.exchange import Exchange
from relay.refusal import Refusal
from relay.snapshot import ClientKeySpec, RouteSpec
from relay.wire.events import BadField, RequestFacts
from relay.wire.question import Question
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


async def ask(request: HttpRequest, dialect: Dialect, **told: Any) -> HttpResponseBase:
    """Routes a request at the protocol's own endpoint by its `model`, and relays the answer.

    `told` is what the path says of the question: `model`, `stream`, `query`.

    Raises:
        Refusal: the body is no JSON object, a field has the wrong type, or no route serves the model.
    """
    exchange = _begin(request, dialect)
    body = _json(request.body)
    facts = _facts(dialect, body)
    model, stream = told.get("model") or facts.model, told.get("stream", facts.stream)
    if not model:
        raise Refusal(Cause.BAD_REQUEST, "model is missing; expected the name of a model")
    exchange.model, exchange.stream, exchange.variant_hash = model, stream, facts.variant_hash
    question = Question(
        dialect,
        request.method or "POST",
        request.scope["path"],  # type: ignore[attr-defined]
        told.get("query", _query(request)),
        request.body,
        body,
        model,
        stream,
        seed=exchange.request_id.removeprefix("req_"),
        now=int(exchange.received_at),
        asks_usage=settings.ASK_FOR_USAGE,
    )
    return await supervisor.relay(exchange, request, question, _route(request, model))


async def pass_on(request: HttpRequest, dialect: Dialect, query: str | None = None, model: str | None = None) -> HttpResponseBase:
    """Passes a neighbouring path on, whatever its method and body, to an upstream of the same protocol.

    Raises:
        Refusal: no route serves the model that it names; or it names none, and the key is limited to some.
    """
    exchange = _begin(request, dialect)
    body, found = _loose_json(request), None
    if body is not None:
        facts = _facts(dialect, body)
        exchange.model, exchange.stream = model or facts.model, facts.stream
    else:
        found = form_field(request, "model")
        exchange.model, exchange.stream = model or (found[0] if found else None), request.GET.get("stream") == "true"
    question = Question(
        dialect,
        request.method or "GET",
        request.scope["path"],  # type: ignore[attr-defined]
        _query(request) if query is None else query,
        request.body,
        body,
        exchange.model,
        bool(exchange.stream),
        main=False,
        model_at=found[1] if found else None,
        anywhere=exchange.model is None,
    )
    route = _route(request, exchange.model) if exchange.model else _any_route(request, dialect)
    return await supervisor.relay(exchange, request, question, route)


def _begin(request: HttpRequest, dialect: Dialect) -> Exchange:
    exchange: Exchange = request.exchange  # type: ignore[attr-defined]
    exchange.tag = dialect.tag
    exchange.heartbeat_frame = dialect.heartbeat
    exchange.stream_type = dialect.stream_type
    key = request.auth  # type: ignore[attr-defined]
    if key.max_concurrency is not None or key.tokens_per_day is not None:
        _admit(exchange, key)
    return exchange


def _admit(exchange: Exchange, key: ClientKeySpec) -> None:
    if quotas.used_up(key):
        raise Refusal(
            Cause.OVER_BUDGET, f"{key.tokens_per_day} tokens a day are used up for this client key; the day ends at 00:00 UTC"
        )
    exchange.client_place = quotas.take(key)
    if exchange.client_place is None:
        raise Refusal(Cause.OVER_LIMIT, f"this client key may ask {key.max_concurrency} at once, and does; try again shortly")


def _query(request: HttpRequest) -> str:
    return request.scope["query_string"].decode("latin-1")  # type: ignore[attr-defined]


def _json(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Refusal(Cause.BAD_REQUEST, f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refusal(Cause.BAD_REQUEST, "the body is not a JSON object")
    return body


def _loose_json(request: HttpRequest) -> dict[str, Any] | None:
    """A neighbour's body when it says that it is JSON, and is an object; what else it may be is the upstream's to judge."""
    if not request.body or not (request.content_type or "").endswith("json"):
        return None
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None


def _facts(dialect: Dialect, body: dict[str, Any]) -> RequestFacts:
    try:
        return dialect.request_facts(body)
    except BadField as error:
        raise Refusal(Cause.BAD_REQUEST, str(error)) from None


def _route(request: HttpRequest, model: str) -> RouteSpec:
    key = request.auth  # type: ignore[attr-defined]
    if not key.allows(model):
        raise Refusal(Cause.FORBIDDEN_MODEL, f"this client key may not use the model {model!r}")
    plan = request.exchange.plan  # type: ignore[attr-defined]
    route = plan.route() if plan else routing.current().route_for(model)
    if route is None:
        raise Refusal(Cause.NO_ROUTE, f"no route serves the model {model!r}")
    return route


def _any_route(request: HttpRequest, dialect: Dialect) -> RouteSpec:
    """Every upstream of the protocol: what names no model (a file, a stored response) may lie with any of them."""
    if request.auth.allowed_models:  # type: ignore[attr-defined]
        raise Refusal(Cause.FORBIDDEN_MODEL, "this client key is limited to some models, and the request names none")
    plan = request.exchange.plan  # type: ignore[attr-defined]
    if plan:
        raise Refusal(Cause.NO_ROUTE, "a rehearsal names its model")
    upstreams = tuple(item for item in routing.current().upstreams if item.protocol == dialect.protocol)
    return RouteSpec(0, "", upstreams, max_attempts=sum(len(item.credentials) for item in upstreams) or 1)
