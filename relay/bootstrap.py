"""The first start, and every other: migrations, RELAY_CONFIG, the first administrator, client key and upstreams.

Invariant: what an environment variable names is created when it is missing, and never changed when it is there; so a
second start changes nothing. Every setting is checked before the database is touched, instances that start at once
take turns, and nothing is generated that is not both printed and kept in DATA_DIR/first-run.txt.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import OutputWrapper
from django.db import OperationalError, connection, transaction

from proxy_project import environment as env
from relay import config, first_upstreams, roles, validation
from relay.config import Configuration
from relay.models import ClientKey

FIRST_RUN_FILE = "first-run.txt"
FIRST_LABEL = "first"
ADVISORY_LOCK = 0x65706974617068  # "epitaph": one number that all instances on a PostgreSQL agree upon


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the environment asks for, checked."""

    username: str
    password: str = field(repr=False)
    client_key: str = field(repr=False)
    configuration: Configuration
    providers: tuple[first_upstreams.Provider, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a start found or made. `demo`: the built-in upstream is needed."""

    demo: bool
    notice: str = field(default="", repr=False)


def prepare(demo_port: int | None = None, out: TextIO | OutputWrapper | None = None) -> Prepared:
    """Bring the database to where the gateway can serve from it.

    `demo_port` is where the caller serves the built-in upstream should it be needed; None: it does not.

    Raises:
        SettingError: a setting or RELAY_CONFIG is wrong, and nothing was changed; or the database cannot be reached.
    """
    wishes = read_wishes()
    try:
        with _alone():
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
            with transaction.atomic():
                prepared = _create(wishes, demo_port)
    except OperationalError as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise env.SettingError(f"DATABASE_URL: the database cannot be used: {reason[0]}") from error
    if prepared.notice:
        (out or sys.stdout).write(prepared.notice)
        (out or sys.stdout).flush()
    return prepared


def read_wishes() -> Wishes:
    """Read and check what the environment asks for; touches nothing.

    Raises:
        SettingError: something of it cannot be used.
    """
    username = env.text("ADMIN_USERNAME", "admin")
    try:
        get_user_model()._meta.get_field("username").clean(username, None)  # type: ignore[union-attr]
    except ValidationError as error:
        raise env.SettingError(f"ADMIN_USERNAME is {username!r}: {' '.join(error.messages)}") from None
    configuration = config.read(settings.RELAY_CONFIG) if settings.RELAY_CONFIG else Configuration()
    return Wishes(
        username,
        env.text("ADMIN_PASSWORD"),
        _secret("CLIENT_KEY"),
        configuration,
        tuple(
            provider
            for provider in first_upstreams.PROVIDERS
            if _secret(provider.variable) and provider.variable not in configuration.variables
        ),
    )


def _secret(variable: str) -> str:
    value = env.text(variable)
    if value:
        try:
            validation.secret(value)
        except ValidationError as error:
            raise env.SettingError(f"{variable} cannot be used: {' '.join(error.messages)}.") from None
    return value


def _create(wishes: Wishes, demo_port: int | None) -> Prepared:
    """All rows, in the caller's transaction."""
    roles.settle()
    config.apply(wishes.configuration)
    for provider in wishes.providers:
        first_upstreams.create_missing(provider, env.text(provider.variable))
    demo = demo_port is not None and first_upstreams.settle_demo(demo_port)
    lines = _first_administrator(wishes)
    key, shown = _first_client_key(wishes)
    if key:
        lines += [f"  client key       {key}" if shown else "  client key       the one in CLIENT_KEY"]
        lines += ["", "Try it:", "", f"  {first_upstreams.trial_command(own_address(), key if shown else None)}"]
    if not lines:
        return Prepared(demo)
    kept = settings.DATA_DIR / FIRST_RUN_FILE
    notice = "\n".join(["", "Epitaph was set up. This is shown once:", "", *lines, ""])
    _keep(kept, notice)  # before the commit: nothing that was generated can be lost
    return Prepared(demo, f"{notice}\nIt also lies in {kept} (mode 600); delete that when you have noted it.\n\n")


def _first_administrator(wishes: Wishes) -> list[str]:
    """Create the administrator when there is none; one that ADMIN_PASSWORD is given for also beside others."""
    users = get_user_model()._default_manager
    if users.filter(username=wishes.username).exists():
        return []
    if not wishes.password and users.filter(is_superuser=True).exists():
        return []
    password = wishes.password or secrets.token_urlsafe(15)
    users.create_superuser(wishes.username, "", password)  # type: ignore[attr-defined]
    return [
        f"  administration   {own_address()}/admin/",
        f"  user             {wishes.username}",
        f"  password         {'the one in ADMIN_PASSWORD' if wishes.password else password}",
    ]


def _first_client_key(wishes: Wishes) -> tuple[str, bool]:
    """A row for CLIENT_KEY when no row knows that key, else one when there is none: the key, and whether to show it."""
    if wishes.client_key:
        if ClientKey.known(wishes.client_key):
            return "", False
        row = ClientKey(label=_free_label())
        row.set_key(wishes.client_key)
        row.save()
        return wishes.client_key, False
    if ClientKey.objects.exists():
        return "", False
    row = ClientKey(label=FIRST_LABEL)
    key = row.rotate()
    row.rotated_at = None
    row.save()
    return key, True


def _free_label() -> str:
    taken = set(ClientKey.objects.values_list("label", flat=True))
    labels = (FIRST_LABEL, *(f"{FIRST_LABEL}-{number}" for number in range(2, len(taken) + 3)))
    return next(label for label in labels if label not in taken)


def own_address() -> str:
    """Where this process can be asked on its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.HOST, settings.HOST)  # noqa: S104 - to name, not to bind
    return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{settings.PORT}"


def _keep(path: Path, notice: str) -> None:
    """Append, so that what an earlier start generated stays too."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(notice)


@contextmanager
def _alone() -> Iterator[None]:
    """One instance at a time: by a lock in PostgreSQL, or on a file beside SQLite's."""
    with ExitStack() as stack:
        if connection.vendor == "postgresql":
            stack.enter_context(_advisory_lock())
        elif connection.vendor == "sqlite" and not connection.is_in_memory_db():  # type: ignore[attr-defined]
            stack.enter_context(_file_lock(Path(f"{connection.settings_dict['NAME']}.starting")))
        yield


@contextmanager
def _advisory_lock() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [ADVISORY_LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [ADVISORY_LOCK])


@contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    import fcntl  # where it is missing (Windows) there are no forked workers either

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
