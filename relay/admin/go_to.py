"""Ctrl K: what is found by its name among groups, configuration and requests, for those who may see it.

Each kind gives a few rows by an index or from a small table, so that typing never makes the database count.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from django.db.models import Q
from django.http import HttpRequest, JsonResponse
from django.urls import reverse

from auditlog.models import AuditEntry
from errorlog.models import ErrorGroup
from relay.models import ClientKey, Credential, Price, Route, Upstream

FEW = 4
SHORTEST = 2
CONFIGURED = (
    (Upstream, "name", "upstream"),
    (Credential, "label", "credential"),
    (Route, "model", "route"),
    (ClientKey, "label", "client key"),
    (Price, "model", "price"),
)


@dataclass(frozen=True, slots=True)
class Found:
    """A place to go to."""

    text: str
    hint: str
    url: str


def view(request: HttpRequest) -> JsonResponse:
    """`{"items": [{text, hint, url}]}` for the text in `q`."""
    text = request.GET.get("q", "").strip().replace("\0", "")[:200]
    items = find(request, text) if len(text) >= SHORTEST else []
    return JsonResponse({"items": [asdict(item) for item in items]})


def find(request: HttpRequest, text: str) -> list[Found]:
    """Requests by their id, then groups by name, then configuration."""
    return [*_requests(request, text), *_groups(request, text), *_configured(request, text)]


def _requests(request: HttpRequest, text: str) -> list[Found]:
    if not request.user.has_perm("auditlog.view_auditentry"):
        return []
    ids = Q(request_id=text) | Q(client_request_id=text) | Q(response_id=text)
    # unordered: an order would tempt the planner to walk the newest entries in search of an id that is not there
    rows = AuditEntry.objects.filter(ids).order_by().only("pk", "request_id", "outcome", "cause", "model")[:FEW]
    return [
        Found(
            row.request_id,
            " ".join(filter(None, (row.outcome or "in flight", row.cause, row.model))),
            reverse("admin:auditlog_auditentry_change", args=[row.pk]),
        )
        for row in rows
    ]


def _groups(request: HttpRequest, text: str) -> list[Found]:
    if not request.user.has_perm("errorlog.view_errorgroup"):
        return []
    rows = ErrorGroup.objects.filter(Q(name__icontains=text) | Q(title__icontains=text) | Q(upstream__icontains=text))
    return [
        Found(
            row.name,
            " · ".join(filter(None, (row.cause, row.upstream, f"{row.count:,} events"))),
            reverse("admin:errorlog_errorgroup_change", args=[row.pk]),
        )
        for row in rows.order_by("-last_seen", "-id")[:FEW]
    ]


def _configured(request: HttpRequest, text: str) -> list[Found]:
    found = []
    for model, field, word in CONFIGURED:
        if request.user.has_perm(f"relay.view_{model._meta.model_name}"):
            rows = model._default_manager.filter(**{f"{field}__icontains": text}).order_by("pk")[:FEW]
            found += [
                Found(str(row), word, reverse(f"admin:relay_{model._meta.model_name}_change", args=[row.pk])) for row in rows
            ]
    return found
