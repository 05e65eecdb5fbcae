"""Ending a stream that runs in some other process: an operator's order, or a client key that was taken away.

An order is a row, and making one counts as a change of the configuration, so that every process looks at once: the bell
rings, and who misses it polls (relay/routing.py). What was ordered is obeyed by the process in which the stream runs, in
its own event loop; all others have no such request. Orders are few, short-lived, and harmless to obey twice.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from relay.ending import Cause
from relay.exchange import LIVE
from relay.models import ConfigVersion, StopOrder
from relay.snapshot import Snapshot

OBEYED_FOR = timedelta(minutes=1)  # a process that looks later than that has been told too late
FORGOTTEN_AFTER = timedelta(hours=1)


def order(request_id: str) -> None:
    """Has the request end, with the cause `operator-kill`, in whichever process of the gateway it runs."""
    now = timezone.now()
    with transaction.atomic():
        StopOrder.objects.filter(asked_at__lt=now - FORGOTTEN_AFTER).delete()
        StopOrder.objects.update_or_create(request_id=request_id, defaults={"asked_at": now})
        ConfigVersion.bump()


def obey(snapshot: Snapshot) -> int:
    """Stops those of this process's requests that must end now, and says how many. For the refresher's thread."""
    if not LIVE:
        return 0
    asked = StopOrder.objects.filter(asked_at__gt=timezone.now() - OBEYED_FOR)
    ordered = set(asked.values_list("request_id", flat=True))
    valid = {key.id for key in snapshot.keys.values() if key.enabled}
    stopped = 0
    for exchange in list(LIVE):
        if exchange.request_id in ordered:
            why = "an operator ended the stream"
        elif exchange.client_key_id is not None and exchange.client_key_id not in valid:
            why = "its client key was revoked"
        else:
            continue
        exchange.loop.call_soon_threadsafe(exchange.stop, Cause.OPERATOR_KILL, why)
        stopped += 1
    return stopped
