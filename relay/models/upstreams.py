"""Upstreams and their credentials.

`note_failure` alone does not bump the version: what a credential last suffered is shown, and decides nothing.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone

from relay import validation, vault
from relay.models.configured import Configured, ConfiguredQuerySet, seconds


class Protocol(models.TextChoices):
    """What an upstream speaks."""

    OPENAI_CHAT = "openai-chat", "OpenAI Chat Completions"
    OPENAI_RESPONSES = "openai-responses", "OpenAI Responses"
    ANTHROPIC = "anthropic", "Anthropic Messages"
    GEMINI = "gemini", "Gemini"
    OLLAMA = "ollama", "Ollama"


class Upstream(Configured):
    """An API that answers requests."""

    name = models.CharField(
        max_length=64,
        unique=True,
        validators=[validation.name],
        help_text="What logs, metrics and RELAY_CONFIG call it. Letters, digits, dot, hyphen, underscore.",
    )
    protocol = models.CharField(
        max_length=20,
        choices=Protocol,
        help_text="What it speaks. A client of the same protocol gets its bytes untouched.",
    )
    base_url = models.CharField(
        "base URL",
        max_length=500,
        validators=[validation.base_url],
        help_text="The client's path less /v1 (or /v1beta) is appended: https://api.openai.com/v1, "
        "https://api.anthropic.com/v1, https://generativelanguage.googleapis.com/v1beta; Ollama's is the bare host.",
    )
    enabled = models.BooleanField(
        default=True, help_text="Switched off, no new request goes there. Running streams are left alone."
    )
    built_in = models.BooleanField(default=False, editable=False)  # the demo's; comes and goes by itself
    connect_timeout = seconds(10, "Seconds for DNS, TCP and TLS together.")
    first_byte_timeout = seconds(300, "Seconds from the request to the first byte of the answer's body.")
    idle_timeout = seconds(300, "Seconds without any byte, once bytes came. Reasoning models are silent for minutes.")
    stalled_timeout = seconds(900, "Seconds with nothing but pings or comments.")
    total_timeout = seconds(None, "Seconds for the whole answer. Empty: no limit.", null=True)
    write_timeout = seconds(60, "Seconds that a client may leave what we write unread.")
    commit_after = seconds(
        45,
        "Seconds of silence after which the client is sent its 200 and a heartbeat; a later failure is then told "
        "inside the stream. 0: never.",
        never=True,
    )
    proxy = models.CharField(
        "egress proxy",
        max_length=500,
        blank=True,
        validators=[validation.proxy],
        help_text="http://host:port of a proxy on the way there. Empty: none.",
    )
    ca_bundle = models.CharField(
        "CA bundle",
        max_length=500,
        blank=True,
        validators=[validation.ca_bundle],
        help_text="Absolute path, on every gateway machine, of a PEM file to trust instead of the system's. Empty: the system's.",
    )
    ask_for_usage = models.BooleanField(
        null=True,
        blank=True,
        help_text="Whether a chat stream is asked for its usage when the client did not. Unknown: as ASK_FOR_USAGE says.",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="upstream_has_a_name"),
            models.CheckConstraint(condition=Q(protocol__in=Protocol.values), name="upstream_protocol_is_known"),
            models.CheckConstraint(
                condition=Q(base_url__startswith="http://")
                | Q(base_url__startswith="https://")
                | Q(base_url__startswith="ws://")
                | Q(base_url__startswith="wss://"),
                name="upstream_base_url_is_an_address",
            ),
            models.CheckConstraint(
                condition=Q(
                    connect_timeout__gt=0,
                    first_byte_timeout__gt=0,
                    idle_timeout__gt=0,
                    stalled_timeout__gt=0,
                    write_timeout__gt=0,
                    commit_after__gte=0,
                )
                & (Q(total_timeout=None) | Q(total_timeout__gt=0)),
                name="upstream_times_are_positive",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class CredentialQuerySet(ConfiguredQuerySet):
    def note_failure(self, pk: int, text: str, at: datetime, cooling_until: datetime) -> None:
        """Show what a credential suffered. No configuration: no version is bumped."""
        models.QuerySet.update(self.filter(pk=pk), last_failure=text[:300], last_failure_at=at, cooling_until=cooling_until)


class Credential(Configured):
    """A key that an upstream accepts. Its secret can be set and used, but is never shown."""

    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="credentials")
    label = models.CharField(
        max_length=100, validators=[validation.label], help_text="What logs call it, such as the team or account."
    )
    sealed_secret = models.TextField(editable=False)
    secret_set_at = models.DateTimeField(default=timezone.now, editable=False)
    enabled = models.BooleanField(default=True, help_text="Switched off, it is not used. It is never switched off by itself.")
    max_concurrency = models.PositiveIntegerField(
        "requests at once",
        null=True,
        blank=True,
        validators=[validation.concurrency],
        help_text="How many requests may use it at once; shared out among the workers, at least one each. Empty: no limit.",
    )
    proxy = models.CharField(
        "egress proxy",
        max_length=500,
        blank=True,
        validators=[validation.proxy],
        help_text="http://host:port of a proxy for this credential alone. Empty: the upstream's.",
    )
    last_failure = models.CharField(max_length=300, blank=True, editable=False)
    last_failure_at = models.DateTimeField(null=True, editable=False)
    cooling_until = models.DateTimeField(null=True, editable=False)

    objects: ClassVar[Any] = CredentialQuerySet.as_manager()

    class Meta:
        ordering = ["upstream", "id"]  # the order in which they are tried
        constraints = [
            models.UniqueConstraint(fields=["upstream", "label"], name="credential_label_is_unique_per_upstream"),
            models.CheckConstraint(condition=~Q(label=""), name="credential_has_a_label"),
            models.CheckConstraint(condition=~Q(sealed_secret=""), name="credential_has_a_secret"),
            models.CheckConstraint(
                condition=Q(max_concurrency=None) | Q(max_concurrency__gt=0), name="credential_concurrency_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.upstream.name} / {self.label}"

    def set_secret(self, secret: str) -> None:
        """Keep the secret, encrypted; what the former one suffered is forgotten. Does not save."""
        self.sealed_secret = vault.seal(secret.strip())
        self.secret_set_at = timezone.now()
        self.last_failure, self.last_failure_at, self.cooling_until = "", None, None

    def reveal(self) -> str:
        """The secret, to be sent to the upstream and nowhere else.

        Raises:
            vault.UnreadableSecret: it was sealed under another SECRET_KEY.
        """
        return vault.unseal(self.sealed_secret)
