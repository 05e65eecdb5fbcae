"""An answer that the gateway itself gives: refused requests and failed upstreams, in the caller's protocol."""

from __future__ import annotations

import orjson
from django.http import HttpResponse

from relay.ending import CAUSES, Cause, Outcome
from relay.exchange import Exchange
from relay.wire import ollama
from relay.wire.events import ClientError
from relay.wire.registry import DIALECTS, Dialect

GEMINI_VERBS = frozenset(
    {"generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents", "predict"}
)


class Refusal(Exception):
    """The request goes no further. `cause` says why; the message is for the caller and names the field at fault."""

    def __init__(self, cause: Cause, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.cause = cause
        self.message = message


def dialect_of_path(path: str) -> Dialect:
    """The protocol that a caller of `path` speaks; OpenAI's where the path does not tell."""
    if path.startswith("/v1/messages"):
        return DIALECTS["messages"]
    if path.startswith("/v1/responses"):
        return DIALECTS["responses"]
    if path.startswith("/v1beta/") or (path.startswith("/v1/models/") and path.rpartition(":")[2] in GEMINI_VERBS):
        return DIALECTS["gemini"]
    return DIALECTS["ollama" if path in ollama.PATHS else "chat"]


def code_of(cause: Cause) -> str:
    """The machine-readable code of an answer of ours: the cause in snake case."""
    premature = CAUSES[cause].outcome is Outcome.UPSTREAM_PREMATURE
    return "upstream_premature_close" if premature else cause.value.replace("-", "_")


def client_error(exchange: Exchange, cause: Cause, message: str, status: int | None = None) -> ClientError:
    """What the caller is told, with the request id in the text so that a screenshot is enough to find the record."""
    return ClientError(
        status=status or CAUSES[cause].status or 500,
        code=code_of(cause),
        message=f"{message} (request id {exchange.request_id})",
    )


def refuse(exchange: Exchange, refusal: Refusal, dialect: Dialect, noted: bool = False) -> HttpResponse:
    """The HTTP answer to a refused request; notes the cause."""
    if not noted:
        exchange.note(refusal.cause, refusal.message)
    error = client_error(exchange, refusal.cause, refusal.message, refusal.status)
    return error_response(refusal.cause, error, dialect)


def error_response(cause: Cause, error: ClientError, dialect: Dialect) -> HttpResponse:
    """A JSON error in the caller's protocol, with `Proxy-Status` (RFC 9209), which says that it is ours and why."""
    response = HttpResponse(orjson.dumps(dialect.error_body(error)), status=error.status, content_type="application/json")
    if CAUSES[cause].outcome not in (Outcome.COMPLETED, Outcome.INCOMPLETE):
        details = "".join(char for char in error.message if " " <= char <= "~" and char not in '"\\')
        response["Proxy-Status"] = f'epitaph; error={_proxy_error(cause)}; details="{details[:200]}"'
    if cause in (Cause.RELAY_BUSY, Cause.DRAINING, Cause.OVER_LIMIT):
        response["Retry-After"] = "1"
    if error.status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


_PROXY_ERRORS = dict.fromkeys(Outcome, "proxy_internal_error") | {
    Outcome.REJECTED: "http_request_error",
    Outcome.UPSTREAM_ERROR: "http_response_incomplete",
    Outcome.UPSTREAM_PREMATURE: "http_response_incomplete",
}


def _proxy_error(cause: Cause) -> str:
    return {
        Cause.CONNECT_REFUSED: "connection_refused",
        Cause.CONNECT_TIMEOUT: "connection_timeout",
        Cause.DNS: "dns_error",
        Cause.TLS: "tls_protocol_error",
        Cause.UNREACHABLE: "destination_ip_unroutable",
        Cause.EOF: "connection_terminated",
        Cause.RESET: "connection_terminated",
        Cause.TRUNCATED_BODY: "http_response_incomplete",
        Cause.UPSTREAM_PROTOCOL: "http_protocol_error",
        Cause.FIRST_BYTE_TIMEOUT: "connection_read_timeout",
        Cause.IDLE_TIMEOUT: "connection_read_timeout",
        Cause.TOTAL_TIMEOUT: "http_response_timeout",
        Cause.REQUEST_WRITE_FAILED: "connection_terminated",
        Cause.REDIRECTED: "http_protocol_error",
        Cause.BAD_COMPRESSION: "http_response_content_coding",
        Cause.OVERSIZED_EVENT: "http_response_body_size",
        Cause.NO_UPSTREAM_AVAILABLE: "destination_unavailable",
        Cause.NO_ROUTE: "destination_not_found",
        Cause.RELAY_BUSY: "connection_limit_reached",
        Cause.FORBIDDEN_MODEL: "http_request_denied",
        Cause.BAD_KEY: "http_request_denied",
    }.get(cause) or _PROXY_ERRORS[CAUSES[cause].outcome]
