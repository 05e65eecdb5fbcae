"""The classifier: each cause has a rule, ties are decided by rule, and it never raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.ending import CAUSES, OUTCOMES, Cause, Facts, Fault, Occurrence, Outcome, Phase, classify


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


times = st.floats(0, 1e6)


@given(
    st.builds(
        Facts,
        phase=st.sampled_from(Phase),
        occurrences=st.lists(st.builds(Occurrence, times, st.sampled_from(Cause), st.text()), max_size=5).map(tuple),
        finish=st.sampled_from([None, Outcome.COMPLETED, Outcome.INCOMPLETE]),
        terminal_sent=st.booleans(),
        upstream_status=st.none() | st.integers(100, 999),
        reused_connection=st.booleans(),
        upstream_silence=times,
        median_gap=times,
        blocked_writing=times,
        stop_wait=times,
        loop_lag=times,
    )
)
def test_whatever_the_facts_the_verdict_holds_together(facts: Facts) -> None:
    verdict = classify(facts)
    if facts.terminal_sent:
        assert not verdict.abnormal
    else:
        assert verdict.cause is not None
        assert verdict.outcome is CAUSES[verdict.cause].outcome
        assert verdict.fault is not None
        assert all(cause is not verdict.cause or cause in Cause for cause in verdict.contributing)
    assert bool(verdict.message) == OUTCOMES[verdict.outcome].abnormal
