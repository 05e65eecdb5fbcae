"""Which cause an exception of the layers below stands for: the one place where that is decided.

Two tables: errors while connecting, and the ways in which an open connection can be lost. What is in neither is a bug
of ours and passes through unchanged, so that it keeps its stack.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl

import aiohttp
from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError

from relay.ending import Cause
from relay.transport.facts import TransportFailure

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
CONNECT_ERRNOS: dict[int | None, Cause] = {
    errno.ECONNREFUSED: Cause.CONNECT_REFUSED,
    errno.ETIMEDOUT: Cause.CONNECT_TIMEOUT,
    **dict.fromkeys(EXHAUSTED, Cause.RELAY_EXHAUSTED),
}
BROKEN_HANDSHAKE = frozenset({None, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})


def of_connecting(error: Exception, place: str, *, secure: bool, proxied: bool) -> TransportFailure | None:
    """The failure that an exception of `connector.connect` stands for; `None` when it is none of the network's.

    `place` is host and port; `secure` says that TLS was to be spoken, `proxied` that a proxy stands between.
    """
    if isinstance(error, TimeoutError):
        return TransportFailure(Cause.CONNECT_TIMEOUT, f"no connection to {place} within the connect timeout")
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "new thread" in str(error)):
        return TransportFailure(Cause.RELAY_EXHAUSTED, f"no resources left to connect to {place}")
    if isinstance(error, TransportFailure):  # our protocol, in a CONNECT exchange with the proxy
        return TransportFailure(Cause.PROXY, f"the proxy on the way to {place}: {error.detail}")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return TransportFailure(Cause.PROXY, f"the proxy answered {error.status} to CONNECT {place}")
    if isinstance(error, aiohttp.ClientResponseError):
        return TransportFailure(Cause.PROXY, f"the proxy on the way to {place} does not speak HTTP")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return TransportFailure(Cause.TLS, f"the certificate of {place} was not accepted: {_certificate(error)}")
    if isinstance(error, aiohttp.InvalidURL):
        return TransportFailure(Cause.DNS, f"{place} is not an address that can be resolved")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _of_os_error(error, error.os_error, place, secure=secure, proxied=proxied)
    if isinstance(error, OSError):
        return _of_os_error(error, error, place, secure=secure, proxied=proxied)
    return None


def _of_os_error(error: Exception, below: OSError, place: str, *, secure: bool, proxied: bool) -> TransportFailure:
    said = told(below)
    cause = CONNECT_ERRNOS.get(below.errno)
    if cause is Cause.RELAY_EXHAUSTED:
        return TransportFailure(cause, f"could not open a connection to {place}: {said}")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return TransportFailure(Cause.PROXY, f"could not reach the proxy on the way to {place}: {said}")
    if isinstance(below, socket.gaierror):
        if proxied:
            return TransportFailure(Cause.PROXY, f"could not resolve the proxy on the way to {place}: {said}")
        return TransportFailure(Cause.DNS, f"could not resolve {place}: {said}")
    if isinstance(below, ssl.SSLError) or (secure and below.errno in BROKEN_HANDSHAKE):
        return TransportFailure(Cause.TLS, f"no TLS with {place}: {said}")
    if cause is None and isinstance(error, aiohttp.ClientConnectorDNSError):
        return TransportFailure(Cause.DNS, f"could not resolve {place}: {said}")
    return TransportFailure(cause or Cause.UNREACHABLE, f"could not connect to {place}: {said}")


def _certificate(error: aiohttp.ClientConnectorCertificateError) -> str:
    below = error.certificate_error
    return getattr(below, "verify_message", "") or str(below)


def told(error: BaseException) -> str:
    """An operating system's error in words, with its symbol, without addresses."""
    if isinstance(error, ssl.SSLError):
        return getattr(error, "reason", None) or type(error).__name__  # not every way to raise one sets it
    if isinstance(error, socket.gaierror):
        return error.strerror or type(error).__name__
    if isinstance(error, OSError) and error.errno:
        return f"{os.strerror(error.errno)} ({errno.errorcode.get(error.errno, error.errno)})"
    return str(error) or type(error).__name__


def of_loss(error: BaseException | None, *, unsent: bool, answered: bool, received: int) -> tuple[Cause, str]:
    """Cause and detail of a connection that ended before the answer was whole; `error` is `None` after a FIN.

    A write that could not be finished says more than the reset that stopped it, as long as nothing was answered.
    """
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        error = None
    if not answered and unsent:
        return Cause.REQUEST_WRITE_FAILED, f"the connection broke while the request was being sent: {_ended(error)}"
    when = f"after {received} bytes of the body" if answered else "before any header"
    if isinstance(error, ssl.SSLError):
        return Cause.TLS, f"TLS failed {when}: {told(error)}"
    if error is not None:
        return Cause.RESET, f"the connection was lost {when}: {told(error)}"
    if answered:
        return Cause.TRUNCATED_BODY, f"the connection was closed {when}, which was not its end"
    return Cause.EOF, f"the connection was closed {when}"


def _ended(error: BaseException | None) -> str:
    return "closed by the upstream" if error is None else told(error)


def of_truncation(error: Exception, received: int) -> tuple[Cause, str]:
    """Cause and detail of a body whose framing promised more than came before the FIN."""
    if isinstance(error, ContentLengthError):
        return Cause.TRUNCATED_BODY, f"Content-Length promised more than the {received} bytes that came"
    return Cause.TRUNCATED_BODY, f"the chunked body ended after {received} bytes without its last chunk"


def of_parsing(error: Exception) -> tuple[Cause, str]:
    """Cause and detail of bytes that are not HTTP. The bytes themselves stay out of the text."""
    text = error.message if isinstance(error, HttpProcessingError) else str(error)
    lines = [line.strip().rstrip(":") for line in text.splitlines() if line.strip()]
    said = lines[1] if len(lines) > 1 and lines[0] == "Bad status line" else (lines[0] if lines else "")
    if said.startswith("Got more than"):  # the line that was too long follows in the same sentence
        said = "a line is too long"
    return Cause.UPSTREAM_PROTOCOL, f"the upstream broke HTTP: {said or type(error).__name__}"
