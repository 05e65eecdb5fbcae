"""`manage.py seed_demo`: fills both logs with made-up traffic, to look at their pages or to measure them."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from relay.seeding.audit import AuditSeeder
from relay.seeding.errors import ErrorSeeder
from relay.seeding.traffic import ABNORMAL_SHARE, DAY, moments, requests


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
        parser.add_argument("--events", type=many, default=2_000, metavar="N", help="error events, about (2k)")
        parser.add_argument("--days", type=float, default=30.0, help="over how many days until now (30)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same traffic (1)")

    def handle(self, *args: Any, **options: Any) -> None:
        entries, events, until = options["entries"], options["events"], time.time()
        endings = min(events, int(entries * ABNORMAL_SHARE))
        exceptions = events - endings
        audit, errors = AuditSeeder(), ErrorSeeder(exceptions, options["seed"])
        others = moments(exceptions, options["days"], until) if exceptions else iter(())
        due = next(others, None)
        began = time.monotonic()
        with tqdm(total=entries + events, unit=" rows", unit_scale=True, disable=None) as bar:
            for request in requests(entries, options["days"], until, options["seed"]):
                while due is not None and due <= request.time:
                    errors.exception(due)
                    due = next(others, None)
                audit.add(request)
                if request.cause is not None and endings:
                    endings -= 1
                    errors.ending(request)
                bar.update(audit.made + errors.made - bar.n)
            while due is not None:
                errors.exception(due)
                due = next(others, None)
                bar.update(audit.made + errors.made - bar.n)
        audit.finish()
        errors.finish()
        self.stdout.write(
            f"{audit.made:,} entries and {errors.made:,} events in {len(errors.groups):,} groups, over {options['days']:g} days, "
            f"in {time.monotonic() - began:.0f} s (a day has {audit.made / max(options['days'], 1 / DAY):,.0f} requests)."
        )
