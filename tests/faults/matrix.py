"""The fault matrix: one row for each provoked ending. It is run over real sockets, and it makes docs/endings.md.

Sections are in the order in which a request goes. To add a row: say what is provoked in words, with which script of the
rehearsal (`manage.py faultserver --list` names them), and what must come of it. To add a protocol: see protocols.py.
"""

from __future__ import annotations

from functools import partial

from relay.ending import Cause, Fault, Outcome, Phase
from tests.faults.row import ANY, END, Client, Ends, Gets, Leaves, Mode, Row

BOTH = (Mode.STREAM, Mode.WHOLE)
WHOLE_ONLY = (Mode.WHOLE,)
CHAT = ("chat",)
NOT_RESPONSES = ("chat", "messages")

failed = partial(Row, outcome=Outcome.UPSTREAM_ERROR, fault=Fault.UPSTREAM)
premature = partial(Row, outcome=Outcome.UPSTREAM_PREMATURE, fault=Fault.UPSTREAM)
completed = partial(Row, outcome=Outcome.COMPLETED, cause=None, phase=Phase.FINISHING, fault=None, status=200)
shortened = partial(Row, outcome=Outcome.INCOMPLETE, cause=None, phase=Phase.FINISHING, fault=None, status=200)
aborted = partial(Row, outcome=Outcome.CLIENT_ABORT, fault=Fault.CLIENT, ends=Ends.LEFT)
undelivered = partial(Row, outcome=Outcome.CLIENT_WRITE_FAILED, fault=Fault.CLIENT, phase=Phase.STREAMING, status=200)
rejected = partial(Row, outcome=Outcome.REJECTED, fault=Fault.CLIENT, gets=Gets.ERROR)

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
answered = partial(failed, phase=Phase.WAITING, modes=BOTH)
refused = partial(answered, gets=Gets.PASSED, cause=Cause.HTTP_STATUS)
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
        )
        for body, words in (
            ("html", "a page"),
            ("big", "2 MB of page"),
            ("endless", "a body that never ends"),
            ("empty", "no body"),
            ("text", "bare text"),
        )
    ),
    answered(
        "compressed-error", "a compressed error body", script="gzip-status", cause=Cause.HTTP_STATUS, status=500, gets=Gets.PASSED
    ),
)

# Said nothing, or nothing of use
nothing = partial(premature, phase=Phase.WAITING, status=504, gets=Gets.ERROR)
unusable = partial(failed, phase=Phase.WAITING, status=502, gets=Gets.ERROR)
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
    unusable("html", "200 with a page", cause=Cause.NOT_A_STREAM),
    unusable(
        "html-mislabelled", "200 with a page that calls itself a stream", script="html,labelled=0", cause=Cause.NOT_A_STREAM
    ),
    nothing("bad-status-line", "an answer that is not HTTP", cause=Cause.UPSTREAM_PROTOCOL, modes=BOTH),
)

# Broke off in the stream
broken = partial(premature, phase=Phase.STREAMING, status=200, gets=Gets.TOLD)
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
    broken("bad-chunk-held", "bad chunk size, then silence", script="bad-chunk,hold=1", cause=Cause.UPSTREAM_PROTOCOL),
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
    broken(
        "read-late",
        "cut while the client read late: what came whole still reaches it",
        script="cut,after=14,size=400000",
        cause=Cause.TRUNCATED_BODY,
        client=Client(after=b"data:", waits=0.6, buffer=8192),
    ),
    broken(
        "reset-read-late",
        "reset while the client read late",
        script="reset,after=14,size=400000",
        cause=Cause.RESET,
        client=Client(after=b"data:", waits=0.6, buffer=8192),
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
    late("idle", "silence after N events", cause=Cause.IDLE_TIMEOUT, upstream="hasty", reference="eof", reason=r"1\.\d s"),
    late("half-event-held", "silence inside an event", script="half-event,end=hold", cause=Cause.IDLE_TIMEOUT, upstream="hasty"),
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
        script="ok,events=100,gap_ms=100",
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

# Around the terminal event
drops = partial(completed, gets=Gets.WHOLE, reference="ok")
AROUND = (
    completed(
        "no-done",
        "finish reason but no end marker, then a clean end",
        gets=Gets.MARKED,
        protocols=NOT_RESPONSES,
        evidence={"notes": "no-done-marker"},
    ),
    completed(
        "no-done-silence",
        "finish reason but no end marker, then silence",
        gets=Gets.MARKED,
        protocols=NOT_RESPONSES,
        evidence={"notes": "no-done-marker"},
    ),
    completed(
        "no-finish",
        "end marker but never a finish reason",
        gets=Gets.WHOLE,
        protocols=NOT_RESPONSES,
        evidence={"notes": "finish-reason-missing"},
    ),
    completed(
        "unterminated-last",
        "terminal event without its empty line",
        gets=Gets.MENDED,
        evidence={"notes": "unterminated-last-event"},
    ),
    drops("terminal-then-open", "the connection stays open behind the end"),
    drops("terminal-then-reset", "a reset behind the end"),
    drops("terminal-then-cut", "the body cut behind the end"),
    drops(
        "events-after-terminal", "more events behind the end: counted, not passed on", evidence={"notes": "events_after_terminal"}
    ),
    completed(
        "usage-late",
        "usage 0.3 s after the finish reason",
        gets=Gets.WHOLE,
        evidence={"entry.output_tokens": 5},
        request={"stream_options": {"include_usage": True}},
    ),
)

# Ended properly, in whatever spelling
fine = partial(completed, gets=Gets.WHOLE)
FINE = (
    fine("ok", "a whole answer", modes=BOTH),
    fine("tools", "tool calls", modes=BOTH),
    fine(
        "reasoning",
        "reasoning before the answer",
        modes=BOTH,
        evidence={"had_reasoning": True},
        differs={"whole": {"evidence": {}}},
    ),
    fine("multi-choice", "several choices", modes=BOTH, protocols=CHAT),
    fine("crlf", "lines end with CR LF"),
    fine("cr", "lines end with CR"),
    fine("no-space", "no space behind the colon"),
    fine("no-event-line", "no `event:` lines"),
    fine("bom", "a byte order mark first"),
    fine("multi-line", "JSON over two `data:` lines"),
    fine("odd-lines", "comments, ids, unknown fields and events", request={"stream_options": {"include_usage": True}}),
    fine("split", "one byte a write", modes=BOTH),
    fine("big-event", "a delta of 4 MB", modes=BOTH),
    fine(
        "usage-preview",
        "figures that are wrong at first: the last ones count",
        evidence={"entry.output_tokens": 5},
        request={"stream_options": {"include_usage": True}},
    ),
    fine("mid-silence", "a second of silence, then the rest", reference="ok"),
    fine(
        "slow-then-content",
        "silence behind the opening events, then the answer",
        script="slow-then-content,seconds=6",
        reference="ok",
    ),
    *(
        fine(coding, f"compressed with {coding} unasked", modes=BOTH, reference="ok")
        for coding in ("gzip", "deflate", "br", "zstd")
    ),
    fine("bad-header", "a control character in a header that concerns nobody", modes=BOTH),
    fine("no-content-type", "no content type", modes=BOTH),
    fine("wrong-content-type", "the wrong content type", modes=BOTH),
    fine("json-for-stream", "a whole JSON answer for a stream", gets=Gets.CONVERTED),
    *(
        shortened(
            name, words, gets=Gets.WHOLE, modes=BOTH, script=script, protocols=protocols, evidence={"finish_reason": reason}
        )
        for name, words, script, reason, protocols in (
            ("length-chat", "finish reason `length`", "length", "length", CHAT),
            ("filter-chat", "finish reason `content_filter`", "content-filter", "content_filter", CHAT),
            ("length-messages", "stop reason `max_tokens`", "length", "max_tokens", ("messages",)),
            ("refusal-messages", "stop reason `refusal`", "refusal", "refusal", ("messages",)),
            ("length-responses", "`response.incomplete`", "length", "max_output_tokens", ("responses",)),
            ("filter-responses", "the same, content filter", "content-filter", "content_filter", ("responses",)),
            ("unknown-finish", "an unknown finish reason, kept verbatim", "unknown-finish", "mystery", NOT_RESPONSES),
        )
    ),
)

# More than one attempt
again = partial(fine, credentials=2, attempts=2, reference="ok", modes=BOTH)
ATTEMPTS = (
    *(
        again(f"saved-{name}", f"{words}, and the next credential answers", script=f"{script},for_key=-a", saved=(cause,))
        for name, words, script, cause in (
            ("401", "status 401", "status,code=401", Cause.AUTH_REJECTED),
            ("402", "status 402", "status,code=402", Cause.QUOTA_EXHAUSTED),
            ("429", "status 429", "status,code=429,retry_after=30", Cause.RATE_LIMITED),
            ("500", "status 500", "status,code=500", Cause.HTTP_STATUS),
            ("529", "status 529", "status,code=529", Cause.OVERLOADED),
        )
    ),
    *(
        again(
            f"saved-{name}",
            f"{words}, and the next credential answers",
            script=f"{script},for_key=-a",
            saved=(cause,),
            modes=(Mode.STREAM,),
        )
        for name, words, script, cause in (
            ("error-first", "an error as the first event", "error-first,opened=1", Cause.ERROR_EVENT),
            ("close", "closed before headers", "close-before-headers", Cause.EOF),
            ("opened", "cut behind the opening events", "cut,after=0", Cause.TRUNCATED_BODY),
        )
    ),
    broken(
        "not-again",
        "cut after one delta: never tried again",
        script="cut,after=1",
        cause=Cause.TRUNCATED_BODY,
        credentials=2,
        attempts=1,
    ),
    refused(
        "bad-request-not-again",
        "status 400: never tried again",
        script="status,code=400",
        status=400,
        fault=Fault.CLIENT,
        credentials=2,
        attempts=1,
    ),
    refused(
        "three-at-most",
        "every credential fails: three attempts at most",
        script="status,code=503",
        status=503,
        credentials=4,
        attempts=3,
    ),
    fine("keepalive-race", "a reused connection closed without a byte: once more on a new one", modes=BOTH, reference="ok"),
)

# Committed early, kept alive
beaten = partial(completed, gets=Gets.WHOLE, upstream="early", reference="ok")
EARLY = (
    failed(
        "early-silent",
        "silence past `commit_after`: the 200 with a heartbeat, then an error event",
        script="silent",
        cause=Cause.FIRST_BYTE_TIMEOUT,
        phase=Phase.WAITING,
        status=200,
        gets=Gets.TOLD,
        upstream="early",
        heartbeats=1,
    ),
    failed(
        "early-closed",
        "the same, then the upstream closes without an answer",
        outcome=Outcome.UPSTREAM_PREMATURE,
        script="close-before-headers,seconds=2",
        cause=Cause.EOF,
        phase=Phase.WAITING,
        status=200,
        gets=Gets.TOLD,
        upstream="early-fresh",
        heartbeats=1,
    ),
    beaten("early-late", "the same, then the upstream answers after all", script="late,seconds=2", heartbeats=1),
    beaten(
        "beats", "16 s of silence in the stream: heartbeats between the events", script="mid-silence,seconds=16.5", heartbeats=1
    ),
)

# The client left
silent = partial(aborted, script="silent", phase=Phase.WAITING, status=None, gets=Gets.NOTHING)
FIN, RESET, HALF = Leaves.FIN, Leaves.RESET, Leaves.HALF
flows = partial(aborted, phase=Phase.STREAMING, status=200, gets=Gets.PART)
LEFT = (
    *(
        silent(
            f"left-before-headers-{leaves.name.lower()}",
            f"client {leaves.value} before headers",
            cause=cause,
            modes=BOTH,
            client=Client(leaves, waits=0.4),
        )
        for leaves, cause in ((FIN, Cause.FIN), (RESET, Cause.CLIENT_RESET), (HALF, Cause.FIN))
    ),
    silent(
        "left-big-request",
        "client closes before headers, having sent 1 MB",
        cause=Cause.FIN,
        modes=BOTH,
        client=Client(FIN, waits=0.6, pads=1_000_000),
    ),
    *(
        silent(
            f"left-before-first-event-{leaves.name.lower()}",
            f"client {leaves.value} before the first event",
            script="headers-then-silence",
            cause=cause,
            client=Client(leaves, waits=0.4),
        )
        for leaves, cause in ((FIN, Cause.FIN), (RESET, Cause.CLIENT_RESET), (HALF, Cause.FIN))
    ),
    silent(
        "left-behind-opening",
        "client closes behind opening events that were held",
        script="slow-then-content",
        cause=Cause.FIN,
        phase=Phase.STREAMING,
        client=Client(FIN, waits=0.4),
    ),
    *(
        flows(
            f"left-mid-stream-{leaves.name.lower()}",
            f"client {leaves.value} mid-stream, all delivered",
            script="idle,after=2",
            cause=cause,
            client=Client(leaves, after=b"data:", waits=0.4, drains=True),
        )
        for leaves, cause in ((FIN, Cause.FIN), (RESET, Cause.CLIENT_RESET), (HALF, Cause.FIN))
    ),
    flows(
        "left-flowing",
        "client closes mid-stream, reading at full speed",
        script="ok,events=4000,gap_ms=2",
        cause=Cause.FIN,
        client=Client(FIN, after=b"data:", waits=0.5, drains=True),
        differs={"chat": {"cause": Cause.FIN}},
    ),
    flows(
        "left-paused-shortly",
        "client stops reading for 0.3 s, then resets",
        script="flood",
        cause=Cause.CLIENT_RESET,
        protocols=CHAT,
        client=Client(RESET, after=b"data:", waits=0.3, buffer=8192),
    ),
    flows(
        "left-after-silence",
        "client closes after 11 s of upstream silence: because of the upstream",
        script="idle,after=2",
        cause=Cause.FIN,
        fault=Fault.UPSTREAM,
        reason=r"11\.\d s of upstream silence",
        client=Client(FIN, after=b"data:", waits=11.2, drains=True),
    ),
    drops(
        "left-with-the-end",
        "client closes on reading the end",
        script="terminal-then-open",
        ends=Ends.LEFT,
        client=Client(FIN, after=END),
    ),
    drops(
        "reset-with-the-end",
        "client resets on reading the end",
        script="terminal-then-open",
        ends=Ends.LEFT,
        client=Client(RESET, after=END),
    ),
)

# The client stopped reading
stuck = partial(undelivered, script="flood", ends=Ends.LEFT, gets=Gets.PART)
STUCK = (
    stuck(
        "stuck-reset",
        "client stops reading for 3.5 s, then resets",
        cause=Cause.UNDELIVERED,
        client=Client(RESET, after=b"data:", waits=3.5, buffer=8192),
        reason=r"\d\.\d s",
    ),
    stuck(
        "stuck-fin",
        "client stops reading for 3.5 s, then half-closes",
        cause=Cause.UNDELIVERED,
        client=Client(HALF, after=b"data:", waits=3.5, buffer=8192),
        reason=r"\d\.\d s",
    ),
    stuck(
        "never-reads",
        "client reads nothing until the write timeout",
        cause=Cause.WRITE_TIMEOUT,
        upstream="narrow",
        ends=Ends.CUT,
        client=Client(after=b"data:", waits=4, buffer=8192),
        reason=r"2\.\d s",
    ),
    stuck(
        "vanishes",
        "client vanishes from the network",
        cause=Cause.TCP_TIMEOUT,
        upstream="narrow",
        client=Client(Leaves.VANISHES, after=b"data:", waits=4, buffer=8192),
        protocols=CHAT,
    ),
)

# Refused by us
REJECTED = (
    *(
        rejected(
            f"left-while-sending-{leaves.name.lower()}",
            f"client {leaves.value} while sending its request",
            script="ok",
            cause=Cause.REQUEST_INCOMPLETE,
            phase=Phase.RECEIVING,
            status=None,
            gets=Gets.NOTHING,
            ends=Ends.LEFT,
            client=Client(leaves, sends=0.5, waits=0.3),
            modes=BOTH,
        )
        for leaves in (FIN, RESET, HALF)
    ),
    rejected(
        "bad-json", "bad JSON", script="ok", cause=Cause.BAD_REQUEST, phase=Phase.ROUTING, status=400, request={"": b'{"model": '}
    ),
    rejected(
        "bad-json-array",
        "JSON that is no object",
        script="ok",
        cause=Cause.BAD_REQUEST,
        phase=Phase.ROUTING,
        status=400,
        request={"": b"[1]"},
    ),
    rejected(
        "no-model", "no model", script="ok", cause=Cause.BAD_REQUEST, phase=Phase.ROUTING, status=400, request={"model": None}
    ),
    rejected(
        "bad-model",
        "a model that is no text",
        script="ok",
        cause=Cause.BAD_REQUEST,
        phase=Phase.ROUTING,
        status=400,
        request={"model": 5},
    ),
    rejected(
        "bad-stream",
        "`stream` that is no boolean",
        script="ok",
        cause=Cause.BAD_REQUEST,
        phase=Phase.ROUTING,
        status=400,
        request={"stream": "yes"},
    ),
    rejected(
        "too-much",
        "a body over the limit",
        script="ok",
        cause=Cause.BODY_TOO_LARGE,
        phase=Phase.RECEIVING,
        status=413,
        request={"": b""},
        client=Client(declares=100_000_000),
    ),
    rejected(
        "bad-key", "a bad key", script="ok", cause=Cause.BAD_KEY, phase=Phase.ROUTING, status=401, request={"key": "not-a-key"}
    ),
    rejected("no-key", "no key", script="ok", cause=Cause.BAD_KEY, phase=Phase.ROUTING, status=401, request={"key": ""}),
)

SECTIONS: dict[str, tuple[Row, ...]] = {
    "The upstream could not be reached": CONNECTING,
    "The upstream answered with a status": ANSWERED,
    "The upstream said nothing, or nothing of use": NOTHING,
    "The stream broke off": BROKEN,
    "A whole answer broke off": BROKEN_WHOLE,
    "It took too long": LATE,
    "The upstream said that it failed": SAID,
    "What cannot be read": UNREADABLE,
    "Around the terminal event": AROUND,
    "It ended properly": FINE,
    "More than one attempt": ATTEMPTS,
    "Committed before the upstream spoke": EARLY,
    "The client left": LEFT,
    "The client stopped reading": STUCK,
    "Refused by us": REJECTED,
}
ROWS: tuple[Row, ...] = tuple(row for rows in SECTIONS.values() for row in rows)
