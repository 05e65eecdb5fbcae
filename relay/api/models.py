"""Models under /v1: OpenAI's and Anthropic's clients list them, and Gemini's put its verbs behind their names."""

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from ninja import Router

from relay.api import gemini, listing

router = Router(tags=["Models"])


@router.get("/models", summary="The models that this key may use")
async def listed(request: HttpRequest) -> HttpResponseBase:
    return await listing.models(request)


@router.get("/models/{path:name}", summary="One of them")
async def one(request: HttpRequest, name: str) -> HttpResponseBase:
    return await listing.model(request, name)


@router.post("/models/{path:name}", summary="Gemini's generateContent and the rest, as google-genai asks for them under /v1")
async def generate(request: HttpRequest, name: str) -> HttpResponseBase:
    return await gemini.generate(request, name)
