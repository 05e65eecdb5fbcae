"""The fault matrix: one row for each provoked ending. It is run over real sockets, and it makes docs/endings.md.

Sections are in the order in which a request goes. To add a row: say what is provoked in words, with which script of the
rehearsal (`manage.py faultserver --list` names them), and what must come of it. To add a protocol: see protocols.py.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from relay.ending import Cause, Fault, Outcome, Phase
from relay.rehearsal.matrix.broken import BROKEN, BROKEN_WHOLE, LATE, SAID, UNREADABLE
from relay.rehearsal.matrix.clients import LEFT, REJECTED, STUCK
from relay.rehearsal.matrix.ended import AROUND, ATTEMPTS, EARLY, FINE
from relay.rehearsal.matrix.protocols import ALL, COLUMNS, FURTHER
from relay.rehearsal.matrix.row import Case, Gets, Row, cases_of
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
        left-with-the-end
        """,
    )
)
# Where a protocol cannot be what the row is about: Gemini has no marker, and its model and whether it streams are in the
# path; Ollama's streams are lines of JSON, not events; neither has heartbeats, opening events or calls in pieces.
NO_BEATS = "early-silent early-closed early-late beats left-early left-behind-opening pings tool-half tool-cut"
NOT_FOR = {
    "gemini": set(
        f"""terminal-then-reset terminal-then-cut events-after-terminal unknown-model no-model bad-model bad-stream
        {NO_BEATS}""".split()
    ),
    "ollama": set(
        f"""json-error-200 comments-only done-only error-field error-field-first error-string error-string-first
        unterminated-last bom multi-line odd-lines usage-preview {NO_BEATS}""".split()
    ),
}
DIFFERS: dict[str, dict[str, Any]] = {"error-later": {"evidence": {}, "differs": {}}, "duplicate-id": {"evidence": {}}}
# Ollama's errors name no status, so that one inside a 200 is answered as what cannot be told more closely.
SAY_A_STATUS = frozenset(
    ("error-first", "error-first-opened", "error-first-429", "nul-first", "overloaded-in-band", "whole-error")
)
# What a translation does otherwise: it cannot pass on what it cannot read, and writes line ends of its own.
TRANSLATED: dict[str, dict[str, Any]] = {
    "malformed": {
        "outcome": Outcome.UPSTREAM_ERROR,
        "cause": Cause.MALFORMED_EVENT,
        "phase": Phase.STREAMING,
        "fault": Fault.UPSTREAM,
        "gets": Gets.TOLD,
        "evidence": {},
    },
    "unterminated-last": {"gets": Gets.WHOLE},
}
# Client and upstream of the pairs that are translated.
VIA = (("chat", "messages"), ("messages", "chat"), ("responses", "gemini"), ("gemini", "responses"), ("ollama", "chat"))


WIDE = frozenset(row.name for row in ROWS if row.protocols == ALL)
EVERY_PAIR = tuple((tag, via) for tag in COLUMNS for via in COLUMNS if tag != via)


def every_case(wide: bool = False) -> list[Case]:
    """The whole matrix for the protocols that have it, and the core for the others and for translations.

    `wide`: every row that is about no protocol of its own, for every protocol and every translated pair. It takes minutes.
    """
    found, names = cases_of(ROWS), WIDE if wide else CORE
    for tag in FURTHER:
        found += _held_to(names, tag)
    for tag, via in EVERY_PAIR if wide else VIA:
        found += [replace(case, via=via) for case in _held_to(names, tag, via) if not case.row.credentials]
    return found


def _held_to(names: frozenset[str], tag: str, via: str = "") -> list[Case]:
    core = names - NOT_FOR.get(tag, set()) - NOT_FOR.get(via, set())
    rows = (row for row in ROWS if row.name in core)
    differs = {name: DIFFERS.get(name, {}) | (TRANSLATED.get(name, {}) if via else {}) for name in names}
    if (via or tag) == "ollama":
        differs |= {name: {**differs[name], "status": 502} for name in SAY_A_STATUS & names}
    return cases_of(tuple(replace(row, protocols=(tag,), **differs[row.name]) for row in rows))
