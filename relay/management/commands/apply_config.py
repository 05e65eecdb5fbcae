"""`apply_config FILE`: make the rows say what a RELAY_CONFIG file says; `--dry-run` only tells what would change."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from relay import config


class Command(BaseCommand):
    help = "Apply a RELAY_CONFIG file to upstreams, routes and client keys, by name, all of it or nothing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a TOML file")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = config.apply(config.read(options["file"]), dry_run=options["dry_run"])
        except config.ConfigError as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            raise CommandError(f"the database refused: {error}; has it been migrated?") from None
        for change in changes:
            self.stdout.write(str(change))
        if not changes:
            self.stdout.write("Nothing to change.")
        elif options["dry_run"]:
            self.stdout.write(f"{len(changes)} rows would change; nothing was changed (--dry-run).")
        else:
            self.stdout.write(f"{len(changes)} rows changed.")
