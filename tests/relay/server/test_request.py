"""The request that client paths get is Django's, made in parts."""

from __future__ import annotations

from io import BytesIO

from django.core.handlers.asgi import ASGIRequest

from relay.server.request import ClientRequest

SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v1/chat/completions",
    "query_string": b"key=k&beta=true",
    "headers": [(b"content-type", b"application/json; charset=utf-8"), (b"x-api-key", b"secret"), (b"cookie", b"a=b")],
    "client": ("127.0.0.1", 5000),
    "server": ("127.0.0.1", 8000),
}


def test_whatever_a_view_asks_for_is_as_django_makes_it() -> None:
    ours, theirs = ClientRequest(SCOPE, b'{"model": "m"}'), ASGIRequest(SCOPE, BytesIO(b'{"model": "m"}'))
    assert (ours.method, ours.path, ours.path_info, ours.body) == (theirs.method, theirs.path, theirs.path_info, theirs.body)
    assert ours.META == theirs.META
    assert ours.GET == theirs.GET
    assert ours.COOKIES == theirs.COOKIES
    assert (ours.content_type, ours.content_params) == (theirs.content_type, theirs.content_params)
    assert ours.headers == theirs.headers


def test_what_django_does_not_have_is_missing_still() -> None:
    request = ClientRequest(SCOPE, b"")
    assert not hasattr(request, "auth")
    request.auth = "key"
    assert request.META["HTTP_X_API_KEY"] == "secret"
    assert request.auth == "key"
    assert not hasattr(request, "session")
