"""The audit log's tables: one row a request, exact counts by the hour, and what recording is allowed to do.

What must stay true: a row is *open* while `outcome` is null and closed for good afterwards; `HourlyCount` counts each
closed request once, recorded or not; `RecordingState` has one row, and its `size` equals the number of entries, so that
nothing ever needs to count them.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q

from auditlog import recording
from auditlog.entries import ABNORMAL, AuditEntryQuerySet

INGRESS, EGRESS = "ingress", "egress"
MOST_CAPACITY, MOST_DAYS = 10**12, 36_500
RULES = ("enabled", "paused", "sampling", "capacity", "keep_days", "capture", "payload_days")  # what may be set; the rest counts


class AuditEntry(models.Model):
    """What became of one request. A column that is null was not known; an empty text is a text."""

    class Direction(models.TextChoices):
        INGRESS = INGRESS, "ingress: a client asked us"
        EGRESS = EGRESS, "egress: we asked an upstream beyond that"

    id = models.UUIDField(primary_key=True, help_text="The record id (UUIDv7), minted when the request was accepted.")
    time = models.DateTimeField(help_text="When the request was received.")
    request_id = models.CharField(max_length=128, blank=True)
    client_request_id = models.CharField(max_length=128, null=True, blank=True)
    response_id = models.CharField(max_length=255, null=True, blank=True, help_text="The upstream's id of its answer.")
    direction = models.CharField(max_length=7, choices=Direction.choices, default=Direction.INGRESS)
    method = models.CharField(max_length=16, null=True, blank=True)
    path = models.CharField(max_length=2000, null=True, blank=True)
    tag = models.CharField(max_length=32, null=True, blank=True, help_text="The protocol that the client spoke.")
    model = models.CharField(max_length=500, null=True, blank=True)
    upstream_model = models.CharField(max_length=500, null=True, blank=True)
    provider = models.CharField("upstream", max_length=200, null=True, blank=True)
    credential = models.CharField(max_length=200, null=True, blank=True)
    credential_id = models.BigIntegerField(null=True, blank=True)
    client_key = models.CharField(max_length=200, null=True, blank=True)
    user_agent = models.CharField(max_length=500, null=True, blank=True)
    peer = models.CharField(max_length=64, null=True, blank=True)
    stream = models.BooleanField(null=True, blank=True)
    status = models.IntegerField(null=True, blank=True)
    upstream_status = models.IntegerField(null=True, blank=True)
    client_status = models.IntegerField(null=True, blank=True)
    outcome = models.CharField(max_length=32, null=True, blank=True)  # null: still open
    cause = models.CharField(max_length=32, null=True, blank=True)
    phase = models.CharField(max_length=16, null=True, blank=True)
    fault = models.CharField(max_length=16, null=True, blank=True)
    fault_reason = models.TextField(null=True, blank=True)
    error = models.TextField(null=True, blank=True)
    ttft_ms = models.FloatField("time to first token", null=True, blank=True)
    duration_ms = models.FloatField("duration", null=True, blank=True)
    input_tokens = models.BigIntegerField(null=True, blank=True)
    output_tokens = models.BigIntegerField(null=True, blank=True)
    cached_tokens = models.BigIntegerField(null=True, blank=True)
    reasoning_tokens = models.BigIntegerField(null=True, blank=True)
    total_tokens = models.BigIntegerField(null=True, blank=True)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True, blank=True)
    tokens_per_second = models.FloatField(null=True, blank=True)
    bytes_in = models.BigIntegerField(null=True, blank=True, help_text="From the upstream.")
    chunks_in = models.BigIntegerField(null=True, blank=True)
    bytes_out = models.BigIntegerField(null=True, blank=True, help_text="To the client.")
    chunks_out = models.BigIntegerField(null=True, blank=True)
    request_bytes = models.BigIntegerField(null=True, blank=True)
    attempt_count = models.IntegerField(null=True, blank=True)
    drill = models.BooleanField(default=False, help_text="Made by a rehearsal: kept, but in no figure.")
    instance = models.CharField(max_length=200, null=True, blank=True)
    # Last, because SQLite reaches what lies behind a long value only by walking through it.
    evidence = models.JSONField(default=dict, blank=True)
    payloads = models.JSONField(null=True, blank=True)

    objects: ClassVar[models.Manager[AuditEntry]] = AuditEntryQuerySet.as_manager()

    class Meta:
        verbose_name = "audit entry"
        verbose_name_plural = "audit entries"
        ordering = ["-time", "-id"]
        default_permissions = ("view", "delete")  # nobody adds or changes what happened
        permissions = [
            ("view_payloads", "Can see captured payloads"),
            ("end_stream", "Can end a stream in flight"),
        ]
        # Every filter ends in (time, id), so that a filtered page is read from its index in the order of the list.
        # What most rows do not have is indexed only where it is there: what the look-ups of `finding` name must imply it.
        indexes = [
            models.Index(fields=["time", "id"], name="audit_time"),
            models.Index(fields=["request_id"], name="audit_request"),
            models.Index(fields=["client_request_id"], name="audit_client_request", condition=Q(client_request_id__isnull=False)),
            models.Index(fields=["response_id"], name="audit_response", condition=Q(response_id__isnull=False)),
            models.Index(fields=["time", "id"], name="audit_open", condition=Q(outcome__isnull=True)),
            models.Index(fields=["time", "id"], name="audit_failed", condition=Q(error__isnull=False)),
            models.Index(fields=["time", "id"], name="audit_payloads", condition=Q(payloads__isnull=False)),
            models.Index(fields=["outcome", "time", "id"], name="audit_outcome"),
            models.Index(fields=["model", "time", "id"], name="audit_model"),
            models.Index(fields=["provider", "time", "id"], name="audit_provider"),
            models.Index(fields=["client_key", "time", "id"], name="audit_client_key"),
            models.Index(fields=["cause", "time", "id"], name="audit_caused", condition=Q(cause__isnull=False)),
            models.Index(fields=["fault", "time", "id"], name="audit_faulty", condition=Q(fault__isnull=False)),
            models.Index(fields=["time", "id"], name="audit_abnormal", condition=ABNORMAL),
            models.Index(fields=["time", "id"], name="audit_egress", condition=Q(direction=EGRESS)),
        ]

    def __str__(self) -> str:
        return self.request_id or str(self.pk)

    @property
    def is_open(self) -> bool:
        return self.outcome is None


class HourlyCount(models.Model):
    """How many requests of clients ended so within an hour: the denominators of every rate.

    The model is left empty where no upstream was asked: such a name is whatever a stranger typed, and a row for each
    would have no bound.
    """

    KEPT: ClassVar[dt.timedelta] = dt.timedelta(days=92)  # pages look back 28 days

    hour = models.DateTimeField()
    provider = models.CharField(max_length=200, blank=True)
    model = models.CharField(max_length=500, blank=True)
    outcome = models.CharField(max_length=32)
    fault = models.CharField(max_length=16, blank=True)
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "provider", "model", "outcome", "fault"], name="audit_one_count_an_hour")
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H}h {self.provider} {self.model} {self.outcome}: {self.count}"


class RecordingState(models.Model):
    """What is recorded, and what was left out. One row, read by every process once a second."""

    ONLY = 1

    id = models.SmallIntegerField(primary_key=True, default=ONLY, editable=False)
    enabled = models.BooleanField(default=True, help_text="Whether requests are recorded at all. Enabling ends a pause.")
    paused = models.BooleanField(default=False, help_text="Stop recording for a while. What is left out is counted.")
    sampling = models.FloatField(
        default=1.0,
        validators=[MinValueValidator(0.0), MaxValueValidator(1.0)],
        help_text="The share of normal completions that is kept, 0 to 1. Everything else is always kept.",
    )
    capacity = models.BigIntegerField(
        default=10_000_000,
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_CAPACITY)],
        help_text="How many entries are kept; the oldest go first. Empty for no limit. Lowering it trims at once.",
    )
    keep_days = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_DAYS)],
        help_text="How many days entries are kept. Empty for no limit.",
    )
    capture = models.BooleanField(
        default=False, help_text="Keep what clients ask and are sent, redacted, the first 64 KiB of each side."
    )
    payload_days = models.PositiveIntegerField(
        default=7,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_DAYS)],
        help_text="How many days captured payloads are kept, whatever becomes of their entries.",
    )
    size = models.BigIntegerField(default=0, editable=False)
    dropped = models.BigIntegerField(default=0, editable=False)
    sampled = models.BigIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = "recording"
        verbose_name_plural = "recording"
        default_permissions = ("view", "change")
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="audit_one_recording_state"),
            models.CheckConstraint(condition=Q(sampling__gte=0, sampling__lte=1), name="audit_sampling_is_a_share"),
            models.CheckConstraint(condition=Q(capacity__isnull=True) | Q(capacity__gte=1), name="audit_capacity_room"),
        ]

    def __str__(self) -> str:
        return "recording" if self.enabled and not self.paused else "not recording"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves what was set, never the counters: those only ever move by `F()`, in whichever process."""
        self.pk = self.ONLY
        if not kwargs.get("force_insert") and not self._state.adding:
            kwargs.setdefault("update_fields", [name for name in RULES if name in self.__dict__])
        super().save(*args, **kwargs)
        recording.forget()

    @classmethod
    def current(cls) -> RecordingState:
        """The row, made with its defaults when it is not there yet."""
        return cls.objects.get_or_create(pk=cls.ONLY)[0]


class LeftOut(models.Model):
    """A closed request that has no row (sampled out, switched off, trimmed young), remembered for an hour.

    A journal that is read twice after a crash brings its last lines again; without this they would count twice.
    """

    KEPT: ClassVar[dt.timedelta] = dt.timedelta(hours=1)

    id = models.UUIDField(primary_key=True)
    at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return str(self.pk)
