"""`python -m tests.crash`: the crash test at its full size (see run.py)."""

from __future__ import annotations

import argparse
import logging
import secrets
import sys
import tempfile
from pathlib import Path

from tests.crash.run import Result, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.crash", description="Kills parts of a gateway under load, then counts endings.")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=None, help="that of a run that failed; default: a new one")
    parser.add_argument("--database", default="", help="URL of an empty PostgreSQL database; default: SQLite")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    seed = secrets.randbelow(1 << 31) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="epitaph-crash-"))
    print(f"{options.requests} requests, seed {seed}, in {folder}", flush=True)
    result = run(options.requests, seed, folder, options.database)
    _print(result)
    failed = bool(result.judgement.faults or result.exit_code or result.journals)
    if failed:
        print(f"FAILED. Run it again: python -m tests.crash --requests {options.requests} --seed {seed}")
    return int(failed)


def _print(result: Result) -> None:
    print(f"blows: {', '.join(f'{name} {count}' for name, count in sorted(result.blows.items()))}")
    for outcome, count in result.judgement.outcomes.most_common():
        print(f"  {count:>6} {outcome}")
    for name, count in result.judgement.figures.items():
        print(f"  {count:>6} {name}")
    print(f"exit code {result.exit_code}, journals left {len(result.journals)}, {result.seconds:.0f} s")
    for fault in result.judgement.faults[:50]:
        print(f"  WRONG: {fault}")
    print(f"{len(result.judgement.faults)} requests without exactly one right ending")


if __name__ == "__main__":
    sys.exit(main())
