"""The upstream gave nothing that a client could use: not reached, answered with a status, silent, or nonsense."""

from __future__ import annotations

from functools import partial

from relay.ending import Cause, Fault, Phase
from relay.rehearsal.matrix.row import Gets
from relay.rehearsal.matrix.shapes import (
    BOTH,
    answered,
    failed,
    premature,
    refused,
    unusable,
)

# Could not be reached
unconnected = partial(failed, phase=Phase.CONNECTING, gets=Gets.ERROR, modes=BOTH, script="ok")
CONNECTING = (
    unconnected("port-closed", "port closed", cause=Cause.CONNECT_REFUSED, status=502, upstream="closed"),
    unconnected("syn-ignored", "SYN ignored", cause=Cause.CONNECT_TIMEOUT, status=504, upstream="ignores"),
    unconnected("unknown-host", "unknown host", cause=Cause.DNS, fault=Fault.UNKNOWN, status=502, upstream="nowhere"),
    unconnected("address-without-route", "no route to the address", cause=Cause.UNREACHABLE, status=502, upstream="no-route"),
    unconnected("tls-broken", "a certificate that nobody signed", cause=Cause.TLS, status=502, upstream="no-tls"),
    unconnected("proxy-away", "egress proxy away", cause=Cause.PROXY, fault=Fault.OPERATOR, status=502, upstream="no-proxy"),
)

# Answered with a status
ANSWERED = (
    *(
        refused(f"status-{code}", f"status {code}", script=f"status,code={code}", status=code, fault=Fault.CLIENT, attempts=1)
        for code in (400, 404, 413, 422)
    ),
    *(refused(f"status-{code}", f"status {code}", script=f"status,code={code}", status=code) for code in (500, 503)),
    refused("status-529", "status 529", script="status,code=529", cause=Cause.OVERLOADED, status=529),
    refused(
        "status-429",
        "status 429 with Retry-After",
        script="status,code=429,retry_after=7",
        cause=Cause.RATE_LIMITED,
        status=429,
        credentials=1,
        headers={"retry-after": "7"},
    ),
    refused(
        "status-402",
        "status 402",
        script="status,code=402",
        cause=Cause.QUOTA_EXHAUSTED,
        status=402,
        fault=Fault.OPERATOR,
        credentials=1,
    ),
    refused(
        "quota-429",
        "status 429 with `insufficient_quota`",
        script="status,code=429,error=insufficient_quota",
        protocols=("chat", "responses"),
        cause=Cause.QUOTA_EXHAUSTED,
        status=429,
        fault=Fault.OPERATOR,
        credentials=1,
    ),
    *(
        answered(
            f"status-{code}",
            f"status {code}, of our credential",
            script=f"status,code={code}",
            cause=Cause.AUTH_REJECTED,
            status=502,
            fault=Fault.OPERATOR,
            gets=Gets.ERROR,
            credentials=1,
        )
        for code in (401, 403)
    ),
    *(
        answered(
            f"redirect-{code}",
            f"a redirect ({code}), which is never followed",
            script=f"redirect,code={code}",
            cause=Cause.REDIRECTED,
            status=502,
            fault=Fault.OPERATOR,
            gets=Gets.ERROR,
            attempts=1,
        )
        for code in (301, 307)
    ),
    *(
        answered(
            f"status-502-{body}",
            f"status 502 with {words}",
            script=f"status,code=502,body={body}",
            cause=Cause.HTTP_STATUS,
            status=502,
            gets=Gets.ERROR,
            evidence=evidence,
        )
        for body, words, evidence in (
            ("html", "a page", {"upstream_body.size": 91}),
            ("big", "2 MB of page", {"upstream_body.size": 2_000_091}),
            ("endless", "a body that never ends", {}),
            ("empty", "no body", {"upstream_body.size": 0}),
            ("text", "bare text", {"upstream_body.size": 22}),
        )
    ),
    answered(
        "compressed-error", "a compressed error body", script="gzip-status", cause=Cause.HTTP_STATUS, status=500, gets=Gets.PASSED
    ),
)

# Said nothing, or nothing of use
nothing = partial(premature, phase=Phase.WAITING, status=504, gets=Gets.ERROR)
NOTHING = (
    nothing("close-before-headers", "closed after the request, before headers", cause=Cause.EOF, modes=BOTH),
    nothing("reset-before-headers", "reset after the request, before headers", cause=Cause.RESET, modes=BOTH),
    failed(
        "silent",
        "nothing after the request",
        cause=Cause.FIRST_BYTE_TIMEOUT,
        phase=Phase.WAITING,
        status=504,
        gets=Gets.ERROR,
        upstream="hasty",
        modes=BOTH,
    ),
    failed(
        "headers-then-silence",
        "200 and its headers, then nothing",
        cause=Cause.FIRST_BYTE_TIMEOUT,
        phase=Phase.WAITING,
        status=504,
        gets=Gets.ERROR,
        upstream="hasty",
        modes=BOTH,
    ),
    nothing("headers-then-end", "200, and an empty body that ends properly", cause=Cause.EOF),
    nothing("headers-then-close", "200 and its headers, then a close", cause=Cause.TRUNCATED_BODY, modes=BOTH),
    nothing("headers-then-reset", "200 and its headers, then a reset", cause=Cause.RESET, modes=BOTH),
    nothing("empty-200", "200 with Content-Length 0", cause=Cause.EOF, modes=BOTH),
    nothing("comments-only", "comments, then the end", cause=Cause.EOF),
    nothing("done-only", "only the end marker (`[DONE]`)", cause=Cause.EOF, phase=Phase.STREAMING),
    unusable("coding-unknown", "a content coding that nobody knows", cause=Cause.BAD_COMPRESSION, modes=BOTH),
    unusable("gzip-not", "gzip that is none", cause=Cause.BAD_COMPRESSION, modes=BOTH),
    unusable("html", "200 with a page", cause=Cause.NOT_A_STREAM),
    unusable(
        "html-mislabelled", "200 with a page that calls itself a stream", script="html,labelled=0", cause=Cause.NOT_A_STREAM
    ),
    nothing("bad-status-line", "an answer that is not HTTP", cause=Cause.UPSTREAM_PROTOCOL, modes=BOTH),
)
