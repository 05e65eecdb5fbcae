"""The context of the first page: each part for those who may see what it is made of.

A database that cannot answer costs the part, not the page.
"""

from __future__ import annotations

import logging
from typing import Any

from django.db import Error as DatabaseError
from django.http import HttpRequest
from django.utils import timezone

from relay.admin import overview
from relay.admin.needs_a_look import suspects
from relay.admin.upstream_health import health

logger = logging.getLogger(__name__)
DEFAULT = "24h"


def context(request: HttpRequest) -> dict[str, Any]:
    """Template context of admin/index.html."""
    now = timezone.now()
    period = overview.PERIODS.get(request.GET.get("period", ""), overview.PERIODS[DEFAULT])
    made: dict[str, Any] = {"period": period, "periods": list(overview.PERIODS.values())}
    try:
        if request.user.has_perm("auditlog.view_auditentry"):
            made |= _traffic(period, now)
        if request.user.has_perm("errorlog.view_errorgroup"):
            found, unresolved = suspects(period, made.get("traffic") or overview.Traffic(), f"user:{request.user.pk}", now)
            made |= {"suspects": found, "unresolved": unresolved}
        if request.user.has_perm("relay.view_upstream") and "traffic" in made:
            made["health"] = health(period, made["traffic"], made["flight"], now)
    except DatabaseError:
        logger.warning("the overview lacks a part", exc_info=True)
        made["lacking"] = True
    return made


def _traffic(period: overview.Period, now: Any) -> dict[str, Any]:
    found = overview.traffic(period, now)
    return {
        "traffic": found,
        "flight": overview.in_flight(now),
        "recording": overview.recording(),
        "endings": overview.endings(found),
        "rates": overview.rates_chart(period, found, now) if found.total else "",
        "comparison": overview.comparison(period, found, now),
        "faults": [(name, found.faults[name], overview.share(found.faults[name], found.abnormal)) for name in overview.FAULTS],
    }
