"""Operations: is the process alive, may it get traffic, and what has it counted."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from relay import journal, recorder
from relay.exchange import LIVE
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
    return JsonResponse({"checks": checks}, status=200 if all(checks.values()) else 503)


async def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text: what this worker counts. No label carries text from outside."""
    lines = ["# TYPE epitaph_in_flight gauge", f"epitaph_in_flight {len(LIVE)}"]
    for name, value in recorder.health().items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            lines += [f"# TYPE epitaph_recorder_{name} gauge", f"epitaph_recorder_{name} {value}"]
    return HttpResponse("\n".join(lines) + "\n", content_type="text/plain; version=0.0.4")


def _database() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True
