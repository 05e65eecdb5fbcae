"""Takes secrets out of whatever is to be kept, and makes text that a database accepts.

Pure: no Django, no I/O, no clock. Two invariants hold everywhere: `redact` of something already redacted changes
nothing (two apps redact the same record), and what is returned shares no mutable part with what was given.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

MAX_DEPTH = 6  # what lies deeper is replaced: nobody reads it, and nobody can promise what is in it
REPLACED = "[redacted]"
TOO_DEEP = "[too deep]"
_LONG = 16  # shorter secrets would give away too large a part of themselves

SECRET_KEYS = frozenset(
    {
        "authorization",
        "proxyauthorization",
        "xapikey",
        "apikey",
        "xgoogapikey",
        "token",
        "accesstoken",
        "refreshtoken",
        "idtoken",
        "cookie",
        "setcookie",
        "session",
        "sessionid",
        "csrftoken",
        "secret",
        "clientsecret",
        "secretkey",
        "privatekey",
        "password",
        "passwd",
    }
)  # whole keys, without case, hyphen and underscore: `max_tokens` is none of them

_MASKED = re.compile(r".{3}….{2}|\[redacted\]|\[too deep\]", re.DOTALL)
_SCHEME = re.compile(r"(Bearer|Basic|Token|Digest)\s+(.+)", re.IGNORECASE | re.ASCII | re.DOTALL)

# Parts of which, in lower case, every text that a rule below would change holds one. Whoever wants to know quickly whether
# a text can be left alone asks for these: here, and in the recorder on the path of each request.
NEEDLES = (
    *("sk-", "pk-", "rk-", "epk_", "eyj", "aiza", "ya29.", "gsk_", "xai-", "hf_", "ghp_", "gho_", "ghs_", "ghu_"),
    *("github_pat_", "xox", "akia", "bearer", "basic", "@", "=", "authorization", "api-key", "api_key", "apikey"),
    *("access_token", "access-token", "refresh_token", "refresh-token", "id_token", "id-token", 'token"', "token'", "token\\"),
    *("secret", "private_key", "private-key", "cookie", "session", "csrf", "password", "passwd"),
)
_SUSPECT = re.compile("|".join(re.escape(needle) for needle in NEEDLES), re.IGNORECASE | re.ASCII)
# Where a word may begin: behind nothing that belongs to it, or behind an escape of a string that was itself encoded.
_ESCAPED = r"(?<=\\[bfnrt])|(?<=\\u[0-9a-fA-F]{4})"
_EDGE = rf"(?:(?<![A-Za-z0-9_\-])|{_ESCAPED})"
_SHAPES = re.compile(
    rf"(?:(?<![A-Za-z0-9])|{_ESCAPED})(?:"
    r"(?:sk|pk|rk)-[A-Za-z0-9_\-]{4,}"  # OpenAI, Anthropic, Stripe and those who copied them
    r"|epk_[A-Za-z0-9_\-]{4,}"  # our client keys
    r"|AIza[0-9A-Za-z_\-]{16,}|ya29\.[0-9A-Za-z_\-.]{8,}"  # Google
    r"|(?:gsk_|xai-|hf_|gh[opsu]_|github_pat_)[A-Za-z0-9_\-]{8,}"
    r"|xox[abprs]-[A-Za-z0-9\-]{8,}|AKIA[0-9A-Z]{12,}"
    r"|eyJ[A-Za-z0-9_\-]{4,}\.[A-Za-z0-9_\-]+(?:\.[A-Za-z0-9_\-]*)?"  # JSON web tokens
    r")"
)
_CREDENTIALS = re.compile(
    rf"(?:\b|{_ESCAPED})((?i:Bearer)\s+)([^\s\"'\\,;<>\[\]…]{{6,}})|(?:\b|{_ESCAPED})((?i:Basic)\s+)((?=[^\s]*[A-Z0-9=])[A-Za-z0-9+/=_\-]{{8,}})",
    re.ASCII,
)
_USER_INFO = re.compile(r"(?<=://)[^\s/?#@\"'<>]+@")
_NAMES = (
    r"proxy-authorization|authorization|x-goog-api-key|x-api-key|api[-_]?key|access[-_]token|refresh[-_]token|id[-_]token|"
    r"client[-_]secret|secret[-_]key|private[-_]key|csrf[-_]?token|password|passwd"
)
_ANY_NAME = _NAMES + r"|set-cookie|cookie|session(?:[-_]?id)?|token|secret"
# `"api_key": "…"`, also inside a string that was itself encoded (\"api_key\": \"…\"), and Python's repr.
_QUOTED = re.compile(
    rf"((?P<mark>\\{{0,8}}[\"'])(?:{_ANY_NAME})(?P=mark)\s?:\s?b?(?P<open>\\{{0,8}}[\"']))(?P<value>(?:(?!(?P=open)).)*)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
# `?key=…`, `token=…`; `key` alone is a secret in a query only.
_ASSIGNED = re.compile(rf"((?:[?&;]key|{_EDGE}(?:{_ANY_NAME}))\s?=\s?)([^\s&;,\"'<>()\[\]{{}}\\]+)", re.IGNORECASE | re.ASCII)
_COOKIE_LINE = re.compile(rf"(?:(?<![A-Za-z0-9_\-\"'])|{_ESCAPED})((?:set-)?cookie\s?:\s?)([^\r\n]+)", re.IGNORECASE | re.ASCII)
# The same as an argument: `-H "Cookie: …"`. The line goes on behind the quote.
_QUOTED_COOKIE = re.compile(r"(?<=[\"'])((?:set-)?cookie\s?:\s?)([^\r\n\"']+)", re.IGNORECASE | re.ASCII)
_HEADER = re.compile(
    rf"{_EDGE}((?:{_NAMES})\s?:\s?(?:(?:Bearer|Basic|Token|Digest)\s+)?)([^\s,;\"'<>{{}}\\]+)",
    re.IGNORECASE | re.ASCII,
)
# The rules, in the order in which they are applied: what one finds, which part of that is the secret, what stands there then.
_RULES: tuple[tuple[re.Pattern[str], tuple[str | int, ...], str | Callable[[re.Match[str]], str]], ...] = (
    (_USER_INFO, (0,), f"{REPLACED}@"),
    (_COOKIE_LINE, (2,), lambda found: found[1] + REPLACED),
    (_QUOTED_COOKIE, (2,), lambda found: found[1] + REPLACED),
    (_QUOTED, ("value",), lambda found: found[1] + mask(found["value"])),
    (_ASSIGNED, (2,), lambda found: found[1] + mask(found[2])),
    (_HEADER, (2,), lambda found: found[1] + mask(found[2])),
    (_CREDENTIALS, (2, 4), lambda found: (found[1] or found[3]) + mask(found[2] or found[4])),
    (_SHAPES, (0,), lambda found: mask(found[0])),
)


def redact(value: Any, _depth: int = 0) -> Any:
    """A copy of `value` without secrets: by key, by shape inside strings, and all that lies below depth 6."""
    if isinstance(value, str):
        return redact_text(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if _depth >= MAX_DEPTH and isinstance(value, Mapping | list | tuple | set | frozenset) and value:
        return TOO_DEEP
    if isinstance(value, Mapping):
        return {
            redact_text(key) if isinstance(key, str) else key: _mask(item)
            if isinstance(key, str) and is_secret_key(key)
            else redact(item, _depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, _depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return redact_text(bytes(value).decode("utf-8", "backslashreplace"))
    return redact_text(_text_of(value))


def is_secret_key(key: str) -> bool:
    """Whether the value under this key is a secret whatever it looks like."""
    return key.strip().lower().replace("-", "").replace("_", "") in SECRET_KEYS


def redact_text(text: str) -> str:
    """`text` with everything that looks like a secret masked."""
    if len(text) < 7 or not _SUSPECT.search(text):
        return text
    for pattern, _, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


def secret_spans(text: str) -> list[tuple[int, int]]:
    """Where `redact_text` would mask something, as start and end, from left to right and apart from one another."""
    if not _SUSPECT.search(text):
        return []
    found = sorted(
        match.span(group)
        for pattern, groups, _ in _RULES
        for match in pattern.finditer(text)
        for group in groups
        if match[group] and not _MASKED.fullmatch(match[group])
    )
    spans: list[tuple[int, int]] = []
    for start, end in found:
        if spans and start < spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def mask(secret: str) -> str:
    """Three first and two last characters of a long secret, nothing of a short one. The name of a scheme stays."""
    scheme = _SCHEME.fullmatch(secret)
    if scheme:
        return f"{scheme[1]} {mask(scheme[2])}"
    if not secret or _MASKED.fullmatch(secret):
        return secret
    return f"{secret[:3]}…{secret[-2:]}" if len(secret) >= _LONG else REPLACED


def _mask(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return [mask(item) for item in value]
    return REPLACED


def storable(value: Any, _depth: int = 0) -> Any:
    """`value` as JSON that every database takes: NUL and lone surrogates escaped, no NaN, no huge number, text keys."""
    if isinstance(value, str):
        return storable_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else _wide(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(float(value))
    if _depth > 4 * MAX_DEPTH:
        return TOO_DEEP  # whatever refers to itself ends here
    if isinstance(value, Mapping):
        return {
            storable_text(key if isinstance(key, str) else _text_of(key)): storable(item, _depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [storable(item, _depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return storable_text(bytes(value).decode("utf-8", "backslashreplace"))
    return storable_text(_text_of(value))


def storable_text(text: str) -> str:
    """`text` with NUL and lone surrogates written as escapes, as `\\u0000` and `\\ud83d`."""
    if text.isascii():
        return text.replace("\x00", "\\u0000") if "\x00" in text else str(text)
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode("utf-8")


def _wide(value: int) -> str:
    """A number that no database column holds; one of thousands of digits cannot even be written out."""
    return str(value) if value.bit_length() <= 1024 else f"a number of {value.bit_length()} bits"


def _text_of(value: Any) -> str:
    """What an object says of itself, even when saying it fails."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a broken __str__ must not lose the record it is part of
        return f"<{type(value).__name__} that cannot be shown>"
