"""What must hold of an observation: one function for each promise, all of them called for every case."""

from __future__ import annotations

import re
from typing import Any

import orjson

from relay.ending import CAUSES, CONNECTING, OUTCOMES, Outcome, Phase
from relay.rehearsal.ledger import Ended
from relay.rehearsal.matrix.protocols import Told
from relay.rehearsal.matrix.row import ANY, Ends, Gets, Leaves
from tests.faults.campaign import Observation

ORDER = (
    "routed",
    "connect_start",
    "connected",
    "request_sent",
    "upstream_headers",
    "first_upstream_byte",
    "first_event",
    "terminal_event",
    "ended",
)
UPSTREAM_CLOSED_WITHIN = 1.0  # seconds after the client went


def verdict(seen: Observation) -> None:
    """Exactly one entry, which says what the row says; an error event of the same request where it is abnormal."""
    row = seen.case.row
    assert len(seen.entries) == 1, f"{len(seen.entries)} entries"
    entry = seen.entry
    got = tuple(entry[name] for name in ("outcome", "cause", "phase", "fault"))
    if entry["cause"] in row.either:
        got = (got[0], row.cause, *got[2:])
    assert got == (row.outcome, row.cause, row.phase, row.fault), (entry["error"], entry["evidence"])
    assert [event["name"] for event in seen.events] == ([row.error_name] if row.error_name else [])
    for event in seen.events:
        assert event["message"] == entry["error"]
        assert event["message"].startswith(OUTCOMES[row.outcome].message)
        said = {name: event["context"].get(name) for name in ("cause", "phase", "fault", "fault_reason")}
        assert said == {name: entry[name] for name in said}
        assert {name: value for name, value in event["context"].items() if name in entry["evidence"]} == entry["evidence"]
    if row.reason:
        assert re.search(row.reason, entry["fault_reason"]), entry["fault_reason"]
    if row.fault is not None:
        assert entry["fault_reason"]
    saved = [item for item in reversed(seen.egress) if not _retried(item["evidence"]["attempts"][0])]
    assert [(item["cause"], item["credential"][-2:]) for item in saved] == [
        (cause, f"-{'abcd'[number]}") for number, cause in enumerate(row.saved)
    ]


def _retried(attempt: dict[str, Any]) -> bool:
    """Whether it died on a reused connection, and was made again on a new one: chance decides how often that happens."""
    return bool(attempt.get("reused")) and "new connection" in attempt.get("next", "")


def client_bytes(seen: Observation) -> None:
    """The status, the bytes and the end of the client's answer."""
    row, reply = seen.case.row, seen.seen.reply
    assert seen.seen.ends == row.ends, reply.raw[-300:]
    if row.status is not None:
        assert reply.status == row.status, reply.raw[:600]
        assert reply.headers["x-request-id"] == seen.entry["request_id"]
        for name, value in row.headers.items():
            assert reply.headers.get(name) == value
    assert seen.entry["client_status"] == row.status
    _BODIES[row.gets](seen)
    assert "content-encoding" not in reply.headers  # whatever the upstream's was
    if seen.case.streamed and row.status == 200:
        assert reply.headers["content-type"].startswith(seen.case.column.media)
        assert (reply.headers["cache-control"], reply.headers["x-accel-buffering"]) == ("no-cache", "no")
    if row.gets in (Gets.ERROR, Gets.PASSED):
        assert reply.headers["content-type"] == "application/json"


def _whole(seen: Observation) -> None:
    if seen.case.via:
        assert seen.seen.reply.body
        assert not seen.case.streamed or seen.case.column.frames(seen.body)
        return
    _same(seen.reference, _unbeaten(seen))
    if seen.case.streamed and not seen.case.row.script and seen.case.row.outcome is Outcome.COMPLETED:
        assert seen.body


def _mended(seen: Observation) -> None:
    assert seen.body.startswith(seen.reference)
    assert seen.body[len(seen.reference) :].strip(b"\n") == b""
    assert seen.body.endswith(b"\n\n")


def _marked(seen: Observation) -> None:
    assert seen.case.column.marker
    _same(seen.reference + seen.case.column.marker, seen.body)


def _converted(seen: Observation) -> None:
    """A stream that ends as the protocol wants, with the answer's text in it."""
    assert seen.case.column.end in seen.body
    assert seen.case.column.frames(seen.body)
    for word in (b"good", b"ending"):
        assert word in seen.body


def _gathered(seen: Observation) -> None:
    """One JSON object with the answer's id and text in it."""
    body = orjson.loads(seen.seen.reply.body)
    known = seen.case.column.id if not seen.case.via else ""  # where the upstream has none, one is made
    assert "IDENTITY" in str(orjson.loads(seen.body).get(known, "IDENTITY"))
    text = orjson.dumps(body)
    assert b"A good ending is told" in text


def _told(seen: Observation) -> None:
    """Every event that came whole, byte for byte, then the one error event."""
    body = _unbeaten(seen)
    column = seen.case.column
    came = seen.reference[: seen.reference.rfind(column.gap) + len(column.gap)] if column.gap in seen.reference else b""
    if seen.case.via:  # other words for the same: only that all of it is events, the last of which tells
        _says(seen, column.told(b"".join(column.frames(body)[:-1]), column.frames(body)[-1]))
        assert column.end not in body
        return
    if row_is_partial := seen.case.row.gets is Gets.TOLD_SO_FAR:
        came = b"".join(column.frames(body)[:-1])
        assert came and seen.reference.startswith(came)
    assert row_is_partial or body.startswith(came), f"lost: {_difference(came, body)}"
    _says(seen, seen.case.column.told(came, body[len(came) :]))
    assert seen.case.column.end not in body


def _unbeaten(seen: Observation) -> bytes:
    """The body without the heartbeats, which must be as many as the row says and lie between events."""
    row, beat = seen.case.row, seen.case.column.heartbeat
    body = seen.body
    if row.heartbeats == ANY:
        body = body.replace(beat, b"") if beat else body
    elif row.heartbeats:
        pieces = body.split(beat)
        assert len(pieces) - 1 == row.heartbeats == seen.entry["evidence"]["heartbeats"]["count"]
        assert all(not piece or piece.endswith(seen.case.column.gap) for piece in pieces[:-1])
        body = b"".join(pieces)
    return body


def _same(expected: bytes, got: bytes) -> None:
    if expected != got:  # said by hand, since pytest would lay megabytes side by side
        raise AssertionError(f"{len(got)} bytes; {_difference(expected, got)}")


def _difference(expected: bytes, got: bytes) -> str:
    at = next((at for at, (one, other) in enumerate(zip(expected, got, strict=False)) if one != other), len(got))
    return f"at byte {at} of {len(expected)}: {expected[at : at + 80]!r}, got {got[at : at + 80]!r}"


def _error(seen: Observation) -> None:
    body = orjson.loads(seen.seen.reply.body)
    _says(seen, seen.case.column.said(body))
    if OUTCOMES[seen.case.row.outcome].abnormal or seen.case.row.outcome is Outcome.REJECTED:
        assert seen.seen.reply.headers["proxy-status"].startswith("epitaph; error=")


def _says(seen: Observation, told: Told) -> None:
    cause = seen.case.row.cause
    assert cause is not None
    premature = CAUSES[cause].outcome is Outcome.UPSTREAM_PREMATURE
    assert not told.code or told.code == ("upstream_premature_close" if premature else cause.replace("-", "_"))
    assert seen.entry["request_id"] in told.message


def _passed(seen: Observation) -> None:
    """The upstream's own words and code, whatever event they came in."""
    said = seen.case.column.said(orjson.loads(seen.seen.reply.body))
    assert said.message.startswith("rehearsed")
    assert not said.code or said.code == seen.entry["evidence"].get("error_code", said.code)


def _part(seen: Observation) -> None:
    assert seen.seen.reply.body
    assert seen.seen.reply.status == 200


def _nothing(seen: Observation) -> None:
    assert not seen.seen.reply.raw


_BODIES = {
    Gets.WHOLE: _whole,
    Gets.MENDED: _mended,
    Gets.MARKED: _marked,
    Gets.CONVERTED: _converted,
    Gets.GATHERED: _gathered,
    Gets.TOLD: _told,
    Gets.TOLD_SO_FAR: _told,
    Gets.ERROR: _error,
    Gets.PASSED: _passed,
    Gets.PART: _part,
    Gets.NOTHING: _nothing,
}


def evidence(seen: Observation) -> None:
    """The evidence agrees with what client and upstream saw for themselves."""
    row, found = seen.case.row, seen.entry["evidence"]
    assert found["kind"] == row.outcome
    assert found["request_id"] == seen.entry["request_id"]
    assert found["client_request_id"] == seen.client_id
    _timeline(found["timeline"])
    received = len(seen.seen.reply.body)
    if seen.seen.ends is Ends.PROPERLY:
        beats = max(row.heartbeats, 0) * len(seen.case.column.heartbeat)
        assert found["written_bytes"] == received - beats
    elif row.status == 200 and row.phase is Phase.STREAMING:
        assert found["written_bytes"] >= received
    assert found["sent_terminal"] is (row.phase is Phase.FINISHING)
    if row.attempts is not None:
        assert sum(not _retried(attempt) for attempt in found["attempts"]) == row.attempts
    if seen.requests:
        made = [attempt for attempt in found.get("attempts", ()) if attempt.get("cause") not in CONNECTING]
        assert len(made) == len(seen.requests), "attempts on record and at the upstream differ"
        if seen.requests[-1].status and found.get("upstream_status") is not None:
            assert found["upstream_status"] == seen.requests[-1].status
    assert all(attempt.get("next") for attempt in found.get("attempts", [])[:-1])
    for path, value in row.evidence.items():
        holds(seen.entry, path, value)
    if row.ends is Ends.LEFT and row.phase is not Phase.FINISHING:
        _closed(found["client_socket"], row.client.leaves)


def holds(entry: dict[str, Any], path: str, value: object) -> None:
    """`path` in the evidence (`entry.` begins a column) has the value, or contains it where it is a list."""
    found: Any = entry if path.startswith("entry.") else entry["evidence"]
    for name in path.removeprefix("entry.").split("."):
        found = found.get(name) if isinstance(found, dict) else None
    assert value in found if isinstance(found, list) else found == value, f"{path} is {found!r}"


def _timeline(offsets: dict[str, float]) -> None:
    known = [(name, offsets[name]) for name in ORDER if name in offsets]
    assert known == sorted(known, key=lambda pair: pair[1]), f"out of order: {known}"
    assert min(offsets.values()) >= 0
    assert offsets["ended"] == max(offsets.values())
    for first, last in (("first_upstream_byte", "last_upstream_byte"), ("first_client_write", "last_client_write")):
        if first in offsets:
            assert offsets[first] <= offsets[last]
    if "first_event" in offsets and "first_client_write" in offsets:
        assert offsets["first_event"] <= offsets["first_client_write"]


def _closed(socket: dict[str, Any], leaves: Leaves) -> None:
    expected = {Leaves.FIN: ("fin", "reset"), Leaves.HALF: ("fin",), Leaves.RESET: ("reset",), Leaves.VANISHES: ("timeout",)}
    assert socket["closed"] in expected[leaves], socket


def upstream_side(seen: Observation) -> None:
    """Nothing is left open behind an abnormal ending, and what a client left is closed within a second."""
    row = seen.case.row
    for record in seen.requests:
        if seen.seen.left_at is not None and row.phase is not Phase.FINISHING:
            assert record.ended_at is not None, "the upstream's connection is still open"
            # The relay stands still when we do, and unlike us it may have to wait for its turn twice.
            assert record.ended_at - seen.seen.left_at < UPSTREAM_CLOSED_WITHIN + 2 * seen.stalled
        elif row.error_name and record.ended is Ended.OPEN:
            # A whole error answer is no reason to close a connection; anything else is.
            assert record.answered, "the upstream's connection is still open"


PROMISES = (verdict, client_bytes, evidence, upstream_side)
