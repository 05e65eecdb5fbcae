"""`manage.py prune_auditlog`: deletes what is old, in small steps that never hold up the writer for long."""

from __future__ import annotations

import argparse
import datetime as dt
import re
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone
from tqdm import tqdm

from auditlog import retention
from auditlog.models import AuditEntry

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def age(text: str) -> dt.timedelta:
    """`90m`, `12h`, `30d` or `4w`."""
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number and m, h, d or w, such as 30d")
    return dt.timedelta(**{UNITS[match[2]]: int(match[1])})


class Command(BaseCommand):
    """Prunes entries by age; streams in flight stay."""

    help = "Delete audit entries that are older than a given age."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--older-than", type=age, default=age("30d"), metavar="AGE", help="30d (default), 12h, 4w …")
        parser.add_argument("--dry-run", action="store_true", help="only say how many entries would go")

    def handle(self, *args: Any, **options: Any) -> None:
        before = timezone.now() - options["older_than"]
        total = AuditEntry.objects.closed_before(before).count()
        if options["dry_run"]:
            self.stdout.write(f"{total:,} entries would be deleted; nothing was.")
            return
        with tqdm(total=total, unit=" entries", disable=None) as bar:
            gone = retention.trim_older_than(before, bar.update)
        self.stdout.write(f"{gone:,} entries deleted.")
