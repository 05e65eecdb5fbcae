"""The management API: where the two logs' routers are mounted, who may call them, and what an error looks like.

A staff session (writes need the CSRF token) or `Authorization: Bearer ADMIN_TOKEN`; `request.reader` names the caller. A
session may here what its user may in the admin; the token may everything.
"""

from __future__ import annotations

import hmac
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from ninja import NinjaAPI, Router
from ninja.errors import AuthenticationError, HttpError, ValidationError

from auditlog.api import router as audit_router
from errorlog.api import router as errors_router

READING = ("GET", "HEAD", "OPTIONS")
# What a session's user must be permitted, by router and method. Marking read and reporting change nothing of anybody else's.
NEEDED = {
    ("errors", "GET"): "errorlog.view_errorgroup",
    ("errors", "POST"): "errorlog.view_errorgroup",
    ("errors", "PATCH"): "errorlog.change_errorgroup",
    ("errors", "DELETE"): "errorlog.delete_errorgroup",
    ("audit", "GET"): "auditlog.view_auditentry",
    ("audit", "PATCH"): "auditlog.change_recordingstate",
    ("audit", "DELETE"): "auditlog.delete_auditentry",
}


class Forbidden(HttpError):
    """The caller is known, and may not do this."""

    def __init__(self, message: str) -> None:
        super().__init__(403, message)


class StaffOrToken:
    """Ninja's auth callable: the key of the reader, `user:<id>` or `token`."""

    def __call__(self, request: HttpRequest) -> str | None:
        given = request.META.get("HTTP_AUTHORIZATION", "")
        if given[:7].lower() == "bearer ":
            token = settings.ADMIN_TOKEN
            if not token or not hmac.compare_digest(given[7:].strip().encode(), token.encode()):
                return None
            request.reader = "token"  # type: ignore[attr-defined]
            return "token"
        if not (request.user.is_authenticated and request.user.is_staff):
            return None
        if request.method not in READING and not _csrf_holds(request):
            raise Forbidden("the CSRF token is missing or wrong")
        needed = _needed(request)
        if needed is not None and not request.user.has_perm(needed):
            raise Forbidden(f"this needs the permission {needed}")
        request.reader = f"user:{request.user.pk}"  # type: ignore[attr-defined]
        return request.reader  # type: ignore[attr-defined]


def _needed(request: HttpRequest) -> str | None:
    """The permission that the call needs; None where there is no such call."""
    router = request.path_info.removeprefix("/api/").split("/", 1)[0]
    return NEEDED.get((router, "GET" if request.method in READING else str(request.method)))


def _csrf_holds(request: HttpRequest) -> bool:
    _ = request.body  # read now: looking for the token in a form would make it unreadable
    middleware = CsrfViewMiddleware(lambda request: HttpResponse())
    middleware.process_request(request)
    request.csrf_processing_done = False  # type: ignore[attr-defined]
    return middleware.process_view(request, _protected, (), {}) is None


def _protected(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


api = NinjaAPI(
    title="Epitaph management API",
    urls_namespace="management",
    auth=StaffOrToken(),
    docs_url="/docs",
)
api.add_router("/errors", errors_router, tags=["Errors"])
api.add_router("/audit", audit_router, tags=["Audit"])
elsewhere = Router()


@elsewhere.api_operation(["GET", "POST", "PUT", "PATCH", "DELETE"], "/{path:rest}", include_in_schema=False)
def nothing_here(request: HttpRequest, rest: str) -> HttpResponse:
    raise Http404("there is no such call")


api.add_router("", elsewhere)  # last: it matches whatever is left


def _error(request: HttpRequest, status: int, kind: str, message: str, **more: Any) -> HttpResponse:
    return api.create_response(request, {"error": {"type": kind, "message": message} | more}, status=status)


@api.exception_handler(ValidationError)
def invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    fields = [{"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]} for item in error.errors]
    message = "; ".join(f"{item['field']}: {item['message']}" for item in fields)
    return _error(request, 422, "invalid_request", message, fields=fields)


@api.exception_handler(AuthenticationError)
def unauthenticated(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
    return _error(request, 401, "unauthenticated", "sign in as staff, or send Authorization: Bearer ADMIN_TOKEN")


@api.exception_handler(Http404)
def missing(request: HttpRequest, error: Http404) -> HttpResponse:
    return _error(request, 404, "not_found", str(error) or "there is nothing of that name")


@api.exception_handler(RequestDataTooBig)
def too_big(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    return _error(request, 413, "too_large", f"the body is larger than {settings.DATA_UPLOAD_MAX_MEMORY_SIZE:,} bytes")


@api.exception_handler(HttpError)
def refused(request: HttpRequest, error: HttpError) -> HttpResponse:
    kinds = {400: "invalid_request", 403: "forbidden", 422: "invalid_request", 429: "rate_limited"}
    return _error(request, error.status_code, kinds.get(error.status_code, "error"), str(error))
