"""The rows as a RELAY_CONFIG file, without secrets: what it leaves out, an existing row keeps when the file is applied."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import tomli_w
from django.db import models as fields

from relay.config.document import CLIENT_KEY_SETTINGS, CREDENTIAL_SETTINGS, PRICE_SETTINGS, ROUTE_SETTINGS, UPSTREAM_FIELDS
from relay.models import ClientKey, Credential, Price, Route, Upstream

HEAD = """\
# Upstreams, routes, client keys and prices as they stood at configuration version {version}. Secrets are left out: applied where
# the rows exist, each keeps its own; elsewhere, add secret_env (or key_env) to each credential and client key first.
"""


def export(version: int) -> str:
    """The text of the file. The built-in demo, and routes that lead nowhere else, are not part of it."""
    upstreams = Upstream.objects.filter(built_in=False).prefetch_related("credentials").order_by("name")
    routes = Route.objects.prefetch_related("steps__upstream")
    document: dict[str, Any] = {
        "upstream": [_upstream(row) for row in upstreams],
        "route": [table for row in routes if (table := _route(row)) is not None],
        "client_key": [_client_key(row) for row in ClientKey.objects.order_by("label")],
        "price": [_price(row) for row in Price.objects.exclude(upstream__built_in=True).select_related("upstream")],
    }
    empty = [row.model for row in routes if _route(row) is None]
    notes = "".join(f"# The route {model} leads to no upstream of this file, and is left out.\n" for model in empty)
    return HEAD.format(version=version) + notes + "\n" + tomli_w.dumps(document)


def _upstream(row: Upstream) -> dict[str, Any]:
    table = _settings(row, UPSTREAM_FIELDS, always=("name", "protocol", "base_url", "enabled"))
    credentials = [_credential(credential) for credential in row.credentials.all()]
    return table | ({"credential": credentials} if credentials else {})


def _credential(row: Credential) -> dict[str, Any]:
    return _settings(row, ("label", "enabled", *CREDENTIAL_SETTINGS), always=("label", "enabled"))


def _route(row: Route) -> dict[str, Any] | None:
    steps = [step for step in row.steps.all() if not step.upstream.built_in]
    if not steps:
        return None
    table: dict[str, Any] = {"model": row.model, "upstreams": [step.upstream.name for step in steps]}
    weights = {step.upstream.name: step.weight for step in steps if step.weight != 1}
    return table | ({"weights": weights} if weights else {}) | _settings(row, ROUTE_SETTINGS)


def _client_key(row: ClientKey) -> dict[str, Any]:
    table = _settings(row, ("label", "enabled", "expires_at", *CLIENT_KEY_SETTINGS), always=("label", "enabled"))
    return table | ({"allowed_models": list(row.allowed_globs)} if row.allowed_globs else {})


def _price(row: Price) -> dict[str, Any]:
    table = {"model": row.model} | ({"upstream": row.upstream.name} if row.upstream else {})
    return table | _settings(row, PRICE_SETTINGS)


def _settings(row: fields.Model, names: tuple[str, ...], always: tuple[str, ...] = ()) -> dict[str, Any]:
    """The named columns that are not at their default."""
    table = {}
    for name in names:
        column = row._meta.get_field(name)
        assert isinstance(column, fields.Field)
        value = getattr(row, name)
        if value is not None and (name in always or value != column.get_default()):
            table[name] = Decimal(f"{value.normalize():f}") if isinstance(value, Decimal) else value
    return table
