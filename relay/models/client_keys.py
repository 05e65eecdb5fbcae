"""Client keys, and what each has used of its limits."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from relay import validation, vault
from relay.models.configured import Configured


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


class Spend(models.Model):
    """The tokens of one day of a client key that has a budget, as far as they are on record.

    Added up by whoever ships the endings (relay/quotas.py); nothing of it is for people to edit.
    """

    # No constraint in the database: a key that is deleted while its endings are stored must not keep them out.
    client_key = models.ForeignKey(ClientKey, models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    day = models.DateField()
    tokens = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["client_key", "day"], name="spend_of_a_day_stands_once")]

    def __str__(self) -> str:
        return f"{self.client_key_id}, {self.day}: {self.tokens}"

    @classmethod
    def of_today(cls, key: ClientKey) -> int:
        """The tokens that a client key has used today, in UTC."""
        row = cls.objects.filter(client_key=key, day=datetime.now(UTC).date()).first()
        return row.tokens if row else 0
