"""`manage.py prune_auditlog`: deletes what is old, in batches that never hold the writer up for long."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from tqdm import tqdm

from auditlog.models import AuditEntry

BATCH = 1000
UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def age(text: str) -> timedelta:
    """`12h`, `30d` or `4w`."""
    match = re.fullmatch(r"(\d+)([hdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number and h, d or w, such as 30d")
    return timedelta(**{UNITS[match[2]]: int(match[1])})


class Command(BaseCommand):
    help = "Delete old rows."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, default=age("30d"))
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        old = AuditEntry.objects.filter(time__lt=timezone.now() - options["older_than"])
        total = old.count()
        if options["dry_run"]:
            self.stdout.write(f"would delete {total} entries")
            return
        deleted = 0
        with tqdm(total=total, unit="entry", disable=None) as bar:
            while batch := list(old.order_by("time").values_list("id", flat=True)[:BATCH]):
                number = AuditEntry.objects.filter(id__in=batch).delete()[0]
                deleted += number
                bar.update(number)
        self.stdout.write(f"deleted {deleted} entries")
