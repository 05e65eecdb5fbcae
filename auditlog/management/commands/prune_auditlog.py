"""`manage.py prune_auditlog`: deletes what is old, in batches that never hold the writer up for long.

Streams in flight stay, however old.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from tqdm import tqdm

from auditlog import retention
from auditlog.models import AuditEntry
from proxy_project.pruning import AGES, DRY_RUN, age, told


class Command(BaseCommand):
    help = "Delete old audit entries; streams in flight stay."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", type=age, default=age("30d"), metavar="AGE", help=f"{AGES} (30d)")
        parser.add_argument("--dry-run", action="store_true", help=DRY_RUN)

    def handle(self, *args: Any, **options: Any) -> None:
        before = timezone.now() - options["older_than"]
        total = AuditEntry.objects.closed_before(before).count()
        if options["dry_run"]:
            self.stdout.write(told(total, "entries", dry_run=True))
            return
        with tqdm(total=total, unit=" entries", disable=None) as bar:
            gone = retention.trim_older_than(before, bar.update)
        self.stdout.write(told(gone, "entries", dry_run=False))
