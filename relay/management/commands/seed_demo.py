"""`manage.py seed_demo`: fills both logs with made-up traffic, to look at their pages or to measure them."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from bisect import bisect_left
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from relay.seeding.audit import AuditSeeder
from relay.seeding.blocks import SAMPLE, blocks
from relay.seeding.errors import ErrorSeeder, kept_of
from relay.seeding.traffic import DAY, moments, requests


def many(text: str) -> int:
    """A whole number from 0; `2_000_000`, `2M` and `50k` too."""
    factor = {"k": 1_000, "M": 1_000_000}.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    try:
        number = int(digits)
    except ValueError:
        number = -1
    if number < 0:
        raise ArgumentTypeError(f"{text!r}; expected a whole number such as 5000, 50k or 2M")
    return number * factor


class Command(BaseCommand):
    help = "Fill both logs with made-up traffic. Not beside a running gateway: the counts of error groups are kept in memory."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--entries", type=many, default=20_000, metavar="N", help="audit entries (20k)")
        events = "error events that are kept, about (2k); abnormal entries have theirs in any case, 0 for none"
        parser.add_argument("--events", type=many, default=2_000, metavar="N", help=events)
        parser.add_argument("--days", type=float, default=30.0, help="over how many days until now (30)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same traffic (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        entries, events, days, until = options["entries"], options["events"], options["days"], time.time()
        began = time.monotonic()
        sample = list(requests(min(entries, SAMPLE), days, until, options["seed"]))
        exceptions = max(events - kept_of(sample, entries), 0)
        audit, errors = AuditSeeder(sample), ErrorSeeder(exceptions, events, options["seed"])
        abnormal = [place for place, request in enumerate(sample) if request.cause is not None] if events else []
        others = moments(exceptions, days, until)
        with (
            audit.filling(entries),
            errors.filling(),
            tqdm(total=entries + events, unit=" rows", unit_scale=True, disable=None) as bar,
        ):
            due = next(others, None)
            for block in blocks(entries, len(sample), days, until, options["seed"]):
                audit.add(block)
                for place in abnormal[bisect_left(abnormal, block.first) : bisect_left(abnormal, block.first + block.size)]:
                    request = block.copy(sample[place], place)
                    while due is not None and due <= request.time:
                        errors.exception(due)
                        due = next(others, None)
                    errors.ending(request)
                bar.update(audit.made + errors.made - bar.n)
            while due is not None:
                errors.exception(due)
                due = next(others, None)
                bar.update(audit.made + errors.made - bar.n)
        self.stdout.write(
            f"{audit.made:,} entries and {errors.made:,} events in {len(errors.groups):,} groups, over {days:g} days, "
            f"in {time.monotonic() - began:.0f} s (a day has {audit.made / max(days, 1 / DAY):,.0f} requests)."
        )
