"""docs/endings.md says what the matrix says, and the matrix is well made."""

from __future__ import annotations

from collections import Counter

from relay.ending import CAUSES, Cause
from relay.rehearsal.matrix import CORE, ROWS, every_case
from relay.rehearsal.matrix.gateway import STAGED
from relay.rehearsal.matrix.row import cases_of
from tests.faults.document import PLACE, document

# Causes that nothing can provoke yet, or that another folder's tests provoke, with the reason.
ELSEWHERE = {
    Cause.BAD_ENCODING: "the bytes pass and are noted; it ends nothing where nothing is translated",
    Cause.REQUEST_WRITE_FAILED: "tests/relay/transport: the scripted upstream reads every request whole",
    Cause.RELAY_BUSY: "tests/faults/test_routing.py",
    Cause.DRAINING: "tests/crash/test_shutdown.py",
    Cause.OVER_LIMIT: "tests/faults/test_routing.py",
    Cause.OVER_BUDGET: "tests/faults/test_routing.py",
    Cause.UNKNOWN: "tests/relay: another server than ours tells nothing of how a client left",
}


def test_the_document_is_current() -> None:
    assert PLACE.read_text() == document(), "run: python -m tests.faults.document"


def test_each_case_has_a_name_of_its_own() -> None:
    names = Counter(case.id for case in (*every_case(), *cases_of(STAGED)))
    assert not [name for name, count in names.items() if count > 1]


def test_the_core_names_rows_that_there_are() -> None:
    assert {row.name for row in ROWS} >= CORE


def test_every_cause_is_provoked_or_said_why_not() -> None:
    provoked = {row.cause for row in (*ROWS, *STAGED)} | {cause for row in ROWS for cause in row.saved}
    assert set(CAUSES) - provoked == set(ELSEWHERE)
