"""What went wrong: events, and groups of events of the same signature.

Invariant: a group's count is the number of its events that were ever stored, whatever was pruned since.
"""

from django.db import models


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
    name = models.CharField(max_length=200, db_index=True)
    title = models.CharField(max_length=500)
    source = models.CharField(max_length=20)
    fault = models.CharField(max_length=20, blank=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.UNRESOLVED)
    regressed = models.BooleanField(default=False)
    count = models.PositiveBigIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField(db_index=True)
    sample = models.ForeignKey("ErrorEvent", null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-last_seen"]

    def __str__(self) -> str:
        return self.title


class ErrorEvent(models.Model):
    """One thing that went wrong. `sequence` is arrival order; `id` is the record's own."""

    sequence = models.BigAutoField(primary_key=True)
    id = models.UUIDField(unique=True)
    time = models.DateTimeField(db_index=True)
    name = models.CharField(max_length=200)
    message = models.TextField()
    stack = models.TextField(blank=True)
    source = models.CharField(max_length=20)
    version = models.CharField(max_length=50)
    platform = models.CharField(max_length=100, blank=True)
    context = models.JSONField(default=dict)
    request_id = models.CharField(max_length=128, blank=True, db_index=True)
    drill = models.BooleanField(default=False)
    group = models.ForeignKey(ErrorGroup, null=True, on_delete=models.CASCADE, related_name="events")

    class Meta:
        ordering = ["-sequence"]
        indexes = [models.Index(fields=["group", "-sequence"])]

    def __str__(self) -> str:
        return f"{self.name}: {self.message}"[:200]


class ReadCursor(models.Model):
    """How far one reader (`user:<id>`, or `token`) has read, in arrival order. No row: nothing was read."""

    reader = models.CharField(max_length=64, unique=True)
    sequence = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.reader} has read up to {self.sequence}"


def unread_by(reader: str) -> int:
    """How many events of no client's fault came since `reader` last read."""
    cursor = ReadCursor.objects.filter(reader=reader).values_list("sequence", flat=True).first() or 0
    events = ErrorEvent.objects.filter(sequence__gt=cursor, drill=False, group__isnull=False)
    return events.exclude(group__fault="client").count()
