"""How a request ended: the vocabulary, and the pure function from facts to a verdict.

Everything that names an outcome, a cause, a phase or a fault takes the word from here; nothing here does I/O, reads a
clock or knows Django, so every rule is a row of a table or a line of `classify`, and both are tested exhaustively.
The rules themselves are told in docs/endings.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Outcome(StrEnum):
    """What became of the request."""

    COMPLETED = "completed"  # the terminal event, or the whole body, was sent
    INCOMPLETE = "incomplete"  # properly ended, but shortened: length, filter, refusal, an unknown reason
    REJECTED = "rejected"  # refused by the relay before any upstream
    CLIENT_ABORT = "client-abort"  # the client left by choice
    CLIENT_WRITE_FAILED = "client-write-failed"  # the connection broke under our writes
    UPSTREAM_ERROR = "upstream-error"  # the upstream said that it failed, or was given up
    UPSTREAM_PREMATURE = "upstream-premature"  # its bytes ended before its terminal event
    RELAY_SHUTDOWN = "relay-shutdown"  # the drain deadline passed, or an operator ended it
    RELAY_ERROR = "relay-error"  # our bug, or our own resources
    RELAY_LOST = "relay-lost"  # found by the sweep after a crash


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """What an outcome is called in the error log; `name` is empty for normal endings, which are no errors."""

    name: str = ""
    message: str = ""

    @property
    def abnormal(self) -> bool:
        return bool(self.name)


OUTCOMES: dict[Outcome, OutcomeRule] = {
    Outcome.COMPLETED: OutcomeRule(),
    Outcome.INCOMPLETE: OutcomeRule(),
    Outcome.REJECTED: OutcomeRule(),
    Outcome.CLIENT_ABORT: OutcomeRule("StreamClientAbort", "Client aborted stream"),
    Outcome.CLIENT_WRITE_FAILED: OutcomeRule("StreamClientWriteFailed", "Client disconnected mid-stream (write failed)"),
    Outcome.UPSTREAM_ERROR: OutcomeRule("StreamUpstreamError", "Upstream stream errored"),
    Outcome.UPSTREAM_PREMATURE: OutcomeRule("StreamUpstreamPrematureClose", "Upstream stream closed before terminal event"),
    Outcome.RELAY_SHUTDOWN: OutcomeRule("StreamRelayShutdown", "Relay shut down mid-stream"),
    Outcome.RELAY_ERROR: OutcomeRule("StreamRelayError", "Relay failed mid-stream"),
    Outcome.RELAY_LOST: OutcomeRule("StreamRelayLost", "Relay process died mid-stream"),
}


class Phase(StrEnum):
    """How far the request had come. A phase may only be followed by a later one."""

    RECEIVING = "receiving"  # the request's body
    ROUTING = "routing"
    CONNECTING = "connecting"
    WAITING = "waiting"  # sent, no event yet
    STREAMING = "streaming"
    FINISHING = "finishing"  # the terminal event was seen


PHASE_ORDER: dict[Phase, int] = {phase: index for index, phase in enumerate(Phase)}


class Fault(StrEnum):
    """Who caused it."""

    UPSTREAM = "upstream"
    CLIENT = "client"
    RELAY = "relay"
    OPERATOR = "operator"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why it ended so, one level finer than the outcome."""

    # connecting
    CONNECT_REFUSED = "connect-refused"
    CONNECT_TIMEOUT = "connect-timeout"
    UNREACHABLE = "unreachable"
    DNS = "dns"
    TLS = "tls"
    PROXY = "proxy"
    REQUEST_WRITE_FAILED = "request-write-failed"
    # answered
    HTTP_STATUS = "http-status"
    RATE_LIMITED = "rate-limited"
    QUOTA_EXHAUSTED = "quota-exhausted"
    AUTH_REJECTED = "auth-rejected"
    OVERLOADED = "overloaded"
    REDIRECTED = "redirected"
    # time
    FIRST_BYTE_TIMEOUT = "first-byte-timeout"
    IDLE_TIMEOUT = "idle-timeout"
    STALLED = "stalled"
    TOTAL_TIMEOUT = "total-timeout"
    # ended
    EOF = "eof"
    TRUNCATED_BODY = "truncated-body"
    RESET = "reset"
    WS_CLOSE = "ws-close"
    # in the stream
    ERROR_EVENT = "error-event"
    MALFORMED_EVENT = "malformed-event"
    OVERSIZED_EVENT = "oversized-event"
    NOT_A_STREAM = "not-a-stream"
    BAD_ENCODING = "bad-encoding"
    BAD_COMPRESSION = "bad-compression"
    UPSTREAM_PROTOCOL = "upstream-protocol"
    # client
    FIN = "fin"
    CLIENT_RESET = "client-reset"
    UNDELIVERED = "undelivered"
    WRITE_TIMEOUT = "write-timeout"
    TCP_TIMEOUT = "tcp-timeout"
    # refused by us
    BAD_REQUEST = "bad-request"
    BAD_KEY = "bad-key"
    FORBIDDEN_MODEL = "forbidden-model"
    NO_ROUTE = "no-route"
    NO_UPSTREAM_AVAILABLE = "no-upstream-available"
    OVER_LIMIT = "over-limit"
    OVER_BUDGET = "over-budget"
    BODY_TOO_LARGE = "body-too-large"
    REQUEST_INCOMPLETE = "request-incomplete"
    REQUEST_TIMEOUT = "request-timeout"
    DRAINING = "draining"
    # ours
    DRAIN_DEADLINE = "drain-deadline"
    OPERATOR_KILL = "operator-kill"
    RELAY_BUSY = "relay-busy"
    RELAY_EXHAUSTED = "relay-exhausted"
    CRASH = "crash"
    BUG = "bug"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class CauseRule:
    """What a cause means before anything of the one request is known.

    `status` is the HTTP status that the client gets when no header has left yet; 0 where there is nobody to answer.
    `fault` is empty where nobody is at fault.
    """

    outcome: Outcome
    fault: Fault
    status: int


def _table() -> dict[Cause, CauseRule]:
    c, o, f = Cause, Outcome, Fault
    rows: list[tuple[Outcome, Fault, int, tuple[Cause, ...]]] = [
        (o.UPSTREAM_ERROR, f.UPSTREAM, 502, (c.CONNECT_REFUSED, c.UNREACHABLE, c.TLS, c.REQUEST_WRITE_FAILED)),
        (o.UPSTREAM_ERROR, f.UPSTREAM, 504, (c.CONNECT_TIMEOUT,)),
        (o.UPSTREAM_ERROR, f.UNKNOWN, 502, (c.DNS,)),
        (o.UPSTREAM_ERROR, f.OPERATOR, 502, (c.PROXY, c.AUTH_REJECTED, c.REDIRECTED)),
        (o.UPSTREAM_ERROR, f.OPERATOR, 402, (c.QUOTA_EXHAUSTED,)),
        (o.UPSTREAM_ERROR, f.UPSTREAM, 502, (c.HTTP_STATUS,)),
        (o.UPSTREAM_ERROR, f.UPSTREAM, 429, (c.RATE_LIMITED,)),
        (o.UPSTREAM_ERROR, f.UPSTREAM, 529, (c.OVERLOADED,)),
        (o.UPSTREAM_ERROR, f.UPSTREAM, 504, (c.FIRST_BYTE_TIMEOUT, c.IDLE_TIMEOUT, c.STALLED, c.TOTAL_TIMEOUT)),
        (o.UPSTREAM_PREMATURE, f.UPSTREAM, 504, (c.EOF, c.TRUNCATED_BODY, c.RESET, c.WS_CLOSE, c.UPSTREAM_PROTOCOL)),
        (o.UPSTREAM_ERROR, f.UPSTREAM, 502, (c.ERROR_EVENT, c.MALFORMED_EVENT, c.OVERSIZED_EVENT, c.NOT_A_STREAM)),
        (o.UPSTREAM_ERROR, f.UPSTREAM, 502, (c.BAD_ENCODING, c.BAD_COMPRESSION)),
        (o.CLIENT_ABORT, f.CLIENT, 0, (c.FIN, c.CLIENT_RESET)),
        (o.CLIENT_WRITE_FAILED, f.CLIENT, 0, (c.UNDELIVERED, c.WRITE_TIMEOUT, c.TCP_TIMEOUT)),
        (o.REJECTED, f.CLIENT, 400, (c.BAD_REQUEST,)),
        (o.REJECTED, f.CLIENT, 401, (c.BAD_KEY,)),
        (o.REJECTED, f.CLIENT, 403, (c.FORBIDDEN_MODEL,)),
        (o.REJECTED, f.CLIENT, 404, (c.NO_ROUTE,)),
        (o.REJECTED, f.OPERATOR, 503, (c.NO_UPSTREAM_AVAILABLE,)),
        (o.REJECTED, f.CLIENT, 429, (c.OVER_LIMIT,)),
        (o.REJECTED, f.CLIENT, 402, (c.OVER_BUDGET,)),
        (o.REJECTED, f.CLIENT, 413, (c.BODY_TOO_LARGE,)),
        (o.REJECTED, f.CLIENT, 0, (c.REQUEST_INCOMPLETE,)),
        (o.REJECTED, f.CLIENT, 408, (c.REQUEST_TIMEOUT,)),
        (o.REJECTED, f.RELAY, 503, (c.DRAINING, c.RELAY_BUSY)),
        (o.RELAY_SHUTDOWN, f.RELAY, 503, (c.DRAIN_DEADLINE,)),
        (o.RELAY_SHUTDOWN, f.OPERATOR, 503, (c.OPERATOR_KILL,)),
        (o.RELAY_ERROR, f.RELAY, 503, (c.RELAY_EXHAUSTED,)),
        (o.RELAY_LOST, f.RELAY, 0, (c.CRASH,)),
        (o.RELAY_ERROR, f.RELAY, 500, (c.BUG,)),
        (o.CLIENT_ABORT, f.UNKNOWN, 0, (c.UNKNOWN,)),
    ]
    return {cause: CauseRule(outcome, fault, status) for outcome, fault, status, causes in rows for cause in causes}


CAUSES: dict[Cause, CauseRule] = _table()

CAUSE_ORDER: dict[Cause, int] = {cause: index for index, cause in enumerate(Cause)}  # decides what nothing else does
CLIENT_CAUSES = frozenset(cause for cause, rule in CAUSES.items() if rule.outcome is Outcome.CLIENT_ABORT) | frozenset(
    {Cause.UNDELIVERED, Cause.TCP_TIMEOUT}
)
OWN_ACTS = frozenset(
    {
        Cause.FIRST_BYTE_TIMEOUT,
        Cause.IDLE_TIMEOUT,
        Cause.STALLED,
        Cause.TOTAL_TIMEOUT,
        Cause.WRITE_TIMEOUT,
        Cause.DRAIN_DEADLINE,
        Cause.OPERATOR_KILL,
    }
)
TIMEOUTS = frozenset({Cause.FIRST_BYTE_TIMEOUT, Cause.IDLE_TIMEOUT, Cause.STALLED, Cause.TOTAL_TIMEOUT})
CONNECTING = frozenset(
    {
        Cause.CONNECT_REFUSED,
        Cause.CONNECT_TIMEOUT,
        Cause.UNREACHABLE,
        Cause.DNS,
        Cause.TLS,
        Cause.PROXY,
        Cause.REQUEST_WRITE_FAILED,
    }
)
ANSWERED = frozenset(
    {
        Cause.HTTP_STATUS,
        Cause.RATE_LIMITED,
        Cause.QUOTA_EXHAUSTED,
        Cause.AUTH_REJECTED,
        Cause.OVERLOADED,
        Cause.REDIRECTED,
    }
)
# What a connection that the upstream had already closed looks like to whoever takes it from the pool.
DEAD_ON_ARRIVAL = frozenset({Cause.EOF, Cause.RESET, Cause.REQUEST_WRITE_FAILED})
REASONS = {
    Cause.UNKNOWN: "the client is gone; how it left could not be seen",
    Cause.REQUEST_INCOMPLETE: "the client left before its request was whole",
    Cause.NO_UPSTREAM_AVAILABLE: "everything that serves this model is switched off",
}
REQUEST_FAULT_STATUSES = frozenset({400, 404, 413, 422})  # an upstream's status that is the request's own fault

SAME_TICK = 0.002  # seconds; what lies closer together than this was seen in one turn of the event loop
WRITE_BLOCKED_SECONDS = 1.0  # a write blocked for this long before the end makes it a failed write
SILENCE_SECONDS = 10.0  # a client that leaves after this much upstream silence …
SILENCE_GAPS = 5.0  # … and after this many median gaps left because of the upstream


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One thing that would end the request, at `at` seconds after receipt (monotonic)."""

    at: float
    cause: Cause
    detail: str = ""


@dataclass(slots=True)  # not frozen, which would cost each request some microseconds
class Facts:
    """All that the verdict depends on. Times are seconds; `None` means not known."""

    phase: Phase
    occurrences: tuple[Occurrence, ...] = ()  # in the order in which they were noted
    finish: Outcome | None = None  # COMPLETED or INCOMPLETE once the answer's end was seen (marker or finish evidence)
    finish_reason: str = ""
    terminal_sent: bool = False  # `send()` of the terminal event, or of the whole body, returned
    upstream_status: int | None = None
    reused_connection: bool = False  # of the last attempt
    upstream_bytes: int = 0  # body bytes of the last attempt
    ended_at: float = 0.0
    upstream_silence: float = 0.0  # how long the upstream had been silent when it ended
    median_gap: float = 0.0
    blocked_writing: float = 0.0  # how long writing to the client had been blocked when it ended
    unsent_for: float = 0.0  # how long bytes had lain unsent
    write_errno: str = ""  # a write that gave an error: its errno's name
    stop_wait: float = 0.0  # the length of the wait that a timeout of ours ended
    loop_lag: float = 0.0  # lag of our event loop during that wait


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome, cause, phase and fault of one request, with the reason for the fault in a sentence with figures."""

    outcome: Outcome
    cause: Cause | None
    phase: Phase
    fault: Fault | None
    fault_reason: str = ""
    detail: str = ""
    contributing: tuple[Cause, ...] = field(default=())

    @property
    def abnormal(self) -> bool:
        return OUTCOMES[self.outcome].abnormal

    @property
    def error_name(self) -> str:
        return OUTCOMES[self.outcome].name

    @property
    def message(self) -> str:
        """The base message, and the detail behind a colon when there is one; empty for normal endings."""
        return full_message(self.outcome, self.detail)


def full_message(outcome: Outcome, detail: str = "") -> str:
    """The outcome's message as both logs keep it."""
    base = OUTCOMES[outcome].message
    return f"{base}: {detail}" if base and detail else base


def classify(facts: Facts) -> Verdict:
    """The one place that decides how a request ended. Never raises.

    The order of the rules is the order in which ties are decided: a terminal event that was sent wins over all; then
    the first cause wins, and within one tick our own acts before the upstream's and the upstream's before the client's.
    """
    if facts.terminal_sent:
        return Verdict(
            facts.finish or Outcome.COMPLETED,
            None,
            Phase.FINISHING,
            None,
            detail=facts.finish_reason if facts.finish is Outcome.INCOMPLETE else "",
            contributing=tuple(item.cause for item in facts.occurrences),
        )
    if not facts.occurrences:
        return Verdict(Outcome.RELAY_ERROR, Cause.BUG, facts.phase, Fault.RELAY, "the relay ended it without a reason", "")
    first = _first(facts.occurrences)
    cause = first.cause
    if facts.phase is Phase.RECEIVING and cause in CLIENT_CAUSES:
        cause = Cause.REQUEST_INCOMPLETE
    elif cause in CLIENT_CAUSES:
        cause = _client_cause(cause, facts)
    contributing = tuple(dict.fromkeys(item.cause for item in facts.occurrences if item.cause not in (first.cause, cause)))
    fault, reason = _fault(cause, facts)
    return Verdict(CAUSES[cause].outcome, cause, facts.phase, fault, reason, first.detail, contributing)


def _first(occurrences: tuple[Occurrence, ...]) -> Occurrence:
    earliest = min(item.at for item in occurrences)
    tied = [item for item in occurrences if item.at - earliest <= SAME_TICK]
    return min(tied, key=lambda item: (_rank(item.cause), item.at, CAUSE_ORDER[item.cause]))


def _rank(cause: Cause) -> int:
    if cause in OWN_ACTS or CAUSES[cause].fault in (Fault.RELAY, Fault.OPERATOR):
        return 0
    return 2 if cause in CLIENT_CAUSES else 1


def _client_cause(cause: Cause, facts: Facts) -> Cause:
    """A client that kept up left by choice; one whose connection had been blocked lost what we wrote."""
    if cause in (Cause.TCP_TIMEOUT, Cause.UNDELIVERED, Cause.UNKNOWN):
        return cause
    if facts.write_errno or max(facts.blocked_writing, facts.unsent_for) >= WRITE_BLOCKED_SECONDS:
        return Cause.UNDELIVERED
    return cause


def _fault(cause: Cause, facts: Facts) -> tuple[Fault, str]:
    rule = CAUSES[cause]
    if cause in TIMEOUTS and facts.stop_wait > 0 and facts.loop_lag >= facts.stop_wait / 2:
        return Fault.RELAY, (
            f"our event loop lagged {facts.loop_lag:.1f} s of the {facts.stop_wait:.1f} s that the upstream was given"
        )
    if rule.outcome is Outcome.CLIENT_ABORT and _left_because_of_silence(facts):
        return Fault.UPSTREAM, f"client left after {facts.upstream_silence:.1f} s of upstream silence"
    if rule.outcome is Outcome.CLIENT_WRITE_FAILED:
        # A timeout of ours knows how long it waited; what a stall of our own took off the other two was no part of that.
        blocked = max(facts.blocked_writing, facts.unsent_for, facts.stop_wait if cause is Cause.WRITE_TIMEOUT else 0.0)
        if cause is Cause.TCP_TIMEOUT and not blocked:
            return Fault.CLIENT, "the client no longer answered"
        return Fault.CLIENT, f"the client had not been reading for {blocked:.1f} s" if blocked else "a write failed"
    unanswered = facts.upstream_status is None and not facts.upstream_bytes
    if cause in DEAD_ON_ARRIVAL and facts.reused_connection and unanswered:
        return Fault.UNKNOWN, "a reused connection died before the first byte: either side may have closed it first"
    if cause is Cause.HTTP_STATUS and facts.upstream_status in REQUEST_FAULT_STATUSES:
        return Fault.CLIENT, f"the upstream answered {facts.upstream_status}: the request itself was wrong"
    if cause in TIMEOUTS:
        return rule.fault, f"the upstream was given {facts.stop_wait:.1f} s"
    return rule.fault, _default_reason(cause, facts)


def _left_because_of_silence(facts: Facts) -> bool:
    silence = facts.upstream_silence
    return (
        facts.phase in (Phase.WAITING, Phase.STREAMING)
        and silence > SILENCE_SECONDS
        and silence > SILENCE_GAPS * facts.median_gap
    )


def _default_reason(cause: Cause, facts: Facts) -> str:
    """One sentence with the figures that the default fault of a cause rests on."""
    after = f"after {facts.ended_at:.1f} s"
    if cause in ANSWERED:
        return f"the upstream answered {facts.upstream_status}" if facts.upstream_status else "the upstream refused"
    if cause in CONNECTING:
        return f"no connection to the upstream {after}: {cause}"
    if cause in REASONS:
        return REASONS[cause]
    return {
        Outcome.CLIENT_ABORT: f"the client left {after}, while it was keeping up",
        Outcome.UPSTREAM_PREMATURE: f"the upstream ended after {facts.upstream_bytes} bytes of its body",
        Outcome.UPSTREAM_ERROR: f"the upstream failed or could not be read after {facts.upstream_bytes} bytes of its body",
        Outcome.REJECTED: f"the request was refused {after}: {cause}",
        Outcome.RELAY_SHUTDOWN: f"the gateway ended it {after}: {cause}",
    }.get(CAUSES[cause].outcome, f"the gateway itself failed {after}: {cause}")
