"""Who asks: the client key, from whichever header the caller's protocol uses. No query, no thread."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from relay import routing
from relay.api.callers import dialect_of
from relay.ending import Cause
from relay.refusal import Refusal
from relay.snapshot import ClientKeySpec


class ClientKeyAuth:
    """Ninja's auth callable: `request.auth` becomes the `ClientKeySpec`.

    Raises:
        Refusal: no key, or one that is unknown, switched off or expired.
    """

    openapi_security_schema: dict[str, Any] | None = {"type": "http", "scheme": "bearer"}

    async def __call__(self, request: HttpRequest) -> ClientKeySpec:
        secret = secret_of(request)
        if not secret:
            raise Refusal(Cause.BAD_KEY, "no client key came with the request: send Authorization: Bearer <key>, or x-api-key")
        plan = request.exchange.plan  # type: ignore[attr-defined]
        key = (plan and plan.client_key(secret)) or routing.current().key_for(secret)
        if key is None:
            raise Refusal(Cause.BAD_KEY, "this client key is not known, switched off or expired")
        request.exchange.client_key = key.label  # type: ignore[attr-defined]
        request.exchange.client_key_id = key.id  # type: ignore[attr-defined]
        return key


def secret_of(request: HttpRequest) -> str:
    """The key in the request's headers (or, as Gemini's clients may, in its query); else an empty string."""
    headers = dict(request.scope["headers"])  # type: ignore[attr-defined]  # not META, which costs more than all of this
    authorization = headers.get(b"authorization", b"")
    if authorization[:7].lower() == b"bearer ":
        return authorization[7:].strip().decode("latin-1")
    found = (headers.get(b"x-api-key") or headers.get(b"x-goog-api-key") or b"").decode("latin-1")
    if not found and dialect_of(request.path, request.META).tag == "gemini":
        found = request.GET.get("key", "")
    return found
