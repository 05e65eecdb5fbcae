"""What every adapter does: build the request to the upstream, and read what an error answer says.

An adapter knows addresses, headers and error bodies of one kind of upstream; the bytes of its stream are relay.wire's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import quote

import httpx
import orjson

from relay.ending import Cause
from relay.routing import CredentialSpec, UpstreamSpec
from relay.transport import pairs_of, request_of

# Hop-by-hop, ours to decide, or the client's own secret: never sent on. Everything else is the client's to say.
DROPPED_HEADERS = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade proxy-connection"
    b" host content-length content-encoding accept-encoding expect authorization x-api-key x-goog-api-key cookie"
    b" forwarded via x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-real-ip x-request-id"
    b" x-epitaph-drill".split()
)
# What the upstream says to the client about retrying and limits, and about the body.
PASSED_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-", b"retry-after", b"openai-", b"anthropic-")
PASSED_HEADERS = frozenset({b"x-should-retry", b"content-type", b"content-language"})
IN_PATHS = "/:@!$&'()*+,;=-._~"  # what stands for itself there (RFC 3986, 3.3); `?`, `#` and `%` do not
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
REQUEST_ID_HEADERS = (b"x-request-id", b"request-id", b"cf-ray")
DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|h|m|s|d)")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
REFUSED_KEY_CODES = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED"})
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "quota_exceeded", "billing_error"})


class Adapter:
    """One kind of upstream. Subclasses say how the credential is shown."""

    protocol = ""
    models_path = "/v1/models"  # what lists its models, the cheapest call there is
    default_headers: tuple[tuple[bytes, bytes], ...] = ()  # what the upstream insists on, when the client does not say it

    def __init__(self) -> None:
        self._urls: dict[tuple[str, str], httpx.URL] = {}

    def credential_headers(self, credential: CredentialSpec) -> list[tuple[bytes, bytes]]:
        """The headers that carry the secret."""
        raise NotImplementedError

    def url(self, upstream: UpstreamSpec, path: str, query: str) -> httpx.URL:
        """`base_url` and the client's path, which is not percent-encoded, less its version prefix."""
        key = (upstream.base_url, f"{path}?{query}" if query else path)
        url = self._urls.get(key)
        if url is None:
            if len(self._urls) > 1000:  # paths with ids in them are without number
                self._urls.clear()
            tail = path.removeprefix("/v1beta").removeprefix("/v1")
            address = upstream.base_url.rstrip("/") + quote(tail, safe=IN_PATHS) + (f"?{query}" if query else "")
            url = self._urls[key] = httpx.URL(address)
        return url

    def request(
        self,
        upstream: UpstreamSpec,
        credential: CredentialSpec,
        method: str,
        path: str,
        query: str,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        fresh: bool,
    ) -> httpx.Request:
        """The request to `upstream`: the client's headers less what is not its to send, and the credential."""
        url = self.url(upstream, path, query)
        sent = [pair for pair in headers if pair[0] not in DROPPED_HEADERS]
        if named := named_by_connection(headers):
            sent = [pair for pair in sent if pair[0] not in named]
        for default in self.default_headers:
            if not any(name == default[0] for name, _ in sent):
                sent.append(default)
        sent.append((b"host", url.netloc))
        sent.append((b"accept-encoding", b"identity"))
        sent += self.credential_headers(credential)
        if body or method in ("POST", "PUT", "PATCH"):
            sent.append((b"content-length", b"%d" % len(body)))
        extensions = {
            "timeout": {"connect": upstream.connect_timeout},
            "proxy": credential.proxy or upstream.proxy,
            "ca_bundle": upstream.ca_bundle or None,
            "fresh": fresh,
        }
        return request_of(method, url, sent, body, extensions)


def named_by_connection(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The headers that are for one hop alone, since `Connection` names them (RFC 9110, 7.6.1)."""
    named: set[bytes] = set()
    for name, value in headers:
        if name == b"connection" and value not in (b"keep-alive", b"close"):
            named.update(token.strip() for token in value.lower().split(b","))
    return named


def by_http(request: httpx.Request) -> httpx.Request:
    """The same request by HTTP where the upstream's address is a WebSocket's, which takes streams alone."""
    if request.url.scheme in ("ws", "wss"):
        request.url = request.url.copy_with(scheme=request.url.scheme.replace("ws", "http"))
    return request


def passed_headers(headers: httpx.Headers) -> list[tuple[str, str]]:
    """The upstream's headers that belong to the client, cleaned of what HTTP forbids in a value."""
    return [
        (name.decode("latin-1"), clean(value))
        for name, value in pairs_of(headers)
        if name in PASSED_HEADERS or name.startswith(PASSED_PREFIXES)
    ]


def asked_wait(headers: Mapping[str, str], status: int, now: float) -> float | None:
    """Seconds for which an error answer asks to be left alone: the longest of what its headers say; None: nothing.

    `Retry-After` (RFC 9110: seconds or a date) and `retry-after-ms` at any status; where a limit was met, the times at
    which the limits are full again as well: OpenAI's are durations (`6m0s`), Anthropic's moments (RFC 3339).
    `now` is in epoch seconds.
    """
    waits = [_number(headers.get("retry-after-ms")) / 1000, _retry_after(headers.get("retry-after", ""), now)]
    if status in (429, 529):
        for name, value in headers.items():
            if name.startswith("x-ratelimit-reset"):
                waits.append(_duration(value))
            elif name.startswith("anthropic-ratelimit-") and name.endswith("-reset"):
                waits.append(_until(value, now))
    longest = max(waits)
    return longest if longest > 0 else None


def _retry_after(value: str, now: float) -> float:
    if value[:1].isalpha():
        try:
            return parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return 0.0
    return _number(value)


def _number(value: str | None) -> float:
    try:
        number = float(value or 0)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _duration(value: str) -> float:
    """`1h2m3.5s`, `120ms`, or bare seconds."""
    parts = DURATION.findall(value)
    if parts and "".join(number + unit for number, unit in parts) == value:
        return sum(float(number) * UNITS[unit] for number, unit in parts)
    return _number(value)


def _until(value: str, now: float) -> float:
    try:
        return datetime.fromisoformat(value).timestamp() - now
    except (ValueError, OverflowError):
        return 0.0


def clean(value: bytes) -> str:
    """A header value without control characters: those are refused by servers and would kill the answer."""
    text = value.decode("latin-1")
    return text if text.isprintable() else CONTROL.sub(" ", text)


def upstream_request_id(headers: httpx.Headers) -> str | None:
    """The upstream's own id of the request, for evidence."""
    found = {name: value for name, value in pairs_of(headers) if name in REQUEST_ID_HEADERS}
    for name in REQUEST_ID_HEADERS:
        if name in found:
            return clean(found[name])[:256]
    return None


def error_code(body: bytes) -> tuple[str | None, str]:
    """The code and the message in a JSON error body of any dialect; (None, "") when it has none."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, ""
    if isinstance(parsed, list) and parsed:  # Gemini answers with a list when it meant to stream
        parsed = parsed[0]
    error = parsed.get("error") if isinstance(parsed, dict) else None
    if isinstance(error, str):
        return None, error
    if not isinstance(error, dict):
        return None, ""
    details = error.get("details")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict) and detail.get("reason") in REFUSED_KEY_CODES:  # Gemini says it under a 400
            error = error | {"code": detail["reason"]}
    code = next((error[key] for key in ("code", "status", "type") if isinstance(error.get(key), str)), None)
    message = error.get("message")
    return code, message if isinstance(message, str) else ""


def cause_of_status(status: int, code: str | None) -> Cause:
    """What an upstream's error status means."""
    if 300 <= status < 400:
        return Cause.REDIRECTED
    if status == 402 or code in QUOTA_CODES:
        return Cause.QUOTA_EXHAUSTED
    if status in (401, 403) or code in REFUSED_KEY_CODES:
        return Cause.AUTH_REJECTED
    if status == 429:
        return Cause.RATE_LIMITED
    if status == 529:
        return Cause.OVERLOADED
    return Cause.HTTP_STATUS
