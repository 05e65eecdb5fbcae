"""A sentence for every cause; what it lacks it leaves out, and what is hostile it escapes."""

from __future__ import annotations

from typing import Any

import pytest

from proxy_project.verdict import SAYS, verdict
from relay.ending import Cause

SILENT = {
    "provider": "vllm-berlin",
    "event_count": 53,
    "timeline": {"connected": 9, "request_sent": 10, "first_event": 3480, "last_upstream_byte": 8640, "ended": 49_840},
}


def test_every_cause_has_its_words() -> None:
    assert set(SAYS) == {cause.value for cause in Cause} - {"unknown"}


@pytest.mark.parametrize("cause", SAYS)
@pytest.mark.parametrize("evidence", [{}, SILENT, {"timeline": "redacted", "event_count": "many", "credential": 7}])
def test_every_cause_makes_a_whole_sentence_of_whatever_there_is(cause: str, evidence: dict[str, Any]) -> None:
    sentence = str(verdict(evidence, outcome="upstream-error", cause=cause).sentence)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert "{" not in sentence
    assert "  " not in sentence


def test_a_request_whose_process_died_claims_no_more_than_was_heard_of_it() -> None:
    known = {"kind": "relay-lost", "written_chunks": 5, "written_bytes": 1331, "timeline": {"last_known": 1050}}
    told = verdict(known, outcome="relay-lost", cause="crash", fault="relay")
    assert "The client had 5 chunks, 1.3 KB when this was last heard of, after 1.05 s; it may have more." in told.remark
    for unknown in ({}, {"written_chunks": 0, "written_bytes": 0}):
        told = verdict({"kind": "relay-lost", **unknown}, outcome="relay-lost", cause="crash", fault="relay")
        assert "How much of an answer the client has is not known." in told.remark


def test_a_client_that_left_a_silent_upstream() -> None:
    found = verdict(
        SILENT,
        outcome="client-abort",
        cause="fin",
        fault="upstream",
        fault_reason="client left after 41.2 s of silence",
        client="k",
    )
    assert found.sentence == (
        "The client <b>k</b> closed its connection (FIN) after <b>41.2\u00a0s</b> of silence from the upstream "
        "<b>vllm-berlin</b> that followed <b>53 events</b>."
    )
    assert (found.fault, found.remark) == ("upstream", "Client left after 41.2 s of silence.")


@pytest.mark.parametrize(
    ("cause", "said"),
    [("fin", "The client <b>k</b> closed its connection (FIN)."), ("client-reset", "The client <b>k</b> reset its connection.")],
)
def test_no_intent_is_read_into_how_a_client_left(cause: str, said: str) -> None:
    """A killed process sends a FIN, too."""
    assert verdict({}, outcome="client-abort", cause=cause, fault="client", client="k").sentence == said
    assert not [words for words in SAYS.values() if "by choice" in words]


def test_a_client_that_left_a_silence_after_nobody_knows_how_many_events() -> None:
    found = verdict({**SILENT, "event_count": None}, outcome="client-abort", cause="fin").sentence
    assert found.endswith("after <b>41.2\u00a0s</b> in which the upstream <b>vllm-berlin</b> sent nothing.")
    assert "followed <b>1 event</b>." in verdict({**SILENT, "event_count": 1}, outcome="client-abort", cause="fin").sentence


def test_a_premature_close() -> None:
    found = verdict(SILENT, outcome="upstream-premature", cause="eof", fault="upstream")
    assert found.sentence == (
        "The upstream <b>vllm-berlin</b> closed the connection cleanly after <b>53 events</b>, without a terminal event, "
        "when it had been silent for <b>41.2\u00a0s</b>."
    )


@pytest.mark.parametrize(
    ("outcome", "evidence", "says"),
    [
        (None, {}, "In flight: it has not ended yet."),
        (None, {"provider": "o", "event_count": 1200}, "In flight: the upstream <b>o</b> has sent <b>1,200</b> events so far."),
        ("completed", {}, "Completed."),
        (
            "completed",
            {"timeline": {"first_event": 412, "ended": 3190}},
            "Completed in <b>3.19\u00a0s</b>; the first event came after <b>412\u00a0ms</b>.",
        ),
        (
            "incomplete",
            {"provider": "g", "finish_reason": "MAX_TOKENS"},
            "The upstream <b>g</b> ended its answer properly, but early: <code>MAX_TOKENS</code>.",
        ),
    ],
)
def test_normal_endings_have_nobodys_fault(outcome: str | None, evidence: dict[str, Any], says: str) -> None:
    found = verdict(evidence, outcome=outcome)
    assert (found.sentence, found.fault) == (says, "")


@pytest.mark.parametrize(
    ("evidence", "has"),
    [
        ({"written_chunks": 340, "written_bytes": 98_412}, "The client has 340 chunks, 98.4 KB."),
        (
            {
                "written_chunks": 1,
                "written_bytes": 12,
                "heartbeats": {"count": 1},
                "last_sent_event": "error",
                "sent_terminal": False,
            },
            "The client has 1 chunk, 12 B, then 1 heartbeat and an error event in its own protocol. No terminal event was sent.",
        ),
        ({"written_chunks": 1, "written_bytes": 70, "client_status": 502}, "The client was answered with 502."),
        ({"written_chunks": 0}, "The client has nothing of the answer."),
        ({"written_chunks": "many", "heartbeats": 7}, ""),
    ],
)
def test_what_the_client_has_of_a_broken_answer_is_told(evidence: dict[str, Any], has: str) -> None:
    assert verdict(evidence, outcome="upstream-error", cause="reset", fault="upstream").remark == has
    why = verdict(evidence, outcome="upstream-error", cause="reset", fault="upstream", fault_reason="it ended")
    assert why.remark == f"It ended. {has}".strip()
    assert verdict(evidence, outcome="completed").remark == ""


def test_what_is_no_request_is_told_in_its_own_words() -> None:
    assert verdict({}, outcome="KeyError", error="no such part").sentence == "no such part."
    assert verdict({}, outcome="KeyError", error="").sentence == "KeyError."


def test_a_cause_that_nobody_knows_gives_the_error_its_word() -> None:
    assert (
        verdict({}, outcome="upstream-error", cause="unheard-of", error="Upstream stream errored").sentence
        == "Upstream stream errored."
    )


def test_what_comes_from_outside_is_escaped() -> None:
    evil = "<script>alert(1)</script>"
    evidence = {"provider": evil, "error_code": evil, "event_count": 1, "credential": {"label": evil}, "finish_reason": evil}
    for cause in ("error-event", "auth-rejected", "fin", "nobody-knows"):
        assert "<script" not in verdict(evidence, outcome="upstream-error", cause=cause, client=evil, error=evil).sentence
    assert "<script" not in verdict(evidence, outcome="incomplete").sentence
