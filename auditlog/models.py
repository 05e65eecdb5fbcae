"""What happened to every request: one entry each, open while it runs (`outcome` null), closed once."""

from django.db import models

# A column that is null was not known; an empty text is a text. So text columns may be null here (DJ001).


class AuditEntry(models.Model):
    """One request of a client (ingress), or what the relay asked of an upstream beyond that (egress)."""

    id = models.UUIDField(primary_key=True)
    request_id = models.CharField(max_length=128, db_index=True)
    client_request_id = models.CharField(max_length=128, null=True, db_index=True)
    time = models.DateTimeField(db_index=True)
    direction = models.CharField(max_length=8, default="ingress")
    method = models.CharField(max_length=10, null=True)
    path = models.CharField(max_length=2000, null=True)
    tag = models.CharField(max_length=32, null=True)
    model = models.CharField(max_length=500, null=True)
    upstream_model = models.CharField(max_length=500, null=True)
    provider = models.CharField(max_length=200, null=True)
    credential = models.CharField(max_length=200, null=True)
    credential_id = models.BigIntegerField(null=True)
    client_key = models.CharField(max_length=200, null=True)
    user_agent = models.CharField(max_length=500, null=True)
    peer = models.CharField(max_length=64, null=True)
    stream = models.BooleanField(null=True)
    status = models.IntegerField(null=True)
    upstream_status = models.IntegerField(null=True)
    client_status = models.IntegerField(null=True)
    outcome = models.CharField(max_length=32, null=True)
    cause = models.CharField(max_length=32, null=True)
    phase = models.CharField(max_length=16, null=True)
    fault = models.CharField(max_length=16, null=True)
    fault_reason = models.TextField(null=True)
    error = models.TextField(null=True)
    ttft_ms = models.FloatField(null=True)
    duration_ms = models.FloatField(null=True)
    input_tokens = models.BigIntegerField(null=True)
    output_tokens = models.BigIntegerField(null=True)
    cached_tokens = models.BigIntegerField(null=True)
    reasoning_tokens = models.BigIntegerField(null=True)
    total_tokens = models.BigIntegerField(null=True)
    cost = models.DecimalField(max_digits=20, decimal_places=10, null=True)
    tokens_per_second = models.FloatField(null=True)
    bytes_in = models.BigIntegerField(null=True)
    chunks_in = models.BigIntegerField(null=True)
    bytes_out = models.BigIntegerField(null=True)
    chunks_out = models.BigIntegerField(null=True)
    request_bytes = models.BigIntegerField(null=True)
    attempt_count = models.IntegerField(null=True)
    evidence = models.JSONField(default=dict)
    payloads = models.JSONField(null=True)
    drill = models.BooleanField(default=False)
    instance = models.CharField(max_length=200, null=True)

    class Meta:
        ordering = ["-time", "-id"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["-time", "-id"]), models.Index(fields=["outcome", "-time"])]

    def __str__(self) -> str:
        return f"{self.request_id} {self.outcome or 'in flight'}"


class RecordingState(models.Model):
    """What is recorded: one row, obeyed by every process."""

    enabled = models.BooleanField(default=True)
    paused = models.BooleanField(default=False)
    sampling = models.FloatField(default=1.0, help_text="Share of normal completions that is kept, 0 to 1.")
    capacity = models.PositiveBigIntegerField(null=True, help_text="Most entries that are kept; none = no limit.")
    dropped = models.PositiveBigIntegerField(default=0)
    sampled = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return "recording" if self.enabled and not self.paused else "not recording"

    @classmethod
    def current(cls) -> "RecordingState":
        """The one row, made when it is missing."""
        return cls.objects.get_or_create(pk=1)[0]
