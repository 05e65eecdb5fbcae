"""What went wrong: events, the groups they fall into, what is counted of each group, and how far each reader has read.

Invariants, kept by errorlog.ingest alone:
- `sequence` is arrival order, in commit order;
- a group's `count` is the number of events that ever fell into it, whatever retention has deleted since; an event's
  `number` is its place among them, so that unread events are counted exactly without their rows;
- drills are stored as events without a group, and counted nowhere.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils import timezone


class GroupQuerySet(models.QuerySet["ErrorGroup"]):
    """What a person may decide about groups. Each is one statement, so that it and the writer cannot undo each other."""

    def resolve(self, *, next_version: bool = False) -> int:
        """Resolved now, or from the version after the running one."""
        version = settings.VERSION if next_version else ""
        return self._decide(self.model.Status.RESOLVED, resolved_at=timezone.now(), resolved_version=version)

    def mute(self, *, until: datetime | None = None, events: int | None = None, seconds: int | None = None) -> int:
        """Muted until a time, until so many events came within so many seconds, or for good."""
        return self._decide(
            self.model.Status.MUTED,
            muted_until=until,
            muted_events=events,
            muted_seconds=seconds,
            muted_count=F("count"),
        )

    def ignore(self) -> int:
        return self._decide(self.model.Status.IGNORED)

    def reopen(self) -> int:
        return self._decide(self.model.Status.UNRESOLVED)

    def wake(self) -> int:
        """Reopens what was muted until a time that has passed."""
        due = self.filter(status=self.model.Status.MUTED, muted_until__lte=timezone.now())
        return due.reopen() if due.exists() else 0

    def _decide(self, status: str, **fields: object) -> int:
        return self.update(**{**UNDECIDED, "status": status, **fields})


UNDECIDED: dict[str, object] = {
    "regressed": False,
    "resolved_at": None,
    "resolved_version": "",
    "muted_until": None,
    "muted_events": None,
    "muted_seconds": None,
    "muted_count": 0,
}


class ErrorGroup(models.Model):
    """All events of one signature."""

    class Status(models.TextChoices):
        UNRESOLVED = "unresolved"
        RESOLVED = "resolved"
        MUTED = "muted"
        IGNORED = "ignored"

    signature = models.CharField(max_length=64, unique=True)
    signature_version = models.PositiveSmallIntegerField(default=1)
    parts = models.JSONField(default=list, help_text="What the signature was made of: why these events are one group.")
    name = models.CharField(max_length=200)
    title = models.CharField(max_length=500)
    source = models.CharField(max_length=20)
    cause = models.CharField(max_length=50, blank=True, help_text="Empty: no ending of a stream, but an exception or a report.")
    upstream = models.CharField(max_length=200, blank=True)
    fault = models.CharField(max_length=20, blank=True, help_text="The fault of most of its events.")
    count = models.PositiveBigIntegerField(default=0, help_text="Events that ever fell into it.")
    client_count = models.PositiveBigIntegerField(default=0, help_text="Those of them that were the client's fault.")
    kept = models.PositiveIntegerField(default=0, help_text="Events whose rows are kept.")
    keys_hit = models.PositiveIntegerField(default=0, help_text="Client keys that met it.")
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    last_sequence = models.BigIntegerField(default=0, help_text="Its newest event, which is always kept.")

    status = models.CharField(max_length=12, choices=Status, default=Status.UNRESOLVED)
    regressed = models.BooleanField(default=False, help_text="It was resolved, and came back.")
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_version = models.CharField(max_length=50, blank=True, help_text="Resolved from the version after this one.")
    muted_until = models.DateTimeField(null=True, blank=True)
    muted_events = models.PositiveIntegerField(null=True, blank=True)
    muted_seconds = models.PositiveIntegerField(null=True, blank=True)
    muted_count = models.PositiveBigIntegerField(default=0, help_text="The count when it was muted.")

    objects = GroupQuerySet.as_manager()

    class Meta:
        verbose_name = "error group"
        ordering = ["-last_seen", "-id"]
        indexes = [
            models.Index(fields=["-last_seen", "-id"], name="group_by_last_seen"),
            models.Index(fields=["name"], name="group_by_name"),
            models.Index(fields=["last_sequence"], name="group_by_arrival"),
        ]

    def __str__(self) -> str:
        return self.title


class ErrorEvent(models.Model):
    """One thing that went wrong. `id` is the record's own; `sequence` its place in arrival order."""

    sequence = models.BigAutoField(primary_key=True)
    id = models.UUIDField(unique=True)
    time = models.DateTimeField()
    name = models.CharField(max_length=200)
    message = models.TextField(blank=True)
    stack = models.TextField(blank=True)
    source = models.CharField(max_length=20)
    version = models.CharField(max_length=50)
    platform = models.CharField(max_length=100, blank=True)
    context = models.JSONField(default=dict)
    request_id = models.CharField(max_length=128, blank=True)
    fault = models.CharField(max_length=20, blank=True)
    drill = models.BooleanField(default=False, help_text="Made by a rehearsal.")
    group = models.ForeignKey(ErrorGroup, null=True, on_delete=models.CASCADE, related_name="events")
    number = models.PositiveBigIntegerField(default=0, help_text="The how manieth of its group, from 1.")
    client_before = models.PositiveBigIntegerField(default=0, help_text="Events of client fault in its group before it.")

    class Meta:
        verbose_name = "error event"
        ordering = ["-sequence"]
        indexes = [
            models.Index(fields=["group", "sequence"], name="event_in_group"),
            models.Index(fields=["time"], name="event_by_time"),
            models.Index(fields=["request_id"], name="event_by_request"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"[:200]


class HourlyCount(models.Model):
    """Events of a group in one hour, by fault: sparklines and counts of a period."""

    group = models.ForeignKey(ErrorGroup, on_delete=models.CASCADE, related_name="hours")
    hour = models.DateTimeField()
    fault = models.CharField(max_length=20, blank=True)
    count = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "hour", "fault"], name="one_count_an_hour_and_fault")]
        indexes = [models.Index(fields=["hour"], name="counts_by_hour")]

    def __str__(self) -> str:
        return f"{self.count} in {self.hour:%Y-%m-%d %H}h"


class KindCount(models.Model):
    """Events of a name in one hour, by fault, whatever their groups: the roll-up, which must not add up every group's hours."""

    name = models.CharField(max_length=200)
    hour = models.DateTimeField()
    fault = models.CharField(max_length=20, blank=True)
    count = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["hour", "name", "fault"], name="one_kind_an_hour_and_fault")]

    def __str__(self) -> str:
        return f"{self.count} {self.name} in {self.hour:%Y-%m-%d %H}h"


class TopValue(models.Model):
    """How often a property had a value in a group: what it hits, and what groups can be filtered by."""

    group = models.ForeignKey(ErrorGroup, on_delete=models.CASCADE, related_name="values")
    field = models.CharField(max_length=20)
    value = models.CharField(max_length=200)
    count = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "field", "value"], name="one_count_a_value")]
        indexes = [models.Index(fields=["field", "value"], name="groups_by_value")]

    def __str__(self) -> str:
        return f"{self.field} {self.value}: {self.count}"


class SeenVersion(models.Model):
    """A version of ours, and when an event of it first happened: the lines in a chart of days."""

    version = models.CharField(max_length=50, unique=True)
    first_seen = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.version} since {self.first_seen:%Y-%m-%d}"


class ReadCursor(models.Model):
    """How far one reader (`user:<id>`, or `token`) has read, in arrival order. No row: nothing was read."""

    reader = models.CharField(max_length=64, unique=True)
    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.reader} has read up to {self.sequence}"


class ReadMark(models.Model):
    """A group that a reader has read, alone or with all, and its counts at that moment."""

    reader = models.CharField(max_length=64)
    group = models.ForeignKey(ErrorGroup, on_delete=models.CASCADE, related_name="marks")
    sequence = models.BigIntegerField()
    count = models.PositiveBigIntegerField()
    client_count = models.PositiveBigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["reader", "group"], name="one_mark_a_reader_and_group")]

    def __str__(self) -> str:
        return f"{self.reader} has read {self.group_id} up to {self.sequence}"
