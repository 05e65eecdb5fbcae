"""`manage.py prune_errorlog`: deletes what is old, in batches that never hold the writer up for long."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import QuerySet
from django.utils import timezone
from tqdm import tqdm

from errorlog.models import ErrorEvent, ErrorGroup

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
        parser.add_argument("--keep-per-group", type=int, default=100, help="Newest events of each group that stay.")
        parser.add_argument("--dry-run", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        old = ErrorEvent.objects.filter(time__lt=timezone.now() - options["older_than"])
        kept = options["keep_per_group"]
        groups = list(ErrorGroup.objects.values_list("pk", "sample_id"))
        deleted = 0
        for group, sample in tqdm(groups, unit="group", disable=None):
            last = ErrorEvent.objects.filter(group=group).order_by("-sequence").values_list("sequence", flat=True)
            edge = next(iter(last[kept : kept + 1]), None)
            if edge is None:
                continue
            mine = old.filter(group=group, sequence__lte=edge).exclude(sequence=sample)
            deleted += mine.count() if options["dry_run"] else self._delete(mine)
        self.stdout.write(f"{'would delete' if options['dry_run'] else 'deleted'} {deleted} events")

    def _delete(self, rows: QuerySet[ErrorEvent]) -> int:
        deleted = 0
        while batch := list(rows.order_by("sequence").values_list("sequence", flat=True)[:BATCH]):
            deleted += ErrorEvent.objects.filter(sequence__in=batch).delete()[0]
        return deleted
