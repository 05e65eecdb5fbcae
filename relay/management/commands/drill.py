"""Rehearses failures against the running gateway: does it still name every ending rightly, here, today?"""

from __future__ import annotations

import socket
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from relay.drilling import Drill, Finding, NotOurs, drill, impossible, words
from relay.rehearsal.matrix import ROWS, SECTIONS
from relay.rehearsal.matrix.row import Case, Row, cases_of

ALL = "all"


class Command(BaseCommand):
    """`manage.py drill`."""

    help = (
        "Rehearse rows of the fault matrix against the running gateway. Its records are marked as a drill, and kept out of "
        "groups, counts and figures; its configuration is not touched. Run it on the gateway's machine, with its settings."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="name", help=f"rows of the matrix, or {ALL}")
        parser.add_argument("--list", action="store_true", help="print the rows and what is expected of each")
        parser.add_argument("--every", action="store_true", help=f"with {ALL}: every protocol and mode, not one of each row")
        parser.add_argument("--at-once", type=int, default=4, help="how many are rehearsed at a time (4)")
        parser.add_argument("--host", default="127.0.0.1", help="where the gateway listens (127.0.0.1)")
        parser.add_argument("--port", type=int, default=settings.PORT)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self._list()
            return
        cases = self._cases(options["names"], options["every"])
        if not 1 <= options["at_once"] <= 64:
            raise CommandError("--at-once is from 1 to 64")
        try:
            socket.create_connection((options["host"], options["port"]), timeout=5).close()
        except OSError as error:
            raise CommandError(f"no gateway at {options['host']}:{options['port']}: {error.strerror or error}") from None
        ready = [case for case in cases if not impossible(case)]
        with drill(options["host"], options["port"]) as running:
            try:
                running.prove()
            except NotOurs as error:
                raise CommandError(
                    f"the gateway at {options['host']}:{options['port']} is not the one of these settings (DATA_DIR, SECRET_KEY, "
                    f"DATABASE_URL): {error}"
                ) from None
            wrong = self._rehearse(running, ready, options)
        for case in cases:
            if why := impossible(case):
                self.stdout.write(f"left out  {_title(case)}: {why}")
        self.stdout.write(f"{len(ready) - wrong} of {len(ready)} as expected.")
        if wrong:
            raise SystemExit(1)

    def _cases(self, names: list[str], every: bool) -> list[Case]:
        if names == [ALL]:
            return [case for row in ROWS for case in (cases_of((row,)) if every else cases_of((row,))[:1])]
        rows = {row.name: row for row in ROWS}
        unknown = [name for name in names if name not in rows]
        if unknown or not names:
            raise CommandError(f"there is no row {(unknown or [''])[0]!r}: --list names them all, {ALL} rehearses them all")
        return cases_of(tuple(rows[name] for name in names))

    def _rehearse(self, running: Drill, cases: list[Case], options: dict[str, Any]) -> int:
        """Prints each finding; of many, those that are wrong, under a bar."""
        base = f"http://{options['host']}:{options['port']}"
        many = options["names"] == [ALL]
        wrong = 0
        with tqdm(total=len(cases), disable=not many, unit="row") as bar:
            for finding in running.rehearse(cases, options["at_once"]):
                wrong += bool(finding.problems)
                if finding.problems or not many:
                    bar.clear()
                    self.stdout.write(_told(finding, base))
                bar.update()
                bar.set_postfix(wrong=wrong)
        return wrong

    def _list(self) -> None:
        for section, rows in SECTIONS.items():
            self.stdout.write(f"\n{section}")
            for row in rows:
                self.stdout.write(f"  {row.name:<32} {row.provoked}")
                self.stdout.write(f"  {'':<32} → {_expected(row)}")
        self.stdout.write("\nWhat would end the gateway (signals, kills, a database away) is not rehearsed on it: make crash.")


def _expected(row: Row) -> str:
    return words(row.outcome, row.cause, row.fault, row.status)


def _title(case: Case) -> str:
    return f"{case.row.name} ({case.column.tag}, {case.mode})"


def _told(finding: Finding, base: str) -> str:
    lines = [f"{'WRONG' if finding.problems else 'right'}  {_title(finding.case)}: {finding.case.row.provoked}"]
    lines += [f"       expected  {finding.expected}", f"       recorded  {finding.verdict}"]
    lines += [f"       !         {problem}" for problem in finding.problems]
    if finding.address:
        lines.append(f"       look at   {base}{finding.address}")
    return "\n".join(lines)
