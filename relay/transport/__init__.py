"""The httpx transport over aiohttp: faithful causes and connection timings, at less than aiohttp's own cost.

`upstream` is the transport, `body` what it answers with, `protocol` one connection, `connector` the pool, `causes` the
table from exceptions to causes, `facts` what it tells, `socket` a turn over a WebSocket. Nothing outside this package sees
anything of aiohttp.
"""

from relay.transport.body import Sink, UpstreamBody
from relay.transport.facts import ConnectionFacts, TransportFailure
from relay.transport.headers import headers_of, pairs_of, request_of, value_of
from relay.transport.socket import open_turn
from relay.transport.upstream import UpstreamTransport

__all__ = [
    "ConnectionFacts",
    "Sink",
    "TransportFailure",
    "UpstreamBody",
    "UpstreamTransport",
    "headers_of",
    "open_turn",
    "pairs_of",
    "request_of",
    "value_of",
]
