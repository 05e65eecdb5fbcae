"""The configuration in the Django admin. These classes only present: what a row may be is decided in relay/models.py.

Invariant: no page ever shows a credential's secret, nor a client key but in the one answer that created it.
"""

from relay.admin.client_keys import ClientKeyAdmin
from relay.admin.prices import PriceAdmin
from relay.admin.routes import RouteAdmin
from relay.admin.upstreams import CredentialAdmin, UpstreamAdmin
from relay.admin.users import OperatorAdmin

__all__ = ["ClientKeyAdmin", "CredentialAdmin", "OperatorAdmin", "PriceAdmin", "RouteAdmin", "UpstreamAdmin"]
