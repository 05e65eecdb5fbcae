"""What the request path knows of upstreams, routes and client keys: frozen values, pure look-ups, no database.

Invariant: a Snapshot never changes after it was made; a changed row makes a new one (relay/routing.py). So a request
that holds a RouteSpec keeps it to its end, and no look-up ever waits.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property, lru_cache
from typing import Any

from relay import vault

WILDCARDS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class CredentialSpec:
    """A key that an upstream accepts. `id` None and an empty secret: the upstream asks for none."""

    id: int | None
    label: str
    secret: str = field(repr=False)
    max_concurrency: int | None = None
    proxy: str | None = None  # instead of the upstream's


NO_CREDENTIAL = CredentialSpec(None, "", "")


@dataclass(frozen=True, slots=True)
class UpstreamSpec:
    """An API that answers requests. All times are seconds."""

    id: int
    name: str
    protocol: str
    base_url: str
    connect_timeout: float = 10.0
    first_byte_timeout: float = 300.0
    idle_timeout: float = 300.0
    stalled_timeout: float = 900.0
    total_timeout: float | None = None
    write_timeout: float = 60.0
    commit_after: float = 45.0  # 0 = never
    proxy: str | None = None
    ca_bundle: str | None = None
    ask_for_usage: bool | None = None  # of streams whose client did not; None: as the setting says
    credentials: tuple[CredentialSpec, ...] = ()  # those that may be used; none when all are switched off


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """A model name or glob, and the upstreams that serve it, in order of preference."""

    id: int
    model: str
    upstreams: tuple[UpstreamSpec, ...]
    upstream_model: str | None = None
    max_attempts: int = 3
    strategy: str = "in-order"
    weights: tuple[int, ...] = ()  # as many as upstreams, or none: all alike
    defaults: Mapping[str, Any] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def changes(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that this route sets in a body: its defaults where the client said nothing, and its overrides."""
        return {name: value for name, value in self.defaults.items() if name not in body} | dict(self.overrides)


@dataclass(frozen=True, slots=True)
class ClientKeySpec:
    """Who asks. An earlier key of the same row, still valid after a rotation, is a second spec with its own end."""

    id: int
    label: str
    allowed_models: tuple[str, ...] = ()
    expires_at: float | None = None
    enabled: bool = True
    max_concurrency: int | None = None
    tokens_per_day: int | None = None

    def usable(self, now: float) -> bool:
        """Switched on and not expired; `now` in epoch seconds."""
        return self.enabled and (self.expires_at is None or now < self.expires_at)

    def allows(self, model: str) -> bool:
        """Whether this key may ask for the model."""
        return not self.allowed_models or any(glob(text).matches(model) for text in self.allowed_models)


class Glob:
    """A pattern over model names, case-sensitive: `*`, `?` and `[…]` as in a shell."""

    __slots__ = ("_matches", "exact", "prefix")

    def __init__(self, text: str) -> None:
        length = next((index for index, character in enumerate(text) if character in WILDCARDS), len(text))
        self.prefix = text[:length]
        self.exact = length == len(text)
        self._matches = re.compile(translate(text)).match

    def matches(self, model: str) -> bool:
        return model.startswith(self.prefix) and self._matches(model) is not None


@lru_cache(maxsize=4096)
def glob(text: str) -> Glob:
    """The pattern, compiled once for each text."""
    return Glob(text)


@dataclass(frozen=True)
class Snapshot:
    """The whole configuration at one version. `routes` stand in their file order."""

    version: int = 0
    routes: tuple[RouteSpec, ...] = ()
    upstreams: tuple[UpstreamSpec, ...] = ()
    keys: Mapping[bytes, ClientKeySpec] = field(default_factory=dict, repr=False)
    capture: bool = False  # whether payloads are kept with the audit entries (relay/capturing.py)

    def route_for(self, model: str) -> RouteSpec | None:
        """Exact name first, then the longest literal prefix, then file order.

        `upstream/model` asks for one upstream by its name. It stands behind every route that spells out how the name
        begins, and before those that take any name.
        """
        exact = self._exact.get(model)
        if exact is not None:
            return exact
        for pattern, route in self._globs:
            if pattern.matches(model):
                return route if pattern.prefix else self._by_upstream(model) or route
        return self._by_upstream(model)

    def _by_upstream(self, model: str) -> RouteSpec | None:
        name, slash, rest = model.partition("/")
        upstream = self._named.get(name) if slash and rest else None
        return RouteSpec(0, f"{name}/*", (upstream,), rest) if upstream is not None else None

    def key_for(self, secret: str | bytes, now: float | None = None) -> ClientKeySpec | None:
        """The client key, when it is known, switched on and not expired.

        A text with characters beyond ASCII may be UTF-8 that a server decoded as Latin-1, as ASGI does; both are tried.
        """
        found = self.keys.get(vault.digest(secret))
        if found is None and isinstance(secret, str) and not secret.isascii():
            try:
                found = self.keys.get(vault.digest(secret.encode("latin-1")))
            except UnicodeEncodeError:
                return None
        if found is None or not found.usable(time.time() if now is None else now):
            return None
        return found

    def models_for(self, key: ClientKeySpec) -> list[str]:
        """What `/v1/models` lists: names that routes spell out and the key may ask for, and names that only the key spells out.

        A glob is no model: a client that offers it to a person would ask the upstream for `gpt-*`.
        """
        of_routes = (route.model for route in self.routes if glob(route.model).exact and key.allows(route.model))
        of_key = (name for name in key.allowed_models if glob(name).exact and self.route_for(name) is not None)
        return list(dict.fromkeys([*of_routes, *of_key]))

    @cached_property
    def _exact(self) -> dict[str, RouteSpec]:
        return {route.model: route for route in reversed(self.routes) if glob(route.model).exact}

    @cached_property
    def _named(self) -> dict[str, UpstreamSpec]:
        return {upstream.name: upstream for upstream in self.upstreams}

    @cached_property
    def _globs(self) -> list[tuple[Glob, RouteSpec]]:
        return _by_prefix((glob(route.model), route) for route in self.routes)


def _by_prefix(routes: Iterable[tuple[Glob, RouteSpec]]) -> list[tuple[Glob, RouteSpec]]:
    """Longest literal prefix first; the sort is stable, so that file order decides between equals."""
    return sorted((item for item in routes if not item[0].exact), key=lambda item: -len(item[0].prefix))
