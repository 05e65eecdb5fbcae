"""The answer broke off, took too long, said that it failed, or could not be read."""

from __future__ import annotations

from functools import partial

from relay.ending import Cause, Phase
from relay.rehearsal.matrix.row import ANY, FIRST, Client, Gets
from relay.rehearsal.matrix.shapes import (
    BOTH,
    CHAT,
    NOT_RESPONSES,
    WHOLE_ONLY,
    broken,
    completed,
    failed,
    premature,
    unusable,
)

# Broke off in the stream
BROKEN = (
    broken("eof", "FIN after N events: the body ended properly", cause=Cause.EOF),
    broken("eof-40", "the same after 40 deltas", script="eof,after=40", cause=Cause.EOF),
    broken("eof-bare", "the same, told by the connection's close alone", cause=Cause.EOF),
    broken("half-event", "FIN inside an event", cause=Cause.EOF),
    broken("half-event-cut", "FIN inside an event and inside the body", script="half-event,end=cut", cause=Cause.TRUNCATED_BODY),
    broken("half-event-reset", "reset inside an event", script="half-event,end=reset", cause=Cause.RESET),
    broken("cut", "chunked body cut", cause=Cause.TRUNCATED_BODY),
    broken("cut-after-one", "the same after one delta", script="cut,after=1", cause=Cause.TRUNCATED_BODY),
    broken("short-length", "Content-Length short", cause=Cause.TRUNCATED_BODY),
    broken("bad-chunk", "bad chunk size", cause=Cause.UPSTREAM_PROTOCOL),
    broken(
        "bad-chunk-held",
        "bad chunk size, then silence",
        script="bad-chunk,hold=1",
        reference="bad-chunk",
        cause=Cause.UPSTREAM_PROTOCOL,
    ),
    broken("reset", "reset after N events", cause=Cause.RESET),
    broken("reset-bare", "reset of a body that its close would end", cause=Cause.RESET),
    broken("tool-cut", "cut inside a tool call's arguments", cause=Cause.TRUNCATED_BODY),
    broken("half-last", "half of the terminal event, then a clean end", cause=Cause.EOF),
    broken("gzip-cut", "a compressed body without its end", reference="eof", cause=Cause.TRUNCATED_BODY),
    broken("zstd-cut", "the same with zstd", script="gzip-cut,coding=zstd", reference="eof", cause=Cause.TRUNCATED_BODY),
    failed(
        "gzip-bad",
        "a compressed body that goes bad",
        script="gzip-bad,gap_ms=60",
        cause=Cause.BAD_COMPRESSION,
        phase=Phase.STREAMING,
        status=200,
        gets=Gets.TOLD,
        reference="eof",
    ),
    broken(
        "no-done-cut",
        "finish reason, then the body is cut",
        cause=Cause.TRUNCATED_BODY,
        protocols=NOT_RESPONSES,
    ),
    *(
        broken(
            f"ws-close-{code}",
            f"upstream WebSocket closes with {code}",
            script=f"ws-close,code={code},reason=because",
            reference="eof",
            cause=Cause.WS_CLOSE,
            protocols=("responses",),
            upstream="sockets",
            evidence={"close_code": code} | ({} if code == 1006 else {"close_reason": "because"}),
        )
        for code in (1000, 1001, 1006, 1009, 1011, 1013, 4001)
    ),
    broken(
        "read-late",
        "cut while the client read late: what came whole still reaches it",
        script="cut,after=14,size=400000",
        cause=Cause.TRUNCATED_BODY,
        client=Client(after=FIRST, waits=0.6, buffer=8192),
    ),
    broken(
        "reset-read-late",
        "reset while the client read late",
        script="reset,after=14,size=400000",
        cause=Cause.RESET,
        client=Client(after=FIRST, waits=0.6, buffer=8192),
    ),
)

# Whole answers that broke
half = partial(premature, phase=Phase.WAITING, status=504, gets=Gets.ERROR, modes=WHOLE_ONLY, attempts=1, credentials=2)
BROKEN_WHOLE = (
    half("whole-cut", "whole answer: body cut", script="cut", cause=Cause.TRUNCATED_BODY),
    half("whole-short", "whole answer: Content-Length short", script="short-length", cause=Cause.TRUNCATED_BODY),
    half("whole-reset", "whole answer: reset", script="reset", cause=Cause.RESET),
    half("whole-eof-bare", "whole answer: half of it, ended by the close", script="eof-bare", cause=Cause.TRUNCATED_BODY),
    half("whole-reset-bare", "whole answer: half of it, ended by a reset", script="reset-bare", cause=Cause.RESET),
    half("whole-gzip-cut", "whole answer: compressed, without its end", script="gzip-cut", cause=Cause.TRUNCATED_BODY),
    half("whole-bad-chunk", "whole answer: bad chunk size", script="bad-chunk", cause=Cause.UPSTREAM_PROTOCOL),
    unusable("whole-html", "whole answer: a page", script="html", cause=Cause.MALFORMED_EVENT, modes=WHOLE_ONLY),
    unusable("whole-malformed", "whole answer: not JSON", script="malformed", cause=Cause.MALFORMED_EVENT, modes=WHOLE_ONLY),
    failed(
        "whole-idle",
        "whole answer: silence in the middle",
        script="idle",
        cause=Cause.IDLE_TIMEOUT,
        phase=Phase.WAITING,
        status=504,
        gets=Gets.ERROR,
        modes=WHOLE_ONLY,
        upstream="hasty",
    ),
)

# Took too long
late = partial(failed, phase=Phase.STREAMING, status=200, gets=Gets.TOLD)
LATE = (
    late("idle", "silence after N events", cause=Cause.IDLE_TIMEOUT, upstream="hasty", reference="eof", reason=r"\d\.\d s"),
    late(
        "half-event-held",
        "silence inside an event",
        script="half-event,end=hold",
        reference="half-event",
        cause=Cause.IDLE_TIMEOUT,
        upstream="hasty",
    ),
    late(
        "pings",
        "only pings for long",
        script="pings,every=0.3",
        cause=Cause.STALLED,
        upstream="stalls",
        reference="eof",
        heartbeats=ANY,
    ),
    late("trickle", "a line that grows and never ends", cause=Cause.STALLED, upstream="stalls", reference="eof"),
    late(
        "total",
        "total time over, with the stream flowing",
        script="ok,events=200,gap_ms=100",
        reference="ok,events=200,gap_ms=0",
        cause=Cause.TOTAL_TIMEOUT,
        upstream="total",
        gets=Gets.TOLD_SO_FAR,
    ),
)

# Said that it failed
in_band = partial(failed, cause=Cause.ERROR_EVENT, phase=Phase.STREAMING, status=200, gets=Gets.WHOLE)
in_band_first = partial(in_band, gets=Gets.PASSED, status=500)
SAID = (
    in_band_first("error-first", "an error as the first event"),
    in_band_first("error-first-opened", "an error behind the opening events", script="error-first,opened=1"),
    in_band_first("error-first-429", "the same, a rate limit", script="error-first,code=429", status=429),
    in_band_first("error-field-first", "llama.cpp's `error:` line first", script="error-field,after=0"),
    in_band_first("error-string-first", "an error that is a bare text, first", script="error-string,after=0", status=502),
    in_band_first("nul-first", "an error text with NUL and a lone surrogate, first", script="nul-in-error,after=0"),
    in_band_first("overloaded-in-band", "overloaded, told after the 200", status=529),
    in_band(
        "error-later",
        "an error event after some deltas",
        evidence={"error_code": "server_error"},
        differs={"messages": {"evidence": {"error_code": "api_error"}}},
    ),
    in_band("error-then-done", "the same, with the end marker behind it: no end after an error", reference="error-later"),
    in_band("error-with-choices", "an error beside empty `choices`", protocols=CHAT),
    in_band("error-field", "llama.cpp's `error:` line"),
    in_band("error-string", "an error that is a bare text"),
    in_band("response-failed", "`response.failed`", protocols=("responses",)),
    in_band("error-behind-tools", "an error event after one delta", script="error-later,after=1"),
    in_band("nul-in-error", "an error text with NUL and a lone surrogate"),
    in_band_first("json-error-200", "a JSON error under a 200", phase=Phase.WAITING, modes=BOTH),
    in_band_first(
        "whole-error", "an error object in place of a whole answer", script="error-first", phase=Phase.WAITING, modes=WHOLE_ONLY
    ),
)

# Cannot be read, and passes all the same; or is too large
UNREADABLE = (
    completed(
        "malformed", "an event that is no JSON: passed on and noted", gets=Gets.WHOLE, evidence={"notes": "malformed-event"}
    ),
    completed("bad-utf8", "an event that is no UTF-8: passed on and noted", gets=Gets.WHOLE, evidence={"notes": "bad-encoding"}),
    failed(
        "oversized",
        "an event over the limit",
        cause=Cause.OVERSIZED_EVENT,
        phase=Phase.STREAMING,
        status=200,
        gets=Gets.TOLD,
        reference="eof",
        protocols=CHAT,
    ),
)
