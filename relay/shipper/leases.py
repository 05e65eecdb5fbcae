"""Leases of instances. Another instance's disk cannot be read, so the end of its requests is known by its silence.

Each shipper renews its instance's lease every few seconds. When one expires, any sibling closes the rows that the
instance left open; what only lay in its journal comes when it does, or is lost with its disk.
"""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from auditlog.models import AuditEntry
from relay.models import InstanceLease
from relay.shipper.recovery import lost_elsewhere
from relay.shipper.storing import store

RENEW_SECONDS = 5.0
EXPIRE_SECONDS = 60.0
BATCH = 500
KNOWN = (
    "request_id",
    "client_request_id",
    "direction",
    "method",
    "path",
    "tag",
    "model",
    "upstream_model",
    "provider",
    "credential",
    "client_key",
    "phase",
    "stream",
    "drill",
    "bytes_out",
    "chunks_out",
    "client_status",
    "instance",
)


def renew(instance: str) -> None:
    """Says that `instance` lives."""
    now = timezone.now()
    InstanceLease.objects.bulk_create(
        [InstanceLease(instance=instance, renewed_at=now, expires_at=now + timedelta(seconds=EXPIRE_SECONDS))],
        update_conflicts=True,
        unique_fields=["instance"],
        update_fields=["renewed_at", "expires_at"],
    )


def end_expired(instance: str, version: str, root: Path) -> int:
    """Closes the open rows of siblings whose lease expired. Returns how many."""
    expired = InstanceLease.objects.filter(~Q(instance=instance), expires_at__lt=timezone.now())
    total = 0
    for name in list(expired.values_list("instance", flat=True)):
        after: str | None = None
        while ended := _end_some(name, after, version, root):
            total += len(ended)
            after = ended[-1]
        InstanceLease.objects.filter(instance=name, expires_at__lt=timezone.now()).delete()
    return total


def _end_some(name: str, after: str | None, version: str, root: Path) -> list[str]:
    """Ends the next rows, in the order of their ids; one that stays open (recording is off) is not met again."""
    with transaction.atomic():
        # The lock makes two siblings take turns; one that finds the lease renewed or gone has nothing to do.
        lease = InstanceLease.objects.select_for_update().filter(instance=name, expires_at__lt=timezone.now()).first()
        if lease is None:
            return []
        rows = AuditEntry.objects.filter(instance=name, outcome=None).order_by("id")
        if after is not None:
            rows = rows.filter(id__gt=after)
        items = {}
        for row in rows.values("id", "time", *KNOWN)[:BATCH]:
            record, received = str(row.pop("id")), row.pop("time")
            entry = {**row, "time": received.timestamp()}
            items[record] = lost_elsewhere(record, entry, name, time.time(), version)
        if items:
            store(list(items.values()), [], root)
    return list(items)
