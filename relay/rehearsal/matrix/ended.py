"""The answer ended properly: around the terminal event, in every spelling, at the second attempt, or after long silence."""

from __future__ import annotations

from functools import partial

from relay.ending import Cause, Fault, Outcome, Phase
from relay.rehearsal.matrix.row import Gets, Mode
from relay.rehearsal.matrix.shapes import (
    BOTH,
    CHAT,
    NOT_RESPONSES,
    WHOLE_ONLY,
    broken,
    completed,
    drops,
    failed,
    fine,
    refused,
    shortened,
)

# Around the terminal event
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
        reference="no-done",
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
    drops("terminal-then-open", "the connection stays open behind the end", evidence={"entry.output_tokens": 5}),
    drops("terminal-then-reset", "a reset behind the end"),
    drops("terminal-then-cut", "the body cut behind the end"),
    drops("events-after-terminal", "more events behind the end: counted when they came with it, not passed on"),
    completed(
        "usage-late",
        "usage 0.3 s after the finish reason",
        gets=Gets.WHOLE,
        evidence={"entry.output_tokens": 5},
        request={"stream_options": {"include_usage": True}},
    ),
)

# Ended properly, in whatever spelling
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
    fine("huge-event", "a delta of 40 MB", script="big-event,bytes=40000000", protocols=CHAT),
    fine(
        "stream-for-json",
        "an event stream for a whole answer",
        modes=WHOLE_ONLY,
        gets=Gets.GATHERED,
        evidence={"notes": "stream-for-json", "entry.output_tokens": 5},
    ),
    fine("empty", "ends properly without a word", modes=BOTH, evidence={"notes": "empty-answer"}),
    fine("tool-half", "ends properly with half of a tool call's arguments", evidence={"notes": "tool-arguments-incomplete"}),
    fine("duplicate-id", "the upstream's ids always the same", modes=BOTH, evidence={"upstream_request_id": "req_0000same"}),
    *(
        fine(
            f"finish-{reason}",
            f"finish reason `{reason}`",
            modes=BOTH,
            script=f"unknown-finish,reason={reason}",
            protocols=(tag,),
            evidence={"finish_reason": reason},
        )
        for tag, reason in (
            ("chat", "tool_calls"),
            ("chat", "function_call"),
            ("messages", "stop_sequence"),
            ("messages", "tool_use"),
            ("messages", "pause_turn"),
        )
    ),
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
            (
                "window-messages",
                "stop reason `model_context_window_exceeded`",
                "unknown-finish,reason=model_context_window_exceeded",
                "model_context_window_exceeded",
                ("messages",),
            ),
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
    *(
        again(
            f"saved-{name}",
            f"{words}, and the next upstream answers",
            script="ok",
            credentials=1,
            behind=place,
            saved=(cause,),
        )
        for name, words, place, cause in (
            ("port-closed", "port closed", "http://127.0.0.1:{closed}/v1", Cause.CONNECT_REFUSED),
            ("syn-ignored", "SYN ignored", "http://127.0.0.1:{full}/v1", Cause.CONNECT_TIMEOUT),
            ("unknown-host", "unknown host", "http://nowhere.invalid/v1", Cause.DNS),
        )
    ),
    *(
        again(
            f"saved-{name}",
            f"{words}, and the next credential answers",
            script=f"{script},for_key=-a",
            saved=(Cause.FIRST_BYTE_TIMEOUT,),
            upstream="hasty",
        )
        for name, words, script in (
            ("silent", "nothing after the request", "silent"),
            ("headers", "200 and its headers, then nothing", "headers-then-silence"),
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
        reference="headers-then-end",
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
        "beats",
        "16 s of silence in the stream: heartbeats between the events",
        script="mid-silence,seconds=16.5",
        heartbeats=1,
        upstream="plain",
    ),
)
