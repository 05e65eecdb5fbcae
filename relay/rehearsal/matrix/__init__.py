"""The fault matrix: one row for each provoked ending. It is run over real sockets, and it makes docs/endings.md.

Sections are in the order in which a request goes. To add a row: say what is provoked in words, with which script of the
rehearsal (`manage.py faultserver --list` names them), and what must come of it. To add a protocol: see protocols.py.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from relay.rehearsal.matrix.broken import BROKEN, BROKEN_WHOLE, LATE, SAID, UNREADABLE
from relay.rehearsal.matrix.clients import LEFT, REJECTED, STUCK
from relay.rehearsal.matrix.ended import AROUND, ATTEMPTS, EARLY, FINE
from relay.rehearsal.matrix.protocols import FURTHER
from relay.rehearsal.matrix.row import Case, Row, cases_of
from relay.rehearsal.matrix.unanswered import ANSWERED, CONNECTING, NOTHING

SECTIONS: dict[str, tuple[Row, ...]] = {
    "The upstream could not be reached": CONNECTING,
    "The upstream answered with a status": ANSWERED,
    "The upstream said nothing, or nothing of use": NOTHING,
    "The stream broke off": BROKEN,
    "A whole answer broke off": BROKEN_WHOLE,
    "It took too long": LATE,
    "The upstream said that it failed": SAID,
    "What cannot be read": UNREADABLE,
    "Around the terminal event": AROUND,
    "It ended properly": FINE,
    "More than one attempt": ATTEMPTS,
    "Committed before the upstream spoke": EARLY,
    "The client left": LEFT,
    "The client stopped reading": STUCK,
    "Refused by us": REJECTED,
}
ROWS: tuple[Row, ...] = tuple(row for rows in SECTIONS.values() for row in rows)

# What each further protocol, and each translation, is held to: one row of each kind.
CORE = frozenset(
    re.findall(
        r"\S+",
        """
        port-closed status-400 status-401 status-429 status-500 status-529 close-before-headers silent headers-then-close
        headers-then-end html eof half-event cut short-length reset bad-chunk read-late whole-cut whole-reset whole-malformed
        idle error-first error-later json-error-200 terminal-then-open terminal-then-reset ok tools reasoning split gzip
        mid-silence saved-401 saved-close not-again left-before-headers-fin left-big-request left-mid-stream-fin
        left-mid-stream-reset left-mid-whole-fin stuck-reset never-reads left-while-sending-fin bad-json bad-key unknown-model
        """,
    )
)
# Where a protocol cannot be what the row is about: Gemini has no marker, and its model is in the path; Ollama's errors name
# no status, and its streams are JSON.
NOT_FOR = {"gemini": {"terminal-then-reset", "unknown-model"}, "ollama": {"json-error-200"}}
DIFFERS: dict[str, dict[str, Any]] = {
    "error-later": {"evidence": {}, "differs": {}},
    "error-first": {"differs": {"ollama": {"status": 502}}},
}
# Client and upstream of the pairs that are translated.
VIA = (("chat", "messages"), ("messages", "chat"), ("responses", "gemini"), ("gemini", "responses"), ("ollama", "chat"))


def every_case() -> list[Case]:
    """The whole matrix for the protocols that have it, and the core for the others and for translations."""
    found = cases_of(ROWS)
    for tag in FURTHER:
        found += _core(tag)
    for tag, via in VIA:
        found += [replace(case, via=via) for case in _core(tag, via) if not case.row.credentials]
    return found


def _core(tag: str, via: str = "") -> list[Case]:
    core = CORE - NOT_FOR.get(tag, set()) - NOT_FOR.get(via, set())
    rows = (row for row in ROWS if row.name in core)
    cases = cases_of(tuple(replace(row, protocols=(tag,), **DIFFERS.get(row.name, {})) for row in rows))
    # What an error says of its status is the upstream's to say.
    return [
        replace(case, row=replace(case.row, status=500)) if via and case.row.name == "error-first" else case for case in cases
    ]
