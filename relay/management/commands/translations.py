"""`manage.py translations [PAGE]`: the table of what maps to what between the protocols; with a page, written into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from relay.wire.translation.table import markdown, placed


class Command(BaseCommand):
    help = "Print the table of translations, or write it into the page that documents it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("page", nargs="?", type=Path, help="docs/protocols/translation.md")

    def handle(self, *args: Any, **options: Any) -> None:
        page: Path | None = options["page"]
        if page is None:
            self.stdout.write(markdown())
        else:
            page.write_text(placed(page.read_text()))
