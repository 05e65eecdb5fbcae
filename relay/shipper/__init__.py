"""The shipper: turns journal lines into rows of both logs, and is the only writer of those rows.

`segments` reads files, `storing` writes one transaction, `recovery` ends what nobody else can end, `leases` watches
instances whose disk we cannot read, and `shipping` is the loop that joins them.
"""

from relay.shipper.shipping import Shipper, ShipperState

__all__ = ["Shipper", "ShipperState"]
