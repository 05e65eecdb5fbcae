"""`manage.py prune_errorlog`: deletes what is old, in batches that never hold the writer up for long.

Groups and their counts stay; so do the newest events of each group, however old.
"""

from __future__ import annotations

import argparse
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone
from tqdm import tqdm

from errorlog import retention
from errorlog.models import ErrorEvent, ErrorGroup
from proxy_project.pruning import AGES, DRY_RUN, age, told


def few(text: str) -> int:
    """A whole number from 1: a group without any event could not be shown."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a whole number from 1")
    return int(text)


class Command(BaseCommand):
    help = "Delete old error events; groups, their counts and their newest events stay."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, default=age("30d"), metavar="AGE", help=f"{AGES} (30d)")
        parser.add_argument(
            "--keep-per-group", type=few, default=100, metavar="N", help="newest events of each group that stay (100)"
        )
        parser.add_argument("--dry-run", action="store_true", help=DRY_RUN)

    def handle(self, *args: Any, **options: Any) -> None:
        older_than, dry_run = options["older_than"], options["dry_run"]
        before = timezone.now() - older_than
        deleted = 0
        with tqdm(total=ErrorGroup.objects.count() + 1, unit=" groups", disable=None) as bar:
            for events in retention.prunable(before, options["keep_per_group"]):
                if dry_run:
                    deleted += events.count()
                else:
                    for size in retention.delete_in_batches(events):
                        deleted += size
                        bar.set_postfix(deleted=deleted)
                bar.update()
        if not dry_run:
            while retention.delete_old_hours(timezone.now() - max(older_than, retention.DRAWN)):
                pass
        left = ErrorEvent.objects.count() - (deleted if dry_run else 0)
        self.stdout.write(told(deleted, "events", dry_run, stay=left))
