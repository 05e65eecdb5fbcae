"""Operations: is the process alive, may it get traffic, and what has it counted."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from relay import exposition, journal
from relay import metrics as counted
from relay.server.handler import RelayHandler


async def healthz(request: HttpRequest) -> HttpResponse:
    """200 as long as the process answers."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> HttpResponse:
    """200, or 503 with what is wrong: database, journal or drain."""
    checks = {
        "database": await sync_to_async(_database)(),
        "journal": journal.state().ok,
        "accepting": not RelayHandler.draining,
    }
    answer = JsonResponse({"checks": checks}, status=200 if all(checks.values()) else 503)
    if checks["database"] and checks["journal"]:
        answer._has_been_logged = True  # type: ignore[attr-defined]  # Django logs each 5xx as an error, and a drain is none
    return answer


async def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text: what all processes of this gateway have counted. No label carries text from outside."""
    return HttpResponse(exposition.text_of(counted.everything()), content_type="text/plain; version=0.0.4; charset=utf-8")


def _database() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True
