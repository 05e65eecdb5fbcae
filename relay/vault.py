"""How secrets are kept: credential secrets encrypted, client keys as keyed digests, under keys derived from SECRET_KEY.

Invariant: nothing here ever logs or raises a text that holds a secret. A database without SECRET_KEY gives neither a
credential's secret nor a way to test guesses of a client key; two derived keys, so that neither use says anything about
the other.
"""

import base64
import hmac
import secrets
from functools import cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

CLIENT_KEY_PREFIX = "epk_"  # tells a secret scanner, and a person, what was found
SEALING = b"epitaph: credential secrets, v1"
DIGESTING = b"epitaph: client keys, v1"


class UnreadableSecret(Exception):
    """A sealed secret that the present SECRET_KEY does not open."""


def seal(secret: str) -> str:
    """The secret, encrypted and authenticated, as text for a column."""
    return _sealer(settings.SECRET_KEY).encrypt(secret.encode()).decode("ascii")


def unseal(sealed: str) -> str:
    """The secret that `seal` was given.

    Raises:
        UnreadableSecret: sealed under another SECRET_KEY, or damaged.
    """
    try:
        return _sealer(settings.SECRET_KEY).decrypt(sealed.encode()).decode()
    except (InvalidToken, UnicodeDecodeError):
        raise UnreadableSecret("sealed under another SECRET_KEY, or damaged") from None


def digest(key: str | bytes) -> bytes:
    """What stands for a client key in the database and in memory. Blanks around it do not count: HTTP drops them."""
    raw = key.encode("utf-8", "surrogateescape") if isinstance(key, str) else key
    return hmac.digest(_digest_key(settings.SECRET_KEY), raw.strip(), "sha256")


def new_client_key() -> str:
    """A fresh client key with 240 bits of chance."""
    return CLIENT_KEY_PREFIX + secrets.token_urlsafe(30)


def hint(key: str) -> str:
    """So much of a client key as lets its owner know it again; never more than a quarter of it."""
    key = key.strip()
    return key[: min(8, len(key) // 4)] + "…"


@cache
def _sealer(secret_key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(_derive(secret_key, SEALING)))


@cache
def _digest_key(secret_key: str) -> bytes:
    return _derive(secret_key, DIGESTING)


def _derive(secret_key: str, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=purpose).derive(secret_key.encode())
