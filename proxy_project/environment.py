"""Typed reading of environment variables, with one sentence for each mistake.

Nothing here has a side effect but `make_folder` and `kept_secret_key`, which the settings call last; so a bad setting
is refused before anything was changed.
"""

import ipaddress
import os
import re
import secrets
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
BASE_DIR = Path(__file__).resolve().parent.parent
HOST = re.compile(r"\*|\.?[\w-]+(\.[\w-]+)*\.?|\[[0-9A-Fa-f:.]+\]")
ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+/?")  # apps and extensions have schemes of their own
ENGINES = ("django.db.backends.sqlite3", "django.db.backends.postgresql")


class SettingError(Exception):
    """A setting that cannot be used. The text names the setting, what was given and what was expected."""


def text(name: str, default: str = "") -> str:
    """The variable, or `default` when unset or empty."""
    return os.environ.get(name, "") or default


def words(name: str) -> list[str]:
    """A comma-separated list; blanks are dropped."""
    return [word.strip() for word in os.environ.get(name, "").split(",") if word.strip()]


def number(name: str, default: int, least: int, most: int) -> int:
    """A whole number between `least` and `most`.

    Raises:
        SettingError: not a whole number, or outside the range.
    """
    raw = os.environ.get(name, "")
    if not raw:
        return default
    try:
        value = int(raw)
    except ValueError:
        raise SettingError(f"{name} is {raw!r}; expected a whole number from {least} to {most}.") from None
    if not least <= value <= most:
        raise SettingError(f"{name} is {value}; expected a whole number from {least} to {most}.")
    return value


def flag(name: str, default: bool = False) -> bool:
    """`1 true yes on` or `0 false no off`.

    Raises:
        SettingError: any other word.
    """
    raw = os.environ.get(name, "").strip().lower()
    if not raw:
        return default
    if raw in {"1", "true", "yes", "on"}:
        return True
    if raw in {"0", "false", "no", "off"}:
        return False
    raise SettingError(f"{name} is {raw!r}; expected one of 1, true, yes, on, 0, false, no, off.")


def choice(name: str, default: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`, whatever its case.

    Raises:
        SettingError: any other word.
    """
    raw = os.environ.get(name, "") or default
    for word in allowed:
        if raw.lower() == word.lower():
            return word
    raise SettingError(f"{name} is {raw!r}; expected one of {', '.join(allowed)}.")


class Addresses:
    """IP addresses and networks; `in` asks whether the address of a peer, as the kernel says it, is among them."""

    def __init__(self, given: Sequence[str]) -> None:
        """Raises ValueError with the word that is neither."""
        self.given = tuple(given)
        self._networks = tuple(network for word in given if (network := _network(word)) is not None)

    def __contains__(self, peer: object) -> bool:
        return bool(self.given) and (peer in self.given or _lies_in(str(peer), self._networks))


def _network(word: str) -> Network | None:
    """What the word names; None for an address with a zone (fe80::1%eth0), which is compared as it stands."""
    try:
        if "%" in word:
            ipaddress.ip_address(word)
            return None
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise ValueError(word) from None


@lru_cache(maxsize=4096)
def _lies_in(peer: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # a socket of both families says ::ffff:10.0.0.7
    return any(one in network for one in (address, mapped) if one is not None for network in networks)


def addresses(name: str) -> Addresses:
    """A comma-separated list of IP addresses and networks.

    Raises:
        SettingError: one of them is none.
    """
    try:
        return Addresses(words(name))
    except ValueError as error:
        expected = "IP addresses or networks, such as 10.0.0.7 or 10.0.0.0/8 (not names)"
        raise SettingError(f"{name} has {str(error)!r}; expected {expected}.") from None


def hosts(name: str) -> list[str]:
    """A comma-separated list of host names as in Django's ALLOWED_HOSTS: a leading dot for all below, `*` for all.

    Raises:
        SettingError: one of them is none, such as a URL or a name with a port.
    """
    return _all(name, HOST, "host names without scheme and port, such as app.example or .example.com, or *")


def origins(name: str, everyone: bool = False) -> list[str]:
    """A comma-separated list of origins, a slash at their end taken off. `everyone`: `*` and `null` are origins too.

    Raises:
        SettingError: one of them is none.
    """
    also = "; or * for all" if everyone else ""
    given = [word for word in words(name) if not (everyone and word in ("*", "null", "file://"))]
    _all(name, ORIGIN, f"origins with a scheme, such as https://app.example{also}", given)
    return [word if word == "file://" else word.removesuffix("/") for word in words(name)]


def _all(name: str, shape: re.Pattern[str], expected: str, given: list[str] | None = None) -> list[str]:
    given = words(name) if given is None else given
    for word in given:
        if not shape.fullmatch(word):
            raise SettingError(f"{name} has {word!r}; expected {expected}.")
    return given


def redis_url() -> str:
    """`REDIS_URL`; empty when unset. Never repeats it: it may hold a password.

    Raises:
        SettingError: it is no URL of a Redis.
    """
    url = text("REDIS_URL")
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("redis", "rediss", "unix") and "://" in url and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if url and not known:
        raise SettingError("REDIS_URL cannot be used; expected redis://host:6379/0, rediss://… or unix://….")
    return url


def currency() -> str:
    """`CURRENCY`, in capitals.

    Raises:
        SettingError: not three letters.
    """
    raw = text("CURRENCY", "USD")
    if len(raw) != 3 or not raw.isascii() or not raw.isalpha():
        raise SettingError(f"CURRENCY is {raw!r}; expected three letters, such as USD or EUR.")
    return raw.upper()


def workers() -> int:
    """`WORKERS`: a number of processes, or `auto` for one per core."""
    if os.environ.get("WORKERS", "").lower() == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    try:
        return number("WORKERS", 1, 1, 256)
    except SettingError as error:
        raise SettingError(f"{error} `auto` means one for each core.") from None


def address() -> tuple[str, int]:
    """`HOST` and `PORT`, where the gateway listens.

    Raises:
        SettingError: PORT is no port.
    """
    return text("HOST", "127.0.0.1"), number("PORT", 8000, 1, 65535)


def data_dir() -> Path:
    """`DATA_DIR`, which need not exist yet."""
    return Path(text("DATA_DIR", str(BASE_DIR / "data"))).expanduser().absolute()


def database(folder: Path) -> dict[str, Any]:
    """`DATABASE_URL` as Django's settings of a database; SQLite in `folder` by default. Never repeats it: it may hold a password.

    Raises:
        SettingError: it cannot be read, names no database, or another kind than SQLite and PostgreSQL.
    """
    try:
        url = text("DATABASE_URL", f"sqlite:///{folder / 'epitaph.sqlite3'}")
        found: dict[str, Any] = {**dj_database_url.parse(url, conn_max_age=60, conn_health_checks=True)}
    except (ValueError, dj_database_url.ParseError):
        found = {}
    named = found.get("NAME") or "service" in found.get("OPTIONS", {})
    if not named or found.get("ENGINE") not in ENGINES:
        raise SettingError("DATABASE_URL cannot be used; expected sqlite:///file or postgres://user@host/name.")
    return found


def make_folder(folder: Path) -> None:
    """Makes DATA_DIR if it is missing (mode 700), and checks that it can be written to.

    Raises:
        SettingError: it cannot be made or written to.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = folder / f".write-test-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise SettingError(f"DATA_DIR {str(folder)!r} is not a folder we can write to: {error.strerror}.") from None


def instance(folder: Path) -> str:
    """`INSTANCE`, or the host's name with a mark of the data folder: two gateways on one host are two instances."""
    return text("INSTANCE") or f"{os.uname().nodename}-{zlib.crc32(os.fsencode(folder)) & 0xFFFF:04x}"


def given_secret_key() -> str:
    """`SECRET_KEY`; empty when unset.

    Raises:
        SettingError: it is shorter than 16 characters.
    """
    return _long_enough(key) if (key := text("SECRET_KEY")) else ""


def kept_secret_key(folder: Path) -> str:
    """The key in `folder/secret_key`, which is made once with mode 600.

    Raises:
        SettingError: the file cannot be read or made, or what it holds is shorter than 16 characters.
    """
    path = folder / "secret_key"
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return _long_enough(path.read_text(encoding="ascii").strip())
        key = secrets.token_urlsafe(48)
        with os.fdopen(descriptor, "w") as file:
            file.write(key)
        return key
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"SECRET_KEY is unset and {str(path)!r} cannot be used: {error}.") from None


def _long_enough(key: str) -> str:
    if len(key) < 16:
        raise SettingError("SECRET_KEY is shorter than 16 characters; expected a long random string.")
    return key
