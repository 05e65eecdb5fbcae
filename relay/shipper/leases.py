"""Leases of instances. Another instance's disk cannot be read, so the end of its requests is known by its silence.

Each shipper renews its instance's lease every few seconds. When one expires, any sibling closes the rows that the
instance left open; what only lay in its journal comes when it does, or is lost with its disk.
"""

from __future__ import annotations

import time
from collections.abc import Container
from datetime import UTC, datetime, timedelta
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
        with transaction.atomic():
            # The lock makes two siblings take turns; one that finds the lease renewed or gone has nothing to do.
            lease = expired.select_for_update().filter(instance=name).first()
            if lease is None:
                continue
            reason = f"instance {name} stopped renewing its lease with the request open"
            total += end_open_rows(name, reason, version, root)
            lease.delete()
    return total


def end_open_rows(
    name: str, reason: str, version: str, root: Path, spare: Container[str] = (), before: float | None = None
) -> int:
    """Closes the open rows of instance `name`, those in `spare` and those received after `before` aside."""
    rows = AuditEntry.objects.filter(instance=name, outcome=None).order_by("id")
    if before is not None:
        rows = rows.filter(time__lt=datetime.fromtimestamp(before, UTC))
    total, more = 0, rows
    while found := list(more.values("id", "time", *KNOWN)[:BATCH]):
        more = rows.filter(id__gt=found[-1]["id"])  # one that stays open (recording is off) is not met again
        items = []
        for row in found:
            record, received = str(row.pop("id")), row.pop("time")
            if record not in spare:
                entry = {**row, "time": received.timestamp()}
                items.append(lost_elsewhere(record, entry, reason, time.time(), version))
        if items:
            store(items, [], root)
        total += len(items)
    return total
