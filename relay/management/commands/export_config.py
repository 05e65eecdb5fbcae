"""`export_config`: the configuration as a RELAY_CONFIG file, without secrets, that `apply_config` takes again."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from relay import config
from relay.models import ConfigVersion


class Command(BaseCommand):
    help = "Write upstreams, routes and client keys as a RELAY_CONFIG file. Secrets are left out."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", help="where to write; without it, to standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            text = config.export(ConfigVersion.present())
        except DatabaseError as error:
            raise CommandError(f"the database refused: {error}; has it been migrated?") from None
        if not options["file"]:
            self.stdout.write(text, ending="")
            return
        try:
            Path(options["file"]).write_text(text, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{options['file']}: cannot be written: {error.strerror}") from None
        self.stdout.write(f"Written to {options['file']}.")
