"""What `prune_auditlog` and `prune_errorlog` have in common: how an age is written, and what is said at the end."""

from __future__ import annotations

import argparse
import datetime as dt
import re

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
OLDEST = dt.timedelta(days=36_500)
AGES = "90m, 12h, 30d or 4w"
DRY_RUN = "only say how many would be deleted"


def age(text: str) -> dt.timedelta:
    """`90m`, `12h`, `30d` or `4w`."""
    match = re.fullmatch(r"([0-9]{1,6})([mhdw])", text)
    if match is None or (found := dt.timedelta(**{UNITS[match[2]]: int(match[1])})) > OLDEST:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number and m, h, d or w, such as 30d, and at most 100 years")
    return found


def told(count: int, what: str, dry_run: bool, stay: int | None = None) -> str:
    """What was deleted, or would be; `stay`: how many are left, where that was counted."""
    left = "" if stay is None else f" {stay:,} {'would ' if dry_run else ''}stay."
    return f"{count:,} {what} {'would be deleted; nothing was' if dry_run else 'deleted'}.{left}"
