"""The sentence: every cause has one, with its figures, and hostile or missing evidence neither breaks nor enters it."""

from __future__ import annotations

from typing import Any

import pytest

from proxy_project.telling import told
from relay.ending import CAUSES, Cause, Outcome
from tests.test_drawing import EVIDENCE, HOSTILE

FULL = {
    **EVIDENCE,
    "provider": "openai",
    "event_count": 361,
    "written_chunks": 340,
    "written_bytes": 98_412,
    "sent_terminal": False,
}


def test_an_upstream_that_closed_early_is_told_with_its_figures() -> None:
    it = told(FULL, outcome="upstream-premature", cause="eof", client_key="ci")
    sentence = "{} closed the connection cleanly after 361 events, without a terminal event, when it had been silent for 30.0 s."
    assert it.plain == sentence.format("The upstream openai")
    assert it.html == sentence.format("The upstream <b>openai</b>")
    assert it.more == (
        "The client has 340 chunks, 98.4 KB, then 1 heartbeat and an error event in its own protocol. No terminal event was sent."
    )


@pytest.mark.parametrize(
    ("cause", "evidence", "words"),
    [
        ("fin", FULL, "The client ci left by choice (FIN) after 30.0 s in which openai sent nothing."),
        ("ws-close", {**FULL, "close_code": 1011}, "closed its WebSocket (1011) after 361 events"),
        ("rate-limited", {**FULL, "upstream_status": 429}, "limited the rate of requests: 429."),
        ("connect-timeout", {"provider": "x", "timeline": {"connect_start": 5, "ended": 10_005}}, "within 10.0 s."),
        ("bad-key", {}, "The request was refused: its key is not known."),
        ("error-event", {"provider": "x", "event_count": 1, "error_code": "boom"}, "in its stream (boom) after 1 event."),
    ],
)
def test_each_cause_has_its_own_words(cause: str, evidence: dict[str, Any], words: str) -> None:
    assert words in told(evidence, outcome="", cause=cause, client_key="ci").plain


@pytest.mark.parametrize("cause", [cause.value for cause in Cause if cause is not Cause.UNKNOWN])
@pytest.mark.parametrize("evidence", [FULL, {}, {"provider": None, "event_count": "x", "timeline": 3}])
def test_every_cause_makes_a_sentence_of_whatever_is_known(cause: str, evidence: dict[str, Any]) -> None:
    it = told(evidence, outcome=CAUSES[Cause(cause)].outcome.value, cause=cause)
    assert it.plain.endswith(".") and "  " not in it.plain and " ." not in it.plain and "None" not in it.plain
    assert it.plain[0].isupper() and "{" not in it.plain


def test_without_a_cause_the_message_is_the_sentence() -> None:
    assert told({}, outcome="", cause="", message="Something broke").plain == "Something broke."
    assert told(FULL, outcome=Outcome.COMPLETED.value, cause="").plain == "The upstream openai answered in full."


def test_hostile_text_stays_text() -> None:
    hostile = {**FULL, "provider": HOSTILE, "error_code": HOSTILE, "upstream_status": HOSTILE, "finish_reason": "{x}" + HOSTILE}
    for cause, outcome in (("error-event", "upstream-error"), ("fin", "client-abort"), ("", "incomplete"), ("zz", HOSTILE)):
        it = told(hostile, outcome=outcome, cause=cause, client_key=HOSTILE, message=HOSTILE)
        assert "<script" not in it.html
