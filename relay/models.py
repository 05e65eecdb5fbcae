"""The gateway's configuration as rows: upstreams and their credentials, routes, client keys.

Invariant: whatever changes one of these rows (save, delete, bulk change) bumps `ConfigVersion` in the same transaction,
so that a process that has seen the version has seen the rows. Only `note_failure` does not: what a credential last
suffered is shown, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from relay import bell, validation, vault


class Protocol(models.TextChoices):
    """What an upstream speaks."""

    OPENAI_CHAT = "openai-chat", "OpenAI Chat Completions"
    OPENAI_RESPONSES = "openai-responses", "OpenAI Responses"
    ANTHROPIC = "anthropic", "Anthropic Messages"
    GEMINI = "gemini", "Gemini"
    OLLAMA = "ollama", "Ollama"


class Strategy(models.TextChoices):
    """How a route chooses between what speaks the client's protocol and does not cool (relay/balancing.py)."""

    IN_ORDER = "in-order", "in order of preference"
    ROUND_ROBIN = "round-robin", "in turn, by weight"
    LEAST_BUSY = "least-busy", "the least busy first"
    STICKY = "sticky", "the same for one conversation"


class ConfigVersion(models.Model):
    """One row: how often the configuration was changed. Every process polls it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    version = models.PositiveBigIntegerField(default=0)
    capture = models.BooleanField(default=False, help_text="Whether payloads are captured, as the audit log last said.")
    watched_until = models.DateTimeField(null=True, help_text="Until when somebody looks at the streams in flight.")

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="config_version_is_one_row")]

    def __str__(self) -> str:
        return str(self.version)

    @classmethod
    def present(cls) -> int:
        """The version now; 0 before anything was configured."""
        return cls.objects.values_list("version", flat=True).filter(pk=1).first() or 0

    @classmethod
    def bump(cls, using: str | None = None) -> None:
        """Count one change, inside the caller's transaction, and tell the other processes once it is committed."""
        row = ConfigVersion.objects.using(using).filter(pk=1)
        if not row.update(version=F("version") + 1):
            ConfigVersion.objects.using(using).bulk_create([ConfigVersion(pk=1)], ignore_conflicts=True)
            row.update(version=F("version") + 1)
        waiting = transaction.get_connection(using).run_on_commit
        if not any(callback is bell.ring for _, callback, *_ in waiting):  # once for each transaction
            transaction.on_commit(bell.ring, using=using)

    @classmethod
    def seen(cls) -> tuple[int, datetime | None]:
        """The version, and until when somebody looks at the streams in flight: what every process polls."""
        return cls.objects.values_list("version", "watched_until").filter(pk=1).first() or (0, None)

    @classmethod
    def watch(cls, until: datetime) -> None:
        """Somebody looks at the streams in flight until then. No change of the configuration."""
        cls.objects.filter(pk=1).update(watched_until=until)

    @classmethod
    def captures(cls) -> bool:
        """Whether payloads are captured."""
        return bool(cls.objects.values_list("capture", flat=True).filter(pk=1).first())

    @classmethod
    def set_capture(cls, on: bool) -> None:
        """Payloads are captured from now on, or no longer."""
        with transaction.atomic():
            cls.bump()
            cls.objects.filter(pk=1).update(capture=on)


class ConfiguredQuerySet(models.QuerySet):
    """Bulk changes that bump the version, too."""

    def update(self, **changes: Any) -> int:
        with transaction.atomic(using=self.db):
            changed = super().update(**changes)
            if changed:
                ConfigVersion.bump(self.db)
        return changed

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic(using=self.db):
            deleted = super().delete()
            if deleted[0]:
                ConfigVersion.bump(self.db)
        return deleted

    def bulk_create(self, objs: Iterable[Any], *args: Any, **options: Any) -> list[Any]:
        with transaction.atomic(using=self.db):
            created = super().bulk_create(objs, *args, **options)
            ConfigVersion.bump(self.db)
        return created

    # As in Django: changes data, so templates may not call it; and no manager offers it, lest a slip empty a table.
    update.alters_data = True  # type: ignore[attr-defined]
    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]
    bulk_create.alters_data = True  # type: ignore[attr-defined]


class Configured(models.Model):
    """A row that the request path knows through the snapshot."""

    objects: ClassVar[Any] = ConfiguredQuerySet.as_manager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **options: Any) -> None:
        using = options.get("using") or self._state.db
        with transaction.atomic(using=using):
            super().save(*args, **options)
            ConfigVersion.bump(using)

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        using = options.get("using") or self._state.db
        with transaction.atomic(using=using):
            deleted = super().delete(*args, **options)
            ConfigVersion.bump(using)
        return deleted


def seconds(default: float | None, text: str, *, never: bool = False, null: bool = False) -> models.FloatField:
    """A column for a time in seconds."""
    check = validation.wait_or_never if never else validation.wait
    return models.FloatField(default=default, validators=[check], help_text=text, null=null, blank=null)


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


class Route(Configured):
    """Which upstreams serve a model."""

    model = models.CharField(
        max_length=200,
        unique=True,
        validators=[validation.model_glob],
        help_text="The name that clients ask for, or a glob such as gpt-*. An exact name wins, then the longest text "
        "before the first wildcard, then the lower position.",
    )
    position = models.PositiveIntegerField(
        default=1000, help_text="Decides between globs that begin alike. RELAY_CONFIG numbers its routes from 1."
    )
    upstreams = models.ManyToManyField(Upstream, through="RouteUpstream", related_name="routes")
    upstream_model = models.CharField(
        max_length=200,
        blank=True,
        validators=[validation.label],
        help_text="The model to ask the upstream for. Empty: the one that the client asked for.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=3,
        validators=[validation.attempts],
        help_text="How many upstreams or credentials one request may try, from 1 to 10.",
    )
    strategy = models.CharField(
        max_length=12,
        choices=Strategy,
        default=Strategy.IN_ORDER,
        help_text="What is tried first. Sticky keeps a conversation where its cache is warm. What cools is always last.",
    )
    defaults = models.JSONField(
        default=dict,
        blank=True,
        validators=[validation.parameters],
        help_text='Parameters for the upstream where the client says nothing, such as {"temperature": 0.2}.',
    )
    overrides = models.JSONField(
        default=dict, blank=True, validators=[validation.parameters], help_text="Parameters that replace what the client says."
    )

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(strategy__in=Strategy.values), name="route_strategy_is_known"),
            models.CheckConstraint(condition=~Q(model=""), name="route_has_a_model"),
            models.CheckConstraint(condition=Q(max_attempts__range=(1, 10)), name="route_attempts_are_few"),
        ]

    def __str__(self) -> str:
        return self.model


class RouteUpstream(Configured):
    """One upstream of a route, at its place in the order of preference."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="steps")
    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(
        default=1, help_text="The lowest is tried first; those that speak the client's protocol go before all others."
    )
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[validation.weight],
        help_text="Its share, from 1 to 1000, where the route's strategy is not in order.",
    )

    class Meta:
        verbose_name = "upstream of the route"
        verbose_name_plural = "upstreams, in order of preference"
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["route", "upstream"], name="route_names_an_upstream_once"),
            models.CheckConstraint(condition=Q(weight__range=(1, 1000)), name="route_weight_is_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.upstream.name}"


class ClientKey(Configured):
    """Who may ask. Only a digest of the key is kept, so it can be shown once and never again."""

    label = models.CharField(
        max_length=100,
        unique=True,
        validators=[validation.label],
        help_text="Whose key it is; what logs call the client.",
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField("begins with", max_length=16, editable=False)
    enabled = models.BooleanField(default=True, help_text="Switched off, the key gets 401, within a second.")
    expires_at = models.DateTimeField(null=True, blank=True, help_text="When the key stops working. Empty: never.")
    allowed_models = models.TextField(
        blank=True,
        validators=[validation.model_globs],
        help_text="Model names or globs that this key may ask for, one a line. Empty: every routed model.",
    )
    max_concurrency = models.PositiveIntegerField(
        "requests at once",
        null=True,
        blank=True,
        validators=[validation.concurrency],
        help_text="Requests at once, shared out among the workers, at least one each; one more gets 429. Empty: no limit.",
    )
    tokens_per_day = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        validators=[validation.budget],
        help_text="Tokens in and out, of each day in UTC; once they are used up, a request gets 402. Empty: no limit.",
    )
    previous_digest = models.CharField(max_length=64, unique=True, null=True, editable=False)
    previous_hint = models.CharField(max_length=16, blank=True, editable=False)
    previous_expires_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    rotated_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["label"]
        constraints = [
            models.CheckConstraint(condition=~Q(label=""), name="client_key_has_a_label"),
            models.CheckConstraint(condition=~Q(digest=""), name="client_key_has_a_digest"),
            models.CheckConstraint(
                condition=Q(previous_digest=None, previous_expires_at=None)
                | (Q(previous_digest__isnull=False, previous_expires_at__isnull=False) & ~Q(previous_digest=F("digest"))),
                name="client_key_earlier_key_has_an_end",
            ),
            models.CheckConstraint(
                condition=Q(max_concurrency=None) | Q(max_concurrency__gt=0), name="client_key_concurrency_is_positive"
            ),
            models.CheckConstraint(
                condition=Q(tokens_per_day=None) | Q(tokens_per_day__gt=0), name="client_key_budget_is_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.label

    @classmethod
    def known(cls, key: str) -> ClientKey | None:
        """The row that accepts this key now, or did before its rotation."""
        digest = vault.digest(key).hex()
        return cls.objects.filter(Q(digest=digest) | Q(previous_digest=digest)).first()

    @property
    def allowed_globs(self) -> tuple[str, ...]:
        return tuple(line.strip() for line in self.allowed_models.splitlines() if line.strip())

    def set_key(self, key: str) -> None:
        """Accept this key and no other. Does not save."""
        self.digest, self.hint = vault.digest(key).hex(), vault.hint(key)
        self.previous_digest, self.previous_hint, self.previous_expires_at = None, "", None

    def rotate(self, old_valid_until: datetime | None = None) -> str:
        """Accept a fresh key, which is returned; the present one until the given time, or no longer. Does not save.

        The old digest is kept even when it is valid no longer, so that a configuration that still names that key
        cannot bring it back.
        """
        digest, hint = self.digest, self.hint
        key = vault.new_client_key()
        self.set_key(key)
        self.rotated_at = timezone.now()
        if digest:
            self.previous_digest, self.previous_hint = digest, hint
            self.previous_expires_at = old_valid_until or self.rotated_at
        return key


# What the shipper keeps (relay/shipper): nothing of it is for people to edit.


class Spend(models.Model):
    """The tokens of one day of a client key that has a budget, as far as they are on record."""

    client_key = models.CharField(max_length=100)  # its label, which is what records carry
    day = models.DateField()
    tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client_key", "day"], name="spend_of_a_day_stands_once")]

    def __str__(self) -> str:
        return f"{self.client_key}, {self.day}: {self.tokens}"

    @classmethod
    def of_today(cls, label: str) -> int:
        """The tokens that a client key has used today, in UTC."""
        row = cls.objects.filter(client_key=label, day=datetime.now(UTC).date()).first()
        return row.tokens if row else 0


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
