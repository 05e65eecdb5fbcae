"""Takes secrets out of everything that is kept. Pure: no Django, no I/O. Never raises on JSON-like values.

Long secrets keep their first 3 and last 2 characters, so that two can be told apart; short ones nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

SECRET_KEYS = frozenset(
    [
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "api_key",
        "apikey",
        "x-goog-api-key",
        "token",
        "access_token",
        "refresh_token",
        "cookie",
        "set-cookie",
        "session",
        "secret",
        "password",
    ]
)
DEEPEST = 6
GONE = "[redacted]"
_SHAPES = re.compile(
    r"(?P<bearer>\b[Bb]earer\s+)(?P<token>[^\s\"',;]{4,})"
    r"|(?P<key>\b(?:sk|pk|rk|ep|gsk|xai|key)[-_][A-Za-z0-9._-]{8,})"
    r"|(?P<google>\bAIza[A-Za-z0-9_-]{20,})"
    r"|(?P<jwt>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*)"
    r"|(?P<query>[?&](?:key|api_key|apikey|access_token|token|secret|password)=)(?P<value>[^&\s\"'<>]+)"
    r"|(?P<user>\b[a-z][a-z0-9+.-]*://)[^/\s@\"']+@"
    r"|(?P<header>\b(?:x-api-key|x-goog-api-key|api[-_]key|password|secret)\"?\s*[:=]\s*\"?)(?P<said>[^\s\"',;&]{4,})",
    re.IGNORECASE,
)
_CONTROL = re.compile("[\x00\ud800-\udfff]")


def masked(secret: str) -> str:
    """`sk-…9f` for a long secret, nothing of a short one."""
    return f"{secret[:3]}…{secret[-2:]}" if len(secret) >= 16 else GONE


def redact_text(text: str) -> str:
    """`text` without anything shaped like a key."""
    return _SHAPES.sub(_replace, text)


def _replace(match: re.Match[str]) -> str:
    found = match.groupdict()
    if found["bearer"]:
        return found["bearer"] + masked(found["token"])
    if found["query"]:
        return found["query"] + masked(found["value"])
    if found["user"]:
        return f"{found['user']}{GONE}@"
    if found["header"]:
        return found["header"] + masked(found["said"])
    return masked(match.group())


def redact(value: Any, depth: int = 0) -> Any:
    """A copy of a JSON-like value without secrets; below depth 6 all is replaced."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, Mapping):
        if depth >= DEEPEST:
            return GONE
        return {name: _field(name, item, depth) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return GONE if depth >= DEEPEST else [redact(item, depth + 1) for item in value]
    return value


def _field(name: Any, value: Any, depth: int) -> Any:
    if str(name).lower() in SECRET_KEYS and value is not None and not isinstance(value, bool):
        return masked(value) if isinstance(value, str) else GONE
    return redact(value, depth + 1)


def storable(value: Any) -> Any:
    """A copy in which texts hold nothing that a database refuses: NUL and lone surrogates are escaped."""
    if isinstance(value, str):
        return _CONTROL.sub(lambda match: f"\\u{ord(match.group()):04x}", value)
    if isinstance(value, Mapping):
        return {storable(str(name)): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value
