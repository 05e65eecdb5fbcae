"""The classifier: each cause has a rule, ties are decided by rule, and it never raises."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ending import CAUSES, OUTCOMES, TIMEOUTS, Cause, Facts, Fault, Occurrence, Outcome, Phase, classify


def ended(*causes: Cause, phase: Phase = Phase.STREAMING, **facts: object) -> tuple[Outcome, Cause | None, Fault | None]:
    occurrences = tuple(Occurrence(float(index), cause) for index, cause in enumerate(causes))
    verdict = classify(Facts(phase=phase, occurrences=occurrences, **facts))  # type: ignore[arg-type]
    return verdict.outcome, verdict.cause, verdict.fault


def test_every_cause_has_a_rule() -> None:
    assert set(CAUSES) == set(Cause)


def test_a_terminal_event_that_was_sent_wins_over_all() -> None:
    assert ended(Cause.RESET, terminal_sent=True, finish=Outcome.COMPLETED) == (Outcome.COMPLETED, None, None)
    assert ended(Cause.FIN, terminal_sent=True, finish=Outcome.INCOMPLETE) == (Outcome.INCOMPLETE, None, None)


def test_the_first_cause_wins_and_the_rest_contributes() -> None:
    facts = Facts(Phase.STREAMING, (Occurrence(1.0, Cause.FIN), Occurrence(2.0, Cause.RESET)))
    verdict = classify(facts)
    assert (verdict.outcome, verdict.cause, verdict.contributing) == (Outcome.CLIENT_ABORT, Cause.FIN, (Cause.RESET,))


def test_a_cause_does_not_contribute_to_itself_under_another_name() -> None:
    verdict = classify(Facts(Phase.RECEIVING, (Occurrence(1.0, Cause.FIN), Occurrence(2.0, Cause.REQUEST_INCOMPLETE))))
    assert (verdict.cause, verdict.contributing) == (Cause.REQUEST_INCOMPLETE, ())


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_in_one_tick_our_own_act_comes_first_whatever_the_order(order: tuple[int, ...]) -> None:
    tied = [Occurrence(1.0, Cause.FIN), Occurrence(1.0, Cause.RESET), Occurrence(1.001, Cause.DRAIN_DEADLINE)]
    verdict = classify(Facts(Phase.STREAMING, tuple(tied[index] for index in order)))
    assert verdict.outcome is Outcome.RELAY_SHUTDOWN


def test_a_client_whose_reads_blocked_us_did_not_leave_by_choice() -> None:
    assert ended(Cause.CLIENT_RESET, blocked_writing=1.5) == (Outcome.CLIENT_WRITE_FAILED, Cause.UNDELIVERED, Fault.CLIENT)
    assert ended(Cause.CLIENT_RESET, blocked_writing=0.5) == (Outcome.CLIENT_ABORT, Cause.CLIENT_RESET, Fault.CLIENT)


def test_a_client_that_left_after_long_silence_left_because_of_the_upstream() -> None:
    assert ended(Cause.FIN, upstream_silence=41.2, median_gap=0.1)[2] is Fault.UPSTREAM
    assert ended(Cause.FIN, upstream_silence=9.0, median_gap=0.1)[2] is Fault.CLIENT
    assert ended(Cause.FIN, upstream_silence=41.2, median_gap=20.0)[2] is Fault.CLIENT


def test_a_timeout_during_which_our_loop_lagged_is_ours() -> None:
    assert ended(Cause.IDLE_TIMEOUT, stop_wait=10.0, loop_lag=5.0)[2] is Fault.RELAY
    assert ended(Cause.IDLE_TIMEOUT, stop_wait=10.0, loop_lag=4.9)[2] is Fault.UPSTREAM


def test_a_reused_connection_that_died_before_the_first_byte_is_nobodys_known_fault() -> None:
    assert ended(Cause.EOF, reused_connection=True)[2] is Fault.UNKNOWN
    assert ended(Cause.EOF, reused_connection=True, upstream_bytes=1)[2] is Fault.UPSTREAM


@pytest.mark.parametrize(("status", "fault"), [(400, Fault.CLIENT), (404, Fault.CLIENT), (500, Fault.UPSTREAM)])
def test_an_upstreams_status_says_whose_fault_it_was(status: int, fault: Fault) -> None:
    assert ended(Cause.HTTP_STATUS, upstream_status=status)[2] is fault


def test_a_client_that_leaves_while_sending_is_rejected() -> None:
    assert ended(Cause.FIN, phase=Phase.RECEIVING)[:2] == (Outcome.REJECTED, Cause.REQUEST_INCOMPLETE)


SILENT = {"upstream_silence": 41.2, "median_gap": 0.1}


@pytest.mark.parametrize(
    ("cause", "facts", "fault", "reason"),
    [
        (Cause.FIN, SILENT, Fault.UPSTREAM, "client left after 41.2 s of upstream silence"),
        (Cause.CLIENT_RESET, SILENT, Fault.UPSTREAM, "client left after 41.2 s of upstream silence"),
        (Cause.FIN, SILENT | {"phase": Phase.WAITING}, Fault.UPSTREAM, "client left after 41.2 s of upstream silence"),
        (Cause.FIN, SILENT | {"phase": Phase.FINISHING}, Fault.CLIENT, "the client left after 3.0 s, while it was keeping up"),
        (Cause.FIN, {"upstream_silence": 10.0}, Fault.CLIENT, "the client left after 3.0 s, while it was keeping up"),
        (Cause.FIN, {"upstream_silence": 49.9, "median_gap": 10.0}, Fault.CLIENT, "the client left after 3.0 s"),
        (Cause.FIN, {"upstream_silence": 50.1, "median_gap": 10.0}, Fault.UPSTREAM, "after 50.1 s"),
        (Cause.FIN, SILENT | {"blocked_writing": 2.0}, Fault.CLIENT, "the client had not been reading for 2.0 s"),
        (Cause.CLIENT_RESET, {"unsent_for": 1.25}, Fault.CLIENT, "the client had not been reading for 1.2 s"),
        (Cause.WRITE_TIMEOUT, {"blocked_writing": 60.2}, Fault.CLIENT, "the client had not been reading for 60.2 s"),
        (
            Cause.WRITE_TIMEOUT,
            {"blocked_writing": 1.9, "stop_wait": 2.1},
            Fault.CLIENT,
            "the client had not been reading for 2.1 s",
        ),
        (Cause.UNDELIVERED, {"write_errno": "EPIPE"}, Fault.CLIENT, "a write failed"),
        (Cause.IDLE_TIMEOUT, {"stop_wait": 300.0, "loop_lag": 1.0}, Fault.UPSTREAM, "the upstream was given 300.0 s"),
        (Cause.IDLE_TIMEOUT, {"stop_wait": 4.0, "loop_lag": 2.0}, Fault.RELAY, "our event loop lagged 2.0 s of the 4.0 s"),
        (Cause.FIRST_BYTE_TIMEOUT, {"stop_wait": 4.0, "loop_lag": 3.9}, Fault.RELAY, "our event loop lagged 3.9 s of the 4.0 s"),
        (Cause.EOF, {"reused_connection": True}, Fault.UNKNOWN, "a reused connection died before the first byte"),
        (Cause.RESET, {"reused_connection": True}, Fault.UNKNOWN, "a reused connection died before the first byte"),
        (Cause.EOF, {"reused_connection": True, "upstream_status": 200}, Fault.UPSTREAM, "ended after 0 bytes"),
        (Cause.RESET, {"upstream_bytes": 1335}, Fault.UPSTREAM, "the upstream ended after 1335 bytes of its body"),
        (Cause.HTTP_STATUS, {"upstream_status": 422}, Fault.CLIENT, "the upstream answered 422: the request itself was wrong"),
        (Cause.HTTP_STATUS, {"upstream_status": 503}, Fault.UPSTREAM, "the upstream answered 503"),
        (Cause.RATE_LIMITED, {"upstream_status": 429}, Fault.UPSTREAM, "the upstream answered 429"),
        (Cause.AUTH_REJECTED, {"upstream_status": 401}, Fault.OPERATOR, "the upstream answered 401"),
        (Cause.QUOTA_EXHAUSTED, {"upstream_status": 402}, Fault.OPERATOR, "the upstream answered 402"),
        (Cause.CONNECT_REFUSED, {}, Fault.UPSTREAM, "no connection to the upstream after 3.0 s: connect-refused"),
        (Cause.DNS, {}, Fault.UNKNOWN, "no connection to the upstream after 3.0 s: dns"),
        (Cause.PROXY, {}, Fault.OPERATOR, "no connection to the upstream after 3.0 s: proxy"),
        (Cause.DRAIN_DEADLINE, {}, Fault.RELAY, "the gateway ended it after 3.0 s: drain-deadline"),
        (Cause.OPERATOR_KILL, {}, Fault.OPERATOR, "the gateway ended it after 3.0 s: operator-kill"),
        (Cause.UNKNOWN, {}, Fault.UNKNOWN, "the client is gone; how it left could not be seen"),
        (Cause.BUG, {}, Fault.RELAY, "the gateway itself failed after 3.0 s: bug"),
    ],
)
def test_the_culprit_is_named_with_the_figures_it_rests_on(
    cause: Cause, facts: dict[str, Any], fault: Fault, reason: str
) -> None:
    known = {"phase": Phase.STREAMING, "ended_at": 3.0} | facts
    verdict = classify(Facts(occurrences=(Occurrence(3.0, cause),), **known))
    assert (verdict.fault, verdict.fault_reason) == (fault, verdict.fault_reason)
    assert reason in verdict.fault_reason


def test_a_request_that_ended_without_a_reason_is_a_bug_of_ours() -> None:
    assert ended() == (Outcome.RELAY_ERROR, Cause.BUG, Fault.RELAY)


times = st.floats(0, 1e6)
any_facts = st.builds(
    Facts,
    phase=st.sampled_from(Phase),
    occurrences=st.lists(st.builds(Occurrence, times, st.sampled_from(Cause), st.text()), max_size=5).map(tuple),
    finish=st.sampled_from([None, Outcome.COMPLETED, Outcome.INCOMPLETE]),
    terminal_sent=st.booleans(),
    upstream_status=st.none() | st.integers(100, 999),
    reused_connection=st.booleans(),
    upstream_bytes=st.sampled_from([0, 1, 1 << 20]),
    ended_at=times,
    upstream_silence=times,
    median_gap=times,
    blocked_writing=st.just(0.0) | times,
    unsent_for=st.just(0.0) | times,
    write_errno=st.sampled_from(["", "EPIPE"]),
    stop_wait=st.just(0.0) | times,
    loop_lag=st.just(0.0) | times,
)


@given(any_facts)
def test_whatever_the_facts_the_verdict_holds_together(facts: Facts) -> None:
    verdict = classify(facts)
    assert bool(verdict.message) == OUTCOMES[verdict.outcome].abnormal
    if facts.terminal_sent:
        assert not verdict.abnormal
        assert (verdict.cause, verdict.fault, verdict.fault_reason) == (None, None, "")
        return
    assert verdict.cause is not None
    assert verdict.outcome is CAUSES[verdict.cause].outcome
    assert verdict.fault is not None and verdict.fault_reason
    assert verdict.cause not in verdict.contributing


@given(any_facts.filter(lambda facts: bool(facts.occurrences) and not facts.terminal_sent))
def test_the_culprit_never_contradicts_the_evidence(facts: Facts) -> None:
    verdict = classify(facts)
    cause, fault = verdict.cause, verdict.fault
    assert cause is not None
    lagged = cause in TIMEOUTS and facts.loop_lag >= facts.stop_wait / 2 and facts.stop_wait > 0
    stuck = bool(facts.write_errno) or max(facts.blocked_writing, facts.unsent_for) >= 1.0
    if fault is Fault.RELAY and CAUSES[cause].fault is not Fault.RELAY:
        assert lagged
    if lagged:
        assert fault is Fault.RELAY
    if verdict.outcome is Outcome.CLIENT_ABORT:
        assert not stuck or cause is Cause.UNKNOWN
        assert fault is not Fault.UPSTREAM or facts.upstream_silence > max(10.0, 5 * facts.median_gap)
    if verdict.outcome is Outcome.CLIENT_WRITE_FAILED:
        assert fault is Fault.CLIENT
    if fault is Fault.UNKNOWN and CAUSES[cause].fault is not Fault.UNKNOWN:
        assert facts.reused_connection and not facts.upstream_bytes and facts.upstream_status is None


@given(any_facts.filter(lambda facts: len(facts.occurrences) > 1), st.randoms())
def test_the_order_in_which_callbacks_ran_decides_nothing(facts: Facts, random: Random) -> None:
    shuffled = list(facts.occurrences)
    random.shuffle(shuffled)
    one, other = classify(facts), classify(replace(facts, occurrences=tuple(shuffled)))
    assert (one.outcome, one.cause, one.fault) == (other.outcome, other.cause, other.fault)
