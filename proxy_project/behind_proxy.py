"""What a reverse proxy says of the client, believed only from the proxies in TRUSTED_PROXIES.

Must come first among the middleware: whatever follows reads the client's address from REMOTE_ADDR and asks `is_secure()`.
Over TLS every cookie is marked Secure; without it (a laptop, plain HTTP) a Secure cookie would never come back.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from proxy_project.either_way import EitherWay

FORWARDED_FOR, FORWARDED_PROTO = "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO"
LONGEST_ADDRESS = 64


class BehindProxyMiddleware(EitherWay):
    """Sets the client's address and the scheme, and marks cookies on the way back."""

    def around(self, request: HttpRequest) -> AbstractContextManager[None]:
        believe(request)
        return nullcontext()

    def answered(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        return secured(request, response)


def believe(request: HttpRequest) -> None:
    """Take a trusted proxy's word; from anybody else it is taken away, so that nothing behind us believes it either.

    The last address is the one that the proxy itself added: those before it are the client's own claim.
    """
    said = request.META.pop(FORWARDED_FOR, "").rpartition(",")[2].strip()[:LONGEST_ADDRESS]
    scheme = request.META.pop(FORWARDED_PROTO, "").rpartition(",")[2].strip().lower()
    if request.META.get("REMOTE_ADDR") in settings.TRUSTED_PROXIES:
        if said:
            request.META["REMOTE_ADDR"] = said
        if scheme:
            request.META[FORWARDED_PROTO] = scheme  # for SECURE_PROXY_SSL_HEADER


def secured(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """The answer, its cookies for TLS alone when it goes over TLS."""
    if request.is_secure():
        for cookie in response.cookies.values():
            cookie["secure"] = True
    return response


def client_address(request: HttpRequest) -> str:
    """The address that sign-ins are throttled by."""
    return str(request.META.get("REMOTE_ADDR", ""))
