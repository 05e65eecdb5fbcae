"""From a TOML file to a checked Configuration, or to a sentence for each mistake: where it is and what was expected.

What a value may be is decided by the models' fields and their validators; here stands only which fields a table has.
No text of an error repeats a secret.
"""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models as fields

from relay import models, validation, vault
from relay.config.mistakes import ConfigError, Place

TIMES = tuple(f"{what}_timeout" for what in ("connect", "first_byte", "idle", "stalled", "total", "write"))
UPSTREAM_FIELDS = ("name", "protocol", "base_url", "enabled", *TIMES, "commit_after", "proxy", "ca_bundle", "ask_for_usage")
CREDENTIAL_SETTINGS = ("max_concurrency", "proxy")
ROUTE_SETTINGS = ("upstream_model", "max_attempts", "strategy", "defaults", "overrides")
CLIENT_KEY_SETTINGS = ("max_concurrency", "tokens_per_day")
PRICE_SETTINGS = ("input", "cached_input", "output")
TABLES = ("upstream", "route", "client_key", "price")


@dataclass(frozen=True, slots=True)
class DeclaredCredential:
    label: str
    secret: str | None = field(repr=False)  # None: as the row has it; so is `enabled`
    enabled: bool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # by the model's field names, defaults filled in


@dataclass(frozen=True, slots=True)
class DeclaredUpstream:
    name: str
    settings: Mapping[str, Any]  # by the model's field names, defaults filled in
    enabled: bool | None = None
    credentials: tuple[DeclaredCredential, ...] = ()


@dataclass(frozen=True, slots=True)
class DeclaredRoute:
    model: str
    upstreams: tuple[str, ...]
    weights: Mapping[str, int] = field(default_factory=dict)  # by upstream; 1 where none is named
    settings: Mapping[str, Any] = field(default_factory=dict)  # by the model's field names, defaults filled in


@dataclass(frozen=True, slots=True)
class DeclaredKey:
    label: str
    key: str | None = field(repr=False)  # None: as the row has it
    enabled: bool | None = None
    expires_at: datetime | None = None
    allowed_models: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)  # by the model's field names, defaults filled in


@dataclass(frozen=True, slots=True)
class DeclaredPrice:
    model: str
    upstream: str | None = None  # None: any
    settings: Mapping[str, Any] = field(default_factory=dict)  # by the model's field names, defaults filled in


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file declares. `variables` are the environment variables that it took secrets from."""

    file: str = ""
    upstreams: tuple[DeclaredUpstream, ...] = ()
    routes: tuple[DeclaredRoute, ...] = ()
    keys: tuple[DeclaredKey, ...] = ()
    prices: tuple[DeclaredPrice, ...] = ()
    variables: frozenset[str] = frozenset()


def read(path: str | Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """Read and check a file.

    Raises:
        ConfigError: it cannot be read, is no TOML, or holds mistakes: all that show in the file alone.
    """
    file = str(path)
    try:
        content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8; expected a TOML file.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}.") from None
    return _configuration(Place(file), content, os.environ if environment is None else environment)


def _configuration(place: Place, content: dict[str, Any], environment: Mapping[str, str]) -> Configuration:
    for name in content:
        if name not in TABLES:
            place.note_file(f"unknown table {name!r}{_like(name, TABLES)}")
    variables: set[str] = set()
    configuration = Configuration(
        place.file,
        tuple(_upstream(at, table, environment, variables) for at, table in _tables(place, content, "upstream", "name")),
        tuple(_route(at, table) for at, table in _tables(place, content, "route", "model")),
        tuple(_client_key(at, table, environment, variables) for at, table in _tables(place, content, "client_key", "label")),
        tuple(_price(at, table) for at, table in _tables(place, content, "price", "model", "upstream")),
    )
    _note_key_twice(place, configuration.keys)
    place.refuse()
    return replace(configuration, variables=frozenset(variables))


def _tables(
    place: Place, content: Mapping[str, Any], name: str, title: str, beside: str = ""
) -> Iterator[tuple[Place, dict[str, Any]]]:
    """The tables of an array, each with its place; two of the same title (and of the same `beside`) are a mistake."""
    found = content.get(name, [])
    dotted = ".credential" if name == "credential" else ""
    header = f"upstream{dotted}" if dotted else name
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        place.note_file(f"{name} is not an array of tables; expected [[{header}]]")
        return
    seen: dict[tuple[str, str], int] = {}
    for number, table in enumerate(found, 1):
        at = place.inside(header, number, table.get(title))
        value, other = table.get(title), table.get(beside, "")
        if isinstance(value, str) and isinstance(other, str) and seen.setdefault((value, other), number) != number:
            at.note(title, f"is also that of number {seen[value, other]}; expected each to be named once")
        yield at, table


def _upstream(place: Place, table: dict[str, Any], environment: Mapping[str, str], variables: set[str]) -> DeclaredUpstream:
    _note_unknown(place, table, [*UPSTREAM_FIELDS, "credential"])
    settings = {
        name: _column(place, table, models.Upstream, name, required=name in ("name", "protocol", "base_url"))
        for name in UPSTREAM_FIELDS
        if name != "enabled"
    }
    credentials = tuple(
        _credential(at, inner, environment, variables) for at, inner in _tables(place, table, "credential", "label")
    )
    return DeclaredUpstream(settings["name"], settings, _switch(place, table, models.Upstream), credentials)


def _credential(place: Place, table: dict[str, Any], environment: Mapping[str, str], variables: set[str]) -> DeclaredCredential:
    _note_unknown(place, table, ["label", "secret", "secret_env", "enabled", *CREDENTIAL_SETTINGS])
    label = _column(place, table, models.Credential, "label", required=True)
    secret = _secret(place, table, "secret", environment, variables)
    settings = {name: _column(place, table, models.Credential, name) for name in CREDENTIAL_SETTINGS}
    return DeclaredCredential(label, secret, _switch(place, table, models.Credential), settings)


def _route(place: Place, table: dict[str, Any]) -> DeclaredRoute:
    _note_unknown(place, table, ["model", "upstreams", "weights", *ROUTE_SETTINGS])
    upstreams = _texts(place, table, "upstreams", "a list of upstreams' names", validation.name)
    if table.get("upstreams", []) == []:
        place.note("upstreams", "is missing or empty; expected a list of upstreams' names")
    if len(set(upstreams)) != len(upstreams):
        place.note("upstreams", "names an upstream twice; expected each once")
    return DeclaredRoute(
        _column(place, table, models.Route, "model", required=True),
        upstreams,
        _weights(place, table.get("weights", {}), upstreams),
        {name: _column(place, table, models.Route, name) for name in ROUTE_SETTINGS},
    )


def _weights(place: Place, value: Any, upstreams: Sequence[str]) -> Mapping[str, int]:
    """`upstreams` is empty when they are a mistake themselves: then nothing is held against them."""
    if not isinstance(value, dict):
        place.note("weights", f"is {_shown(value)}; expected a table of upstreams and whole numbers")
        return {}
    for name, share in value.items():
        if upstreams and name not in upstreams:
            place.note("weights", f"names {name!r}, which is no upstream of this route{_like(name, upstreams)}")
        elif not _TYPES["count"][1](share):
            place.note(f"weights.{name}", f"is {_shown(share)}; expected a whole number")
        else:
            _check(place, f"weights.{name}", share, [validation.weight])
    return value


def _client_key(place: Place, table: dict[str, Any], environment: Mapping[str, str], variables: set[str]) -> DeclaredKey:
    _note_unknown(place, table, ["label", "key", "key_env", "enabled", "expires_at", "allowed_models", *CLIENT_KEY_SETTINGS])
    return DeclaredKey(
        _column(place, table, models.ClientKey, "label", required=True),
        _secret(place, table, "key", environment, variables),
        _switch(place, table, models.ClientKey),
        _column(place, table, models.ClientKey, "expires_at"),
        _texts(place, table, "allowed_models", "a list of model names or globs", validation.model_glob),
        {name: _column(place, table, models.ClientKey, name) for name in CLIENT_KEY_SETTINGS},
    )


def _price(place: Place, table: dict[str, Any]) -> DeclaredPrice:
    _note_unknown(place, table, ["model", "upstream", *PRICE_SETTINGS])
    model = _column(place, table, models.Price, "model", required=True)
    upstream = table.get("upstream")
    if "upstream" in table and not isinstance(upstream, str):
        place.note("upstream", f"is {_shown(upstream)}; expected an upstream's name")
    elif upstream is not None:
        _check(place, "upstream", upstream, [validation.name])
    settings = {name: _column(place, table, models.Price, name, required=name != "cached_input") for name in PRICE_SETTINGS}
    return DeclaredPrice(model, upstream, settings)


# ---- single fields -----------------------------------------------------------------------------------------------


def _note_unknown(place: Place, table: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in table:
        if name not in known:
            place.note(name, f"is not known{_like(name, known)}")


def _like(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"; expected {close[0]!r}" if close else f"; expected one of {', '.join(known)}"


def _switch(place: Place, table: Mapping[str, Any], model: type[models.Configured]) -> bool | None:
    return _column(place, table, model, "enabled") if "enabled" in table else None


def _column(place: Place, table: Mapping[str, Any], model: type[models.Configured], name: str, *, required: bool = False) -> Any:
    """The value for a model's field, checked as that field checks, or its default."""
    column = model._meta.get_field(name)
    assert isinstance(column, fields.Field)
    if name not in table:
        if required:
            place.note(name, f"is missing; expected {_expected(column, required)}")
        return column.get_default()
    value = table[name]
    fits = _TYPES[_kind(column)][1](value) and not (value == "" and required)
    if not fits or (column.choices and value not in [choice for choice, _ in column.flatchoices]):
        place.note(name, f"is {_shown(value)}; expected {_expected(column, required)}")
    elif isinstance(value, str) and column.max_length and len(value) > column.max_length:
        place.note(name, f"has {len(value)} characters; expected at most {column.max_length}")
    elif isinstance(column, fields.DecimalField):
        value = Decimal(str(value))  # as it stands in the file, which its float is not
        _check(place, name, value, column.validators)
    elif value != "":
        _check(place, name, value, column.validators)
    return value


def _texts(place: Place, table: Mapping[str, Any], name: str, expected: str, check: Callable[[str], None]) -> tuple[str, ...]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        place.note(name, f"is {_shown(value)}; expected {expected}")
        return ()
    for item in value:
        _check(place, name, item, [check])
    return tuple(value)


def _secret(place: Place, table: Mapping[str, Any], name: str, environment: Mapping[str, str], variables: set[str]) -> str | None:
    """A secret in the file, or in the variable that the file names; with neither, the row must have one already."""
    by_name = f"{name}_env"
    if name in table and by_name in table:
        place.note(name, f"expected either {name} or {by_name}, and not both")
        return None
    if name not in table and by_name not in table:
        return None
    value, where = table.get(name), name
    if by_name in table:
        variable, where = table[by_name], by_name
        if not isinstance(variable, str) or not variable:
            place.note(by_name, "expected the name of an environment variable")
            return None
        value = environment.get(variable)
        if not value:
            place.note(by_name, f"the environment variable {variable} is not set; expected it to hold the {name}")
            return None
        variables.add(variable)
    if not isinstance(value, str):
        place.note(where, "is not a text; expected a printable text that is not blank")
        return None
    _check(place, where, value, [validation.secret], show=False)
    return value


def _check(place: Place, name: str, value: Any, validators: Sequence[Callable[[Any], None]], *, show: bool = True) -> None:
    for validator in validators:
        try:
            validator(value)
        except ValidationError as error:
            shown = f"is {_shown(value)}; " if show else ""
            place.note(name, f"{shown}{' '.join(error.messages)}")
            return


def _note_key_twice(place: Place, keys: Sequence[DeclaredKey]) -> None:
    seen: dict[bytes, str] = {}
    for number, entry in enumerate(keys, 1):
        if entry.key is None:
            continue
        first = seen.setdefault(vault.digest(entry.key), entry.label)
        if first != entry.label:
            at = place.inside("client_key", number, entry.label)
            at.note("key", f"is also the key of {first}; expected each label to have a key of its own")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_TYPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "flag": ("true or false", lambda value: isinstance(value, bool)),
    "number": ("a number of seconds", _is_number),
    "price": ("a number, such as 2.5", _is_number),
    "count": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "moment": (
        "a date and time with its offset, such as 2030-01-31T00:00:00Z",
        lambda value: isinstance(value, datetime) and value.tzinfo is not None,
    ),
    "parameters": ("a table of parameters", lambda value: isinstance(value, dict)),
    "text": ("a text", lambda value: isinstance(value, str)),
}


def _kind(column: fields.Field) -> str:
    if isinstance(column, fields.BooleanField):
        return "flag"
    if isinstance(column, fields.FloatField):
        return "number"
    if isinstance(column, fields.DecimalField):
        return "price"
    if isinstance(column, fields.IntegerField):
        return "count"
    if isinstance(column, fields.JSONField):
        return "parameters"
    return "moment" if isinstance(column, fields.DateTimeField) else "text"


def _expected(column: fields.Field, required: bool) -> str:
    if column.choices:
        return "one of " + ", ".join(str(choice) for choice, _ in column.flatchoices)
    kind = _kind(column)
    return _TYPES[kind][0] + (" that is not empty" if required and kind == "text" else "")


def _shown(value: Any) -> str:
    """The value for a person; not where it may hold a password."""
    text = f"{value:f}" if isinstance(value, Decimal) else repr(value)
    if "@" in text:
        return "not usable (and may hold a password, so it is not shown)"
    return text if len(text) <= 80 else text[:80] + "…"
