"""What a value of the configuration may be: one function for each kind, for models, admin and RELAY_CONFIG alike.

Each raises Django's ValidationError with a text that says what was expected and never repeats a secret; none touches
the database.
"""

import json
import math
import re
import ssl
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
NOT_PARAMETERS = ("model", "stream", "messages", "input", "contents", "prompt")  # who asks what, and how it is answered
LONGEST_PARAMETERS = 16384
LONGEST_WAIT = 86400.0  # seconds; a timeout of more than a day is a mistake in its unit


def name(value: str) -> None:
    """A name that can stand in an address, a log line and a metric."""
    if not NAME.fullmatch(value):
        raise ValidationError("expected letters, digits, dot, hyphen and underscore, beginning with a letter or digit")


def label(value: str) -> None:
    """A label for people: printable, not blank."""
    if not value.strip() or not value.isprintable():
        raise ValidationError("expected printable text that is not blank")


def base_url(value: str) -> None:
    """Where an upstream's API begins."""
    _address(value, "http:// or https:// URL of the API, such as https://api.openai.com/v1", ("http", "https", "ws", "wss"))


def proxy(value: str) -> None:
    """An egress proxy; without user info, because this column is not encrypted."""
    _address(value, "http:// or https:// URL of a proxy, such as http://proxy.example:3128")
    if urlsplit(value).path.strip("/"):
        raise ValidationError("expected a proxy's URL without a path")


def ca_bundle(value: str) -> None:
    """A PEM file of certificate authorities, readable here and now."""
    path = Path(value)
    if not path.is_absolute():
        raise ValidationError("expected the absolute path of a PEM file")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "strerror", None) or "no certificate in it"
        raise ValidationError(f"expected a readable PEM file with certificates: {reason}") from None


def model_glob(value: str) -> None:
    """A model's name, or a glob over names."""
    if not value or not value.isprintable() or value != value.strip():
        raise ValidationError("expected a model's name, or a glob such as gpt-*")


def model_globs(value: str) -> None:
    """Globs, one a line."""
    for line in value.splitlines():
        if line.strip():
            model_glob(line.strip())


def secret(value: str) -> None:
    """A secret that can stand in a header."""
    if not value.strip() or not value.isprintable():
        raise ValidationError("expected a printable text that is not blank")


def attempts(value: int) -> None:
    """How many things one request may try."""
    if not 1 <= value <= 10:
        raise ValidationError("expected a whole number from 1 to 10")


def concurrency(value: int) -> None:
    """How many requests may use a credential, or a client key, at once."""
    if not 1 <= value <= 1_000_000:
        raise ValidationError("expected a whole number from 1 to 1000000")


def budget(value: int) -> None:
    """How many tokens a client key may use in a day."""
    if not 1 <= value <= 10**15:
        raise ValidationError("expected a whole number from 1 to 1000000000000000")


def price(value: int | float | Decimal) -> None:
    """What a million tokens cost; 0 is a price, too."""
    if not 0 <= value < 10**8:
        raise ValidationError("expected the price of a million tokens, from 0 to less than 100000000")


def weight(value: int) -> None:
    """An upstream's share of a route."""
    if not 1 <= value <= 1000:
        raise ValidationError("expected a whole number from 1 to 1000")


def parameters(value: Any) -> None:
    """Parameters of a request that a route sets."""
    if not isinstance(value, dict):
        raise ValidationError("expected an object of parameters")
    for name in value:
        if name in NOT_PARAMETERS:
            raise ValidationError(f"expected parameters alone; {name} is not the route's to set")
    if not _is_json(value):
        raise ValidationError("expected texts, numbers, true, false, lists and tables, and no null")
    if len(json.dumps(value)) > LONGEST_PARAMETERS:
        raise ValidationError(f"expected parameters of together at most {LONGEST_PARAMETERS} characters")


def wait(value: float) -> None:
    """A timeout in seconds."""
    if not 0 < value <= LONGEST_WAIT:
        raise ValidationError(f"expected seconds, more than 0 and at most {LONGEST_WAIT:.0f}")


def wait_or_never(value: float) -> None:
    """A time in seconds; 0 means never."""
    if not 0 <= value <= LONGEST_WAIT:
        raise ValidationError(f"expected seconds from 0 (never) to {LONGEST_WAIT:.0f}")


def _address(value: str, expected: str, schemes: tuple[str, ...] = ("http", "https")) -> None:
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        raise ValidationError(f"expected an {expected}") from None
    if parts.scheme not in schemes or not parts.hostname or not port_is_right or not _plain(value):
        raise ValidationError(f"expected an {expected}")
    if parts.username is not None or parts.password is not None:
        raise ValidationError("expected a URL without user name or password; a key belongs into a credential")
    if parts.query or parts.fragment or value.endswith(("?", "#")):
        raise ValidationError("expected a URL without query or fragment")


def _plain(value: str) -> bool:
    return value.isprintable() and not any(character.isspace() for character in value) and "\\" not in value


def _is_json(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(inner) for name, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, str | int)  # no null: a TOML file could not say it
