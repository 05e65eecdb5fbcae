"""Runs the scripted upstream by hand: to look at a scenario with curl, or as the upstream of a gateway."""

from __future__ import annotations

import asyncio
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from relay.rehearsal.scenarios import COMMON, SCENARIOS
from relay.rehearsal.server import DIALECTS, FaultServer


class Command(BaseCommand):
    """`manage.py faultserver`."""

    help = "A scripted upstream: the model of a request says what is played, such as `eof,after=3`."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
        parser.add_argument("--protocol", choices=sorted({item.name for item in DIALECTS}), help="speak this one only")
        parser.add_argument("--demo", action="store_true", help="answer at the pace of a model, keep no contents")
        parser.add_argument("--list", action="store_true", help="print the scenarios and stop")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            self._print_table()
            return
        try:
            asyncio.run(self._serve(options))
        except OSError as error:
            self.stderr.write(f"cannot listen on {options['host']}:{options['port']}: {error.strerror or error}")
            raise SystemExit(1) from error

    async def _serve(self, options: dict[str, Any]) -> None:
        server = FaultServer(options["host"], options["port"], protocol=options["protocol"], demo=options["demo"])
        await server.start()
        self.stdout.write(f"Listening on {server.url}; scenarios: --list, what reached it: {server.url}/__log")
        self.stdout.flush()
        await server.until_signal()

    def _print_table(self) -> None:
        width = max(map(len, SCENARIOS))
        for row in SCENARIOS.values():
            own = f"  [{row.parameters}]" if row.parameters else ""
            self.stdout.write(f"{row.name:<{width}}  {row.doc}{own}")
        self.stdout.write("\nFor all:")
        for name, doc in COMMON.items():
            self.stdout.write(f"{name:<{width}}  {doc}")
