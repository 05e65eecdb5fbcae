"""The recorder: the same records as the original's, plus ours; never raising; both logs in one line."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import proxy_project
from errorlog import redaction
from relay import close_record, journal, recorder
from relay.ending import OUTCOMES, Cause, Fault, Outcome, Phase, Verdict
from relay.recorder import Ending, new_record_id, record_error_event, record_open, record_stream_close

pytestmark = pytest.mark.usefixtures("journal_folder")

EVIDENCE: dict[str, Any] = {
    "kind": "upstream-premature",
    "request_id": "req_0190",
    "tag": "chat",
    "provider": "acme",
    "path": "/v1/chat/completions",
    "model": "gpt-x",
    "credential": {"id": 3, "label": "team-a"},
    "event_count": 41,
    "had_reasoning": False,
    "written_chunks": 12,
    "written_bytes": 0,
    "close_reason": "",
    "upstream_status": 200,
    "client_status": 200,
}


@pytest.fixture(autouse=True)
def counters() -> Iterator[None]:
    recorder.state.degraded = recorder.state.lost = 0
    yield


def verdict(outcome: Outcome = Outcome.UPSTREAM_PREMATURE, cause: Cause | None = Cause.EOF, detail: str = "") -> Verdict:
    return Verdict(outcome, cause, Phase.STREAMING, Fault.UPSTREAM, "it ended after 12 bytes", detail)


def written() -> list[dict[str, Any]]:
    """The lines of this test's journal, without its begin line."""
    target = journal.current()
    assert target is not None
    text = b"".join(path.read_bytes() for path in sorted(target.folder.glob("*.jsonl")))
    return [orjson.loads(line) for line in text.splitlines()][1:]


def closed(ending: object) -> dict[str, Any]:
    record_stream_close(ending)
    return written()[-1]


def test_an_abnormal_ending_is_one_line_with_both_records_under_one_id() -> None:
    record = new_record_id()
    line = closed(Ending(verdict(detail="peer closed"), EVIDENCE, {"client_key": "laptop"}, record_id=record))
    assert line["id"] == line["entry"]["id"] == line["event"]["id"] == record
    assert line["entry"]["request_id"] == line["event"]["request_id"] == "req_0190"
    message = "Upstream stream closed before terminal event: peer closed"
    assert line["entry"]["error"] == line["event"]["message"] == message
    assert line["event"]["name"] == "StreamUpstreamPrematureClose"
    assert line["event"]["source"] == "server"
    assert line["event"]["stack"] == ""
    assert line["event"]["version"] == proxy_project.VERSION


@pytest.mark.parametrize("outcome", [outcome for outcome, rule in OUTCOMES.items() if rule.abnormal])
def test_every_abnormal_outcome_has_its_name_and_message(outcome: Outcome) -> None:
    line = closed(Ending(verdict(outcome), EVIDENCE))
    assert (line["event"]["name"], line["event"]["message"]) == (OUTCOMES[outcome].name, OUTCOMES[outcome].message)


@pytest.mark.parametrize("outcome", [Outcome.COMPLETED, Outcome.INCOMPLETE, Outcome.REJECTED])
def test_a_normal_ending_has_an_audit_entry_alone_and_no_error(outcome: Outcome) -> None:
    line = closed(Ending(Verdict(outcome, None, Phase.FINISHING, None, detail="length"), EVIDENCE))
    assert "event" not in line
    assert "error" not in line["entry"]
    assert line["entry"]["outcome"] == outcome.value


def test_context_is_the_whole_evidence_and_the_verdict() -> None:
    context = closed(Ending(verdict(), EVIDENCE, {"client_key": "laptop"}))["event"]["context"]
    assert context == EVIDENCE | {
        "outcome": "upstream-premature",
        "cause": "eof",
        "phase": "streaming",
        "fault": "upstream",
        "fault_reason": "it ended after 12 bytes",
        "client_key": "laptop",
    }


def test_null_is_left_out_at_every_depth_and_false_zero_and_empty_stay() -> None:
    evidence = {"a": None, "b": False, "c": 0, "d": "", "e": {"f": None, "g": 0}, "h": [{"i": None, "j": False}]}
    expected = {"b": False, "c": 0, "d": "", "e": {"g": 0}, "h": [{"j": False}]}
    abnormal = closed(Ending(verdict(), evidence))
    normal = closed(Ending(Verdict(Outcome.COMPLETED, None, Phase.FINISHING, None), evidence))
    assert abnormal["entry"]["evidence"] == normal["entry"]["evidence"] == expected
    assert expected.items() <= abnormal["event"]["context"].items()


def test_a_missing_request_id_is_filled_and_what_is_known_is_used() -> None:
    evidence = {"attempts": [{"upstream": "first"}, {"upstream": "second"}], "path": "/v1/responses"}
    line = closed(Ending(verdict(), evidence))
    assert line["entry"]["request_id"] == line["event"]["request_id"] == "stream-close"
    assert line["entry"]["path"] == "/v1/responses"
    assert line["entry"]["provider"] == "second"
    assert line["entry"]["direction"] == "egress"


def test_two_records_without_request_id_have_ids_of_their_own() -> None:
    assert closed(Ending(verdict()))["id"] != closed(Ending(verdict()))["id"]


@pytest.mark.parametrize(
    ("upstream", "client", "outcome", "status"),
    [
        (200, 504, Outcome.UPSTREAM_PREMATURE, 200),
        ("503", 502, Outcome.UPSTREAM_ERROR, 503),
        (True, 502, Outcome.UPSTREAM_ERROR, 502),
        ("oops", 502, Outcome.UPSTREAM_ERROR, 502),
        (None, 502, Outcome.UPSTREAM_ERROR, 502),
        (None, None, Outcome.CLIENT_ABORT, 499),
        (None, None, Outcome.CLIENT_WRITE_FAILED, 499),
        (None, None, Outcome.RELAY_ERROR, None),
        (429, None, Outcome.CLIENT_ABORT, 429),
    ],
)
def test_status_is_the_upstreams_else_the_clients_else_499_when_the_client_left(
    upstream: object, client: object, outcome: Outcome, status: int | None
) -> None:
    line = closed(Ending(verdict(outcome), {"upstream_status": upstream, "client_status": client}))
    assert line["entry"].get("status") == status


def test_fingerprint_holds_what_one_failure_has_in_common() -> None:
    name = "StreamUpstreamPrematureClose"
    assert closed(Ending(verdict(), EVIDENCE))["event"]["fingerprint"] == [*(name, "eof", "acme", "200", "after first byte")]
    quiet = EVIDENCE | {"written_chunks": 0, "close_code": 1006}
    assert closed(Ending(verdict(), quiet))["event"]["fingerprint"] == [*(name, "eof", "acme", "1006", "before first byte")]


def test_an_attempt_that_was_saved_becomes_an_egress_entry_with_an_id_of_its_own() -> None:
    line = closed(Ending(verdict(), EVIDENCE, egress=[{"id": None, "provider": "first", "request_id": "req_0190"}]))
    (saved,) = line["egress"]
    assert saved["direction"] == "egress"
    assert saved["id"] not in (None, line["id"])


def test_secrets_are_taken_out_of_normal_and_abnormal_endings_alike() -> None:
    secret = "sk-proj-" + "a1B2c3D4" * 5
    for given_verdict in (verdict(detail=f"401 for {secret}"), Verdict(Outcome.COMPLETED, None, Phase.FINISHING, None)):
        record_stream_close(
            Ending(given_verdict, {"upstream_body": {"text": f"bad key {secret}"}}, {"user_agent": f"x {secret}"})
        )
    record_open(new_record_id(), time.time(), {"path": f"/v1/models?key={secret}"})
    record_error_event({"name": "ValueError", "message": f"no {secret}", "context": {"password": "hunter22"}})
    text = orjson.dumps(written())
    assert secret.encode() not in text
    assert b"hunter22" not in text


def test_text_that_a_database_refuses_is_escaped() -> None:
    for given_verdict in (verdict(detail="a\0b"), Verdict(Outcome.COMPLETED, None, Phase.FINISHING, None)):
        line = closed(Ending(given_verdict, {"detail": "nul \0 and \ud800"}, {"model": "m\0", "user_agent": "\udfff"}))
        assert "\0" not in str(line["entry"].values())
        assert redaction.storable(line) == line
        assert "evidence-lost" not in line["entry"]["evidence"].get("notes", [])


def test_odd_values_do_not_cost_the_record() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

    line = closed(Ending(verdict(), {"a": 1 << 70, "b": Odd(), "c": {1: 2}, "d": float("nan"), "e": {"x"}}))
    assert line["entry"]["evidence"]["b"] == "odd"
    assert line["entry"]["evidence"]["a"] == str(1 << 70)
    assert recorder.state.degraded == 0


@pytest.mark.parametrize("broken", [None, object(), {}, {"verdict": "x"}, {"evidence": []}, Ending(), 7, "text"])
def test_a_broken_ending_still_becomes_a_record(broken: object) -> None:
    line = closed(broken)
    assert line["entry"]["outcome"] == "relay-error"
    assert line["event"]["name"] == "StreamRelayError"


class Hostile:
    """An ending each of whose fields raises."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("hostile")


def _raise(*args: object, **kwargs: object) -> Any:
    raise RuntimeError("broken on purpose")


class Unreadable:
    def __str__(self) -> str:
        raise RuntimeError("no version")


BREAKS = {
    "clock": (time, "time", _raise),
    "encoder": (orjson, "dumps", _raise),
    "redaction": (redaction, "redact", _raise),
    "database-safe strings": (redaction, "storable", _raise),
    "builder": (recorder, "close_record", _raise),
    "quick look": (recorder, "harmless", _raise),
}


@pytest.mark.parametrize("what", BREAKS)
def test_with_any_dependency_broken_the_ending_is_recorded_poorer_and_counted(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = journal.current()
    assert target is not None
    record = new_record_id()
    with monkeypatch.context() as patch:
        patch.setattr(*BREAKS[what])
        secret = "sk-proj-" + "a1B2c3D4" * 5
        record_stream_close(Ending(verdict(detail=secret), EVIDENCE, {"request_id": "req_0190", "time": 1.5}, record_id=record))
    line = written()[-1]
    assert recorder.state.degraded == 1
    assert recorder.state.lost == 0
    assert line["id"] == line["entry"]["id"] == line["event"]["id"] == record
    assert line["entry"]["request_id"] == line["event"]["request_id"] == "req_0190"
    assert line["entry"]["outcome"] == "upstream-premature"
    assert line["entry"]["cause"] == "eof"
    assert line["event"]["name"] == "StreamUpstreamPrematureClose"
    assert secret not in str(line)


def test_a_hostile_ending_is_recorded_poorer() -> None:
    assert closed(Hostile())["entry"]["request_id"] == "stream-close"
    assert recorder.state.degraded == 1


@pytest.mark.parametrize("version", [Unreadable(), ""])
def test_an_unreadable_version_is_unknown(version: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_project, "VERSION", version)
    assert closed(Ending(verdict()))["event"]["version"] == "unknown"


def test_a_missing_version_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(proxy_project, "VERSION")
    assert closed(Ending(verdict()))["event"]["version"] == "unknown"


def test_a_journal_that_cannot_be_opened_or_raises_costs_the_caller_nothing(
    journal_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.shut()
    journal_folder.rmdir() if journal_folder.exists() and not any(journal_folder.iterdir()) else None
    monkeypatch.setattr(journal.Journal, "close", _raise)
    record_stream_close(Ending(verdict()))
    assert recorder.state.lost == 1
    monkeypatch.setattr(journal, "current", _raise)
    record_open(new_record_id(), 0.0, {})
    recorder.record_live(new_record_id(), 0.0, {})
    record_error_event({})
    record_stream_close(Ending(verdict()))
    assert recorder.state.lost == 5


def test_an_error_event_is_completed_and_keeps_what_it_was_given() -> None:
    record_error_event({"name": "ValueError", "message": "no", "context": {"a": 1}, "version": "9"})
    line = written()[-1]
    assert line["t"] == "error"
    assert line["event"]["id"] == line["id"]
    assert line["event"] | {"name": "ValueError", "message": "no", "version": "9", "context": {"a": 1}} == line["event"]


@pytest.mark.parametrize("event", [None, 7, {"context": Unreadable()}, {"name": Unreadable()}])
def test_a_broken_error_event_is_reported_all_the_same(event: Any) -> None:
    record_error_event(event)
    assert written()[-1]["t"] == "error"
    assert recorder.state.degraded == 1


def test_the_shared_builder_needs_neither_clock_nor_settings() -> None:
    line = close_record.close_record(Ending(verdict()), 5.0, "1")
    assert (line["at"], line["entry"]["time"], line["event"]["time"]) == (5.0, 5.0, 5.0)
