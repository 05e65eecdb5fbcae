"""The gateway's configuration as rows, and what its processes tell each other by rows."""

from relay.models.client_keys import ClientKey, Spend
from relay.models.configured import Configured, ConfigVersion
from relay.models.prices import Price
from relay.models.processes import InstanceLease, JournalCheckpoint, StopOrder
from relay.models.routes import Route, RouteUpstream, Strategy
from relay.models.upstreams import Credential, Protocol, Upstream

__all__ = [
    "ClientKey",
    "ConfigVersion",
    "Configured",
    "Credential",
    "InstanceLease",
    "JournalCheckpoint",
    "Price",
    "Protocol",
    "Route",
    "RouteUpstream",
    "Spend",
    "StopOrder",
    "Strategy",
    "Upstream",
]
