"""What all rows of the configuration share.

Invariant: whatever changes one of them (save, delete, bulk change) bumps `ConfigVersion` in the same transaction, so that
a process that has seen the version has seen the rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from django.db import models, transaction
from django.db.models import F, Q

from relay import bell, validation


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
