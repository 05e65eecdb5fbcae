"""The table of scenarios: what the fault server plays, a drill can choose and the documentation lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from . import compression, endings, failures, healthy
from .events import Role, Style
from .scene import Scene
from .steps import Cut, End, Framing, Hold, Reset, Steps


class Play(Protocol):
    """A generator function from a scene to its steps."""

    def __call__(self, scene: Scene, /) -> Steps: ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """A way in which an upstream behaves. `parameters` are those of its own; `COMMON` holds for all."""

    name: str
    play: Play
    doc: str
    parameters: str = ""


COMMON = {
    "events": "deltas of the answer (5)",
    "size": "characters of each delta, padded",
    "gap_ms": "milliseconds between two pieces (0; 20 in the demo)",
    "after": "deltas before what the scenario is about (3)",
    "framing": "chunked, length or close: how the body's end is told, where that is not the scenario itself",
    "input": "input tokens in the usage (12)",
    "times": "play it for the first N requests of this script, then ok",
    "for_key": "play it only for requests whose key ends so, else ok",
}

_ROWS: tuple[Scenario, ...] = (
    # Whole answers
    Scenario("ok", healthy.ok, "A whole answer."),
    Scenario("tools", healthy.tools, "Calls tools, in parallel where the protocol can.", "calls=2"),
    Scenario("reasoning", healthy.reasoning, "Thinks aloud before it answers."),
    Scenario("structured", healthy.structured, "Answers with a JSON object, as if a schema had been given."),
    Scenario("multi-choice", healthy.multi_choice, "Several choices at once (chat completions).", "n=2"),
    Scenario("empty", healthy.empty, "Ends properly without having said anything."),
    Scenario("unicode", healthy.long_unicode, "Characters of up to four bytes, markup, quotes."),
    Scenario("image", healthy.image, "A long delta of base64.", "bytes=65536"),
    Scenario("echo", healthy.echo, "Answers with the request as it arrived."),
    # Shortened answers
    Scenario("length", healthy.finishing("length"), "Shortened: the token limit."),
    Scenario("content-filter", healthy.finishing("filter"), "Shortened: the content filter."),
    Scenario("refusal", healthy.refusal, "The model refuses."),
    Scenario("unknown-finish", healthy.unknown_finish, "A finish reason verbatim, known or not.", "reason=mystery"),
    Scenario("tool-half", healthy.tool_half, "Ends properly, with half the arguments of a tool call."),
    # Spelling
    Scenario("crlf", healthy.styled(Style(eol="\r\n")), "Lines end with CR LF."),
    Scenario("cr", healthy.styled(Style(eol="\r")), "Lines end with CR."),
    Scenario("no-space", healthy.styled(Style(space="")), "No space behind the colon."),
    Scenario("no-event-line", healthy.styled(Style(named=False)), "No `event:` lines."),
    Scenario("bom", healthy.bom, "A byte order mark before the first event."),
    Scenario("multi-line", healthy.multi_line, "Each event's JSON on two `data:` lines."),
    Scenario("odd-lines", healthy.odd_lines, "Comments, ids, retries, unknown fields and an unknown event type."),
    Scenario("split", healthy.split, "One byte a write."),
    Scenario("unterminated-last", healthy.unterminated_last, "The terminal event lacks its empty line."),
    # Usage, ids, order
    Scenario("usage-late", healthy.usage_late, "Usage some time after the finish reason.", "seconds=0.3"),
    Scenario("usage-preview", healthy.usage_preview, "Preliminary usage before the content."),
    Scenario("duplicate-id", healthy.duplicate_id, "The same response id and request id every time."),
    Scenario("events-after-terminal", healthy.after_terminal, "Two deltas behind the terminal event."),
    # Size and time
    Scenario("big-event", healthy.big_event, "One huge delta in small writes.", "bytes=4000000"),
    Scenario("flood", healthy.flood, "As much as the other side takes.", "bytes=200000000 size=65536"),
    Scenario("slow-then-content", healthy.slow_then_content, "Opens, is silent, then answers.", "seconds=60"),
    Scenario("mid-silence", healthy.mid_silence, "Silent after some deltas, then goes on.", "seconds=1"),
    Scenario("late", healthy.late, "Silent before the headers, then answers.", "seconds=1"),
    # Body and header disagree
    Scenario("json-for-stream", healthy.json_for_stream, "A whole JSON answer though a stream was asked for."),
    Scenario("stream-for-json", healthy.stream_for_json, "A stream though a whole answer was asked for."),
    Scenario("no-content-type", healthy.content_type(None), "No Content-Type."),
    Scenario("wrong-content-type", healthy.content_type("text/plain"), "The answer under text/plain."),
    # Compression nobody asked for
    Scenario("gzip", compression.compressed("gzip"), "Compressed with gzip, flushed at each event."),
    Scenario("deflate", compression.compressed("deflate"), "Compressed with deflate."),
    Scenario("br", compression.compressed("br"), "Compressed with brotli."),
    Scenario("zstd", compression.compressed("zstd"), "Compressed with zstd."),
    Scenario("gzip-cut", compression.cut, "Compressed, without an end.", "coding=gzip|deflate|br|zstd"),
    Scenario("gzip-bad", compression.spoilt, "Compressed, then bytes that do not decompress."),
    Scenario("gzip-not", compression.mislabelled, "Says gzip and is not."),
    Scenario("coding-unknown", compression.unknown, "Says lzw, which nobody decodes."),
    Scenario("gzip-status", compression.status, "A compressed error body.", "code=500"),
    # Nothing, or nearly
    Scenario("silent", endings.before_headers(Hold), "Reads the request and says nothing, ever."),
    Scenario("close-before-headers", endings.before_headers(Cut), "Closes without an answer.", "seconds=0"),
    Scenario("reset-before-headers", endings.before_headers(Reset), "Resets without an answer.", "seconds=0"),
    Scenario("keepalive-race", endings.keepalive_race, "Closes on a connection's second request.", "reset=0"),
    Scenario("headers-then-silence", endings.after_headers(Hold), "200 and its headers, then nothing, ever."),
    Scenario("headers-then-end", endings.after_headers(End), "200, and an empty body that ends properly."),
    Scenario("headers-then-close", endings.after_headers(Cut), "200 and its headers, then closes.", "seconds=0"),
    Scenario("headers-then-reset", endings.after_headers(Reset), "200 and its headers, then resets.", "seconds=0"),
    Scenario("empty-200", endings.empty_200, "200 with Content-Length 0."),
    Scenario("comments-only", endings.comments_only, "Comments, then the end of the body.", "count=3"),
    Scenario("comments-forever", endings.comments_forever, "Comments for ever, never an event.", "every=1"),
    Scenario("done-only", endings.done_only, "The end marker and nothing else."),
    # Stops inside
    Scenario("eof", endings.stopping(End), "The body ends properly in the middle of the answer."),
    Scenario("eof-bare", endings.stopping(End, Framing.CLOSE), "The same, told by the connection's close."),
    Scenario("half-event", endings.half_event, "Stops inside an event.", "end=eof|cut|reset|hold"),
    Scenario("cut", endings.stopping(Cut, Framing.CHUNKED), "Closes inside a chunked body."),
    Scenario("short-length", endings.short_length, "Closes before Content-Length is reached."),
    Scenario("bad-chunk", endings.bad_chunk, "A chunk size that is no number.", "hold=0"),
    Scenario("reset", endings.stopping(Reset, Framing.CHUNKED), "Resets inside a chunked body."),
    Scenario("reset-bare", endings.stopping(Reset, Framing.CLOSE), "Resets a body that ends by its close."),
    Scenario("ws-close", endings.ws_close, "Closes the WebSocket (Responses).", "code=1011 reason="),
    Scenario("no-pong", endings.no_pong, "Silent in the middle, also to a WebSocket's pings."),
    Scenario("tool-cut", endings.tool_cut, "Stops inside the arguments of a tool call.", "end=cut|eof|reset|hold"),
    Scenario("idle", endings.idle, "Silent in the middle; then ends too early if told to.", "seconds=(for ever)"),
    Scenario("pings", endings.pings, "Nothing but keep-alives after some deltas.", "every=1"),
    Scenario("trickle", endings.trickle, "A line that grows byte by byte and never ends.", "every=0.1"),
    # Around the terminal event
    Scenario("no-done", endings.lacking((Role.MARKER,), End), "Finish reason but no end marker."),
    Scenario("no-done-cut", endings.lacking((Role.MARKER,), Cut), "The same, and the body is cut."),
    Scenario("no-done-silence", endings.lacking((Role.MARKER,), Hold), "The same, and then silence."),
    Scenario("no-finish", endings.lacking((Role.FINISH,), End), "End marker but no finish reason."),
    Scenario("half-last", endings.half_last, "Ends inside the terminal event."),
    Scenario("terminal-then-open", endings.after_terminal(Hold), "Stays open behind the end.", "seconds=(for ever)"),
    Scenario("terminal-then-reset", endings.after_terminal(Reset), "Resets behind the end.", "seconds=0"),
    Scenario("terminal-then-cut", endings.after_terminal(Cut), "Closes behind the end, body unended.", "seconds=0"),
    # Says that it failed
    Scenario(
        "status",
        failures.status,
        "An error status.",
        "code=500 retry_after= body=json|html|text|empty|big|endless|echo-key error= message=",
    ),
    Scenario("redirect", failures.redirect, "Sends the client elsewhere.", "code=307 to="),
    Scenario("error-first", failures.error_first, "An error in place of the first event.", "code=500 opened=0"),
    Scenario("error-later", failures.error_after, "An error after some deltas.", "code=500 nested=0"),
    Scenario("error-then-done", failures.error_then_done, "An error with the end marker behind it.", "code=500"),
    Scenario("error-with-choices", failures.error_with_choices, "An error beside empty choices.", "code=500"),
    Scenario("error-field", failures.error_field, "llama.cpp's `error:` line.", "code=500"),
    Scenario("error-string", failures.error_string, "An error that is a bare string."),
    Scenario("response-failed", failures.response_failed, "`response.failed` (Responses).", "code=500"),
    Scenario("overloaded-in-band", failures.overloaded, "Overloaded, told after the 200.", "after=0"),
    Scenario("nul-in-error", failures.nul_in_error, "An error text with NUL and a lone surrogate."),
    Scenario("json-error-200", failures.json_error_200, "A JSON error under a 200.", "code=500"),
    # Cannot be read
    Scenario("malformed", failures.malformed, "One event that is no JSON."),
    Scenario("bad-utf8", failures.bad_utf8, "One event that is no UTF-8."),
    Scenario("oversized", failures.oversized, "A line that does not end.", "bytes=70000000"),
    Scenario("html", failures.html, "A web page under a 200.", "labelled=1"),
    Scenario("text", failures.text, "Bare words under a 200."),
    Scenario("bad-header", failures.bad_header, "A control character in a header."),
    Scenario("bad-status-line", failures.bad_status_line, "Answers with something that is not HTTP."),
)

SCENARIOS: dict[str, Scenario] = {row.name: row for row in _ROWS}
