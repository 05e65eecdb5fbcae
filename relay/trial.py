"""Trying a credential: one cheap call that lists the upstream's models, and what came of it in a sentence.

Invariant: a trial never raises for anything that an upstream does, is over within `PATIENCE`, reads a bounded answer,
and leaves an `egress` audit entry. No text that it gives holds the secret, even when the upstream repeats it.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from textwrap import shorten

import httpx
import orjson

from relay import routing
from relay.adapters import ADAPTERS
from relay.adapters.base import by_http, cause_of_status, error_code
from relay.ending import Cause, Outcome
from relay.exchange import record_call
from relay.models import Credential
from relay.routing import CredentialSpec, UpstreamSpec
from relay.transport import TransportFailure, UpstreamBody, UpstreamTransport
from relay.vault import UnreadableSecret

HEADERS = ((b"accept", b"application/json"), (b"user-agent", b"epitaph"))
PATIENCE = 15.0  # seconds for the whole call
LARGEST_ANSWER = 4 << 20  # bytes
LONGEST_TEXT = 200


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it. `text` is a sentence for a person."""

    good: bool
    text: str
    status: int | None = None
    cause: Cause | None = None
    duration: float = 0.0  # seconds
    received: int = 0


def try_credential(credential: Credential) -> Trial:
    """Make the call, note a failure on the credential's row, and record it. For a thread without an event loop."""
    upstream = routing.upstream_spec(credential.upstream)
    adapter = ADAPTERS.get(upstream.protocol)
    if adapter is None:
        return Trial(False, f"Not tried: nothing here speaks {upstream.protocol} yet.")
    try:
        spec = routing.credential_spec(credential)
    except UnreadableSecret as error:
        return Trial(False, f"Not tried: its secret was {error}. Set it again.")
    request = by_http(adapter.request(upstream, spec, "GET", adapter.models_path, "", HEADERS, b"", fresh=True))
    at = time.time()
    trial = asyncio.run(_make(request, spec.secret))
    if not trial.good:
        when = datetime.fromtimestamp(at, UTC)
        Credential.objects.note_failure(credential.pk, trial.text, when, when)  # shown, but it does not cool
    _record(upstream, spec, request.url.path, trial, at)
    return trial


async def _make(request: httpx.Request, secret: str) -> Trial:
    started = time.monotonic()
    transport = UpstreamTransport()
    try:
        async with asyncio.timeout(PATIENCE):
            status, body = await _exchange(transport, request)
    except TransportFailure as failure:
        trial = Trial(False, f"{failure.cause}: {failure.detail}", cause=failure.cause)
    except TimeoutError:
        trial = Trial(False, f"No whole answer within {PATIENCE:.0f} s.", cause=Cause.FIRST_BYTE_TIMEOUT)
    else:
        trial = _judge(status, body)
    finally:
        await transport.aclose()
    return replace(trial, text=trial.text.replace(secret, "…"), duration=time.monotonic() - started)


async def _exchange(transport: UpstreamTransport, request: httpx.Request) -> tuple[int, bytes]:
    response = await transport.handle_async_request(request)
    stream = response.stream
    assert isinstance(stream, UpstreamBody)
    chunks, size = [], 0
    try:
        while size < LARGEST_ANSWER and (chunk := await stream.read()):
            chunks.append(chunk)
            size += len(chunk)
    finally:
        await stream.aclose()
    return response.status_code, b"".join(chunks)


def _judge(status: int, body: bytes) -> Trial:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if 200 <= status < 300 and isinstance(answer, dict):
        models = answer.get("data", answer.get("models"))
        count = f", {len(models)} models listed" if isinstance(models, list) else ""
        return Trial(True, f"It works: {status}{count}.", status, received=len(body))
    if 200 <= status < 300:
        text = f"{status}, but no JSON came; is the base URL right?"
        return Trial(False, text, status, Cause.MALFORMED_EVENT, received=len(body))
    code, message = error_code(body)
    cause = cause_of_status(status, code)
    if cause is Cause.REDIRECTED:
        message = "redirects are never followed; is the base URL right?"
    said = shorten(" ".join(message.split()), LONGEST_TEXT, placeholder=" …") if message else ""
    return Trial(False, f"{status} {cause}{': ' if said else ''}{said}", status, cause, received=len(body))


def _record(upstream: UpstreamSpec, credential: CredentialSpec, path: str, trial: Trial, at: float) -> None:
    record_call(
        at,
        {
            "method": "GET",
            "path": path,
            "tag": "credential-test",
            "provider": upstream.name,
            "credential": credential.label,
            "credential_id": credential.id,
            "stream": False,
            "status": trial.status,
            "upstream_status": trial.status,
            "outcome": Outcome.COMPLETED if trial.good else Outcome.UPSTREAM_ERROR,
            "cause": trial.cause,
            "error": None if trial.good else trial.text,
            "duration_ms": round(trial.duration * 1000, 3),
            "bytes_in": trial.received,
        },
    )
