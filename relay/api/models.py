"""Models: `GET /v1/models`, the names that this client key may ask for."""

import orjson
from django.http import HttpRequest, HttpResponse
from ninja import Router

from relay import routing

router = Router(tags=["Models"])


@router.get("/models", summary="The models that this key may use")
async def models(request: HttpRequest) -> HttpResponse:
    exchange = request.exchange  # type: ignore[attr-defined]
    exchange.tag = "models"
    names = routing.current().models_for(request.auth)  # type: ignore[attr-defined]
    listed = [{"id": name, "object": "model", "created": 0, "owned_by": "epitaph"} for name in names]
    body = {"object": "list", "data": listed, "has_more": False, "first_id": None, "last_id": None}
    return HttpResponse(orjson.dumps(body), content_type="application/json")
