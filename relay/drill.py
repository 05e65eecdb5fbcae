"""Rehearsals against the running gateway: how a request proves that it is one, and where it goes instead of to a provider.

`manage.py drill` signs a plan with the gateway's own SECRET_KEY and sends it in a header; so no row of the configuration
is touched, nobody else can mark a request, and nothing has to be cleaned up. Invariant: a request with a good plan is
marked (`drill` in all its records, which keeps it out of groups and figures) and reaches no upstream but the plan's.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

from django.core import signing

from relay.snapshot import NO_CREDENTIAL, ClientKeySpec, CredentialSpec, RouteSpec, UpstreamSpec

HEADER = "x-epitaph-drill"
HEADER_BYTES = HEADER.encode()
LABEL = "drill"  # what records call the client key of a rehearsal
VALID_SECONDS = 3600
SALT = "epitaph.drill"


@dataclass(frozen=True, slots=True)
class Plan:
    """The client key that the request shows, the models that it may ask for, and the one upstream (none: no route)."""

    key: str = field(repr=False)
    upstream: dict[str, Any] | None = None  # fields of UpstreamSpec, with `credentials` a list of (label, secret)
    allowed_models: tuple[str, ...] = ()
    max_attempts: int = 3
    enabled: bool = True  # whether the upstream is switched on

    def sign(self) -> str:
        """The header's value."""
        return signing.dumps(asdict(self), salt=SALT, compress=True)

    def client_key(self, secret: str) -> ClientKeySpec | None:
        """The key that `secret` is, when it is the plan's."""
        return ClientKeySpec(0, LABEL, tuple(self.allowed_models)) if secret == self.key else None

    def route(self) -> RouteSpec | None:
        """The only way that the request may go."""
        if self.upstream is None:
            return None
        # Ids of its own, below all rows': what cools in one rehearsal disturbs neither the next nor a real upstream.
        own = -(zlib.crc32(self.key.encode()) << 4)
        pairs = self.upstream.get("credentials", ())
        credentials = tuple(CredentialSpec(own - number, *pair) for number, pair in enumerate(pairs, 1))
        spec = UpstreamSpec(**{**self.upstream, "id": own - 1, "credentials": credentials or (NO_CREDENTIAL,)})
        return RouteSpec(0, LABEL, (spec,) if self.enabled else (), max_attempts=self.max_attempts)


def read(value: bytes) -> Plan | None:
    """The plan of a header; None when it is not signed by us, too old, or no plan."""
    try:
        return Plan(**signing.loads(value.decode("latin-1"), salt=SALT, max_age=VALID_SECONDS))
    except (signing.BadSignature, TypeError, ValueError):
        return None
