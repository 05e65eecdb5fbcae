"""A Configuration becomes rows: by name, in one transaction, saving only what differs.

Invariant: a mistake that shows only against the database (an upstream that is nowhere, a key that another label has)
leaves every row as it was. A dry run is the same work, rolled back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q

from relay import vault
from relay.config.document import (
    Configuration,
    DeclaredCredential,
    DeclaredKey,
    DeclaredPrice,
    DeclaredRoute,
    DeclaredUpstream,
)
from relay.config.mistakes import ConfigError, Place
from relay.models import ClientKey, ConfigVersion, Credential, Price, Route, RouteUpstream, Upstream


@dataclass(frozen=True, slots=True)
class Change:
    """What applying did, or would do, to one row. `fields` never hold a secret."""

    row: str
    created: bool
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        sign = "+" if self.created else "~"
        return f"{sign} {self.row}" + (f": {', '.join(self.fields)}" if self.fields else "")


def apply(configuration: Configuration, *, dry_run: bool = False) -> list[Change]:
    """Make the rows say what the file says; return what changed.

    Raises:
        ConfigError: mistakes that show against the rows, all of them; nothing was changed.
    """
    place = Place(configuration.file)
    with transaction.atomic():
        list(ConfigVersion.objects.select_for_update())  # two at once wait for each other
        changes = [
            *(
                change
                for number, entry in enumerate(configuration.upstreams, 1)
                for change in _apply_upstream(entry, number, place)
            ),
            *(change for number, entry in enumerate(configuration.routes, 1) for change in _apply_route(entry, number, place)),
            *(change for number, entry in enumerate(configuration.keys, 1) for change in _apply_key(entry, number, place)),
            *(change for number, entry in enumerate(configuration.prices, 1) for change in _apply_price(entry, number, place)),
        ]
        place.refuse()
        if dry_run:
            transaction.set_rollback(True)
    return changes


def _apply_upstream(entry: DeclaredUpstream, number: int, whole: Place) -> list[Change]:
    place = whole.inside("upstream", number, entry.name)
    row = Upstream.objects.filter(name=entry.name).first() or Upstream(name=entry.name)
    changes = _save(row, f"upstream {entry.name}", {**entry.settings, **_switch(entry.enabled), "built_in": False})
    for position, inner in enumerate(entry.credentials, 1):
        changes += _apply_credential(row, inner, place.inside("upstream.credential", position, inner.label))
    return changes


def _apply_credential(upstream: Upstream, entry: DeclaredCredential, place: Place) -> list[Change]:
    row = Credential.objects.filter(upstream=upstream, label=entry.label).first()
    row = row or Credential(upstream=upstream, label=entry.label)
    notes = []
    if entry.secret is None:
        if not row.sealed_secret:
            place.note("secret", "is missing, and no such credential exists yet; expected secret or secret_env")
            return []
    elif not row.sealed_secret or not _holds(row, entry.secret):
        row.set_secret(entry.secret)
        notes.append("secret")
    values = {**entry.settings, **_switch(entry.enabled)}
    return _save(row, f"credential {upstream.name} / {entry.label}", values, notes)


def _holds(row: Credential, secret: str) -> bool:
    try:
        return row.reveal() == secret.strip()
    except vault.UnreadableSecret:
        return False


def _apply_route(entry: DeclaredRoute, number: int, whole: Place) -> list[Change]:
    place = whole.inside("route", number, entry.model)
    by_name = {row.name: row for row in Upstream.objects.filter(name__in=entry.upstreams)}
    absent = [name for name in entry.upstreams if name not in by_name]
    for name in absent:
        place.note("upstreams", _nowhere(name))
    if absent:
        return []
    row = Route.objects.filter(model=entry.model).first() or Route(model=entry.model)
    steps = row.steps.select_related("upstream") if row.pk else []
    before = [(step.upstream.name, step.weight) for step in steps]
    after = [(name, entry.weights.get(name, 1)) for name in entry.upstreams]
    shown = ", ".join(name if weight == 1 else f"{name} × {weight}" for name, weight in after)
    notes = [] if before == after else [f"upstreams: {shown}"]
    changes = _save(row, f"route {entry.model}", {**entry.settings, "position": number}, notes)
    if notes:
        row.steps.all().delete()
        RouteUpstream.objects.bulk_create(
            RouteUpstream(route=row, upstream=by_name[name], weight=weight, position=position)
            for position, (name, weight) in enumerate(after, 1)
        )
    return changes


def _apply_key(entry: DeclaredKey, number: int, whole: Place) -> list[Change]:
    place = whole.inside("client_key", number, entry.label)
    row = ClientKey.objects.filter(label=entry.label).first() or ClientKey(label=entry.label)
    notes = []
    if entry.key is None:
        if not row.digest:
            place.note("key", "is missing, and no such client key exists yet; expected key or key_env")
            return []
    else:
        digest = vault.digest(entry.key).hex()
        other = ClientKey.objects.filter(Q(digest=digest) | Q(previous_digest=digest)).exclude(label=entry.label).first()
        if other is not None:
            place.note("key", f"is that of the client key {other.label}; expected a key of its own")
            return []
        if digest not in (row.digest, row.previous_digest):  # a key that was rotated away does not come back
            row.set_key(entry.key)
            notes.append("key")
    values = {
        "expires_at": entry.expires_at,
        "allowed_models": "\n".join(entry.allowed_models),
        **entry.settings,
        **_switch(entry.enabled),
    }
    return _save(row, f"client key {entry.label}", values, notes)


def _apply_price(entry: DeclaredPrice, number: int, whole: Place) -> list[Change]:
    place = whole.inside("price", number, entry.model)
    upstream = None if entry.upstream is None else Upstream.objects.filter(name=entry.upstream).first()
    if entry.upstream is not None and upstream is None:
        place.note("upstream", _nowhere(entry.upstream))
        return []
    row = Price.objects.filter(model=entry.model, upstream=upstream).first() or Price(model=entry.model, upstream=upstream)
    return _save(row, f"price {row}", {**entry.settings, "position": number})


def _nowhere(name: str) -> str:
    return f"names {name!r}; expected an upstream of this file or of the database"


def _switch(enabled: bool | None) -> dict[str, bool]:
    return {} if enabled is None else {"enabled": enabled}


def _save(
    row: Upstream | Credential | Route | ClientKey | Price, title: str, values: Mapping[str, Any], notes: Sequence[str] = ()
) -> list[Change]:
    """Save the row when a value differs or there is a note; a row that is right already costs no version."""
    created = row.pk is None
    fields = list(notes)
    for name, value in values.items():
        former = getattr(row, name)
        if former != value:
            if not created:
                fields.append(f"{name}: {_told(former)} → {_told(value)}")
            setattr(row, name, value)
    if not created and not fields:
        return []
    row.save()
    return [Change(title, created, tuple(fields))]


def _told(value: Any) -> str:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else repr(value)


__all__ = ["Change", "ConfigError", "apply"]
