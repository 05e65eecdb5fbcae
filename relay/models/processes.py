"""What the processes of one gateway tell each other by rows: journals, orders to stop a stream, leases."""

from __future__ import annotations

from django.db import models


class JournalCheckpoint(models.Model):
    """How far one process's journal is in the database. Moves in the transaction that stores the rows."""

    journal = models.CharField(max_length=36, primary_key=True)
    instance = models.CharField(max_length=200, blank=True)
    segment = models.PositiveIntegerField()
    offset = models.PositiveBigIntegerField()
    done = models.BooleanField(default=False, help_text="All is stored; only the folder is left to be removed.")
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.journal} at {self.segment}:{self.offset}"


class StopOrder(models.Model):
    """That a request in flight is to end (relay/stopping.py)."""

    request_id = models.CharField(max_length=128, primary_key=True)
    asked_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.request_id


class InstanceLease(models.Model):
    """That an instance lives. Its siblings end its open requests once this has expired."""

    instance = models.CharField(max_length=200, primary_key=True)
    renewed_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.instance
