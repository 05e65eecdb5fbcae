"""`make bench-pages`: how long every page of the two logs takes when they are large, on SQLite and on PostgreSQL.

    .venv/bin/python -m tests.scale [--entries 2M] [--events 1M] [--on sqlite|postgres] [--use URL]

Each database is made for this, filled by `manage.py seed_demo`, measured and dropped. `--use` measures one that is filled
already, prunes nothing and keeps it. Figures go to build/pages-<database>.json.
"""

from __future__ import annotations

import argparse
import getpass
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from tests.scale.asking import Measure

ROOT = Path(__file__).resolve().parents[2]
AIM = 100.0  # ms of both processes' CPU


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.scale", description="Times of the logs' pages at a size.")
    parser.add_argument("--entries", default="1M")
    parser.add_argument("--events", default="200k")
    parser.add_argument("--on", choices=["sqlite", "postgres"], help="one database alone")
    parser.add_argument("--use", metavar="URL", help="a database that is filled already")
    parser.add_argument("--times", type=int, default=5, help="how often each page is asked for (5)")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure_all(options.times, prunes=not options.use)
        return
    server = os.environ.get("TEST_DATABASE_URL", f"postgres://{getpass.getuser()}@127.0.0.1:5432/test")
    with tempfile.TemporaryDirectory(prefix="epitaph-scale-") as folder:
        if options.use:
            run(options, Path(folder), options.use, fill=False)
            return
        if options.on != "postgres":
            run(options, Path(folder), f"sqlite:///{folder}/scale.sqlite3", fill=True)
        if options.on != "sqlite":
            with_postgres(options, Path(folder), server)


def with_postgres(options: argparse.Namespace, folder: Path, server: str) -> None:
    import psycopg

    name = f"epitaph_scale_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            run(options, folder, urlunsplit(urlsplit(server)._replace(path=f"/{name}")), fill=True)
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def run(options: argparse.Namespace, folder: Path, url: str, fill: bool) -> None:
    """Fills and measures one database, each in a process of its own, since Django knows one database from its start."""
    environment = {**os.environ, "DATABASE_URL": url, "DATA_DIR": str(folder / "data"), "ADMIN_TOKEN": "scale-admin-token-0001"}
    if fill:
        subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
        seed = [sys.executable, "manage.py", "seed_demo", "--entries", options.entries, "--events", options.events]
        subprocess.run(seed, cwd=ROOT, env=environment, check=True)
    measuring = [sys.executable, "-m", "tests.scale", "--measure", "--times", str(options.times)]
    measuring += ["--use", url] if not fill else []
    subprocess.run(measuring, cwd=ROOT, env=environment, check=True)


def measure_all(times: int, prunes: bool) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proxy_project.settings")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    import django

    django.setup()
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from tqdm import tqdm

    from tests.scale.asking import measure
    from tests.scale.pages import pages, size

    user, _ = get_user_model().objects.get_or_create(username="scale", is_staff=True, is_superuser=True)
    client = Client(headers={"host": "localhost"})
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    load = os.getloadavg()[1]  # what other processes want of the machine; a wall clock says little of a page beside them
    print(f"\n{connection.vendor}: {size()}, {os.cpu_count()} cores, load {load:.1f}")
    print(f"{'page':40}{'best':>9}{'median':>9}{'own CPU':>9}{'server':>9}{'queries':>9}{'slowest':>9}  ms")
    found = []
    for name, address in tqdm(pages(), unit="page", disable=None, leave=False):
        found.append(measure(client, name, address, times))
        tell(found[-1])
    token = {"authorization": "Bearer scale-admin-token-0001"}
    for name, path in (("badge", "errors/badge"), ("groups", "errors/groups"), ("events", "errors/events")):
        found.append(measure(client, f"api: {name}", f"/api/{path}", times, **token))
        tell(found[-1])
    found.append(measure(client, "api: entries", "/api/audit/entries", times, **token))
    tell(found[-1])
    figures: dict[str, object] = {"size": size(), "load": load, "pages": [asdict(item) for item in found]}
    if prunes:
        for command in ("prune_auditlog", "prune_errorlog"):
            began = time.perf_counter()
            call_command(command, "--older-than", "28d")
            figures[command] = round(time.perf_counter() - began, 2)
            print(f"{command} --older-than 28d: {figures[command]} s")
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / f"pages-{connection.vendor}.json").write_text(json.dumps(figures, indent=2) + "\n")


def tell(item: Measure) -> None:
    """One row of the table, as soon as it is known."""
    over = "  looked as long as it may" if item.bounded else "  over the aim" if item.cpu + item.server > AIM else ""
    times = f"{item.best:9.1f}{item.median:9.1f}{item.cpu:9.1f}{item.server:9.1f}"
    row = f"{item.name:40}{times}{item.queries:9}{item.slowest:9.1f}"
    print(f"{row}{over}{'  ' + ', '.join(item.faults) if item.faults else ''}", flush=True)


if __name__ == "__main__":
    main()
