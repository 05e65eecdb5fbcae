"""The fault matrix: one row for each provoked ending. It is run over real sockets, and it makes docs/endings.md.

Sections are in the order in which a request goes. To add a row: say what is provoked in words, with which script of the
rehearsal (`manage.py faultserver --list` names them), and what must come of it. To add a protocol: see protocols.py.
"""

from __future__ import annotations

from relay.rehearsal.matrix.broken import BROKEN, BROKEN_WHOLE, LATE, SAID, UNREADABLE
from relay.rehearsal.matrix.clients import LEFT, REJECTED, STUCK
from relay.rehearsal.matrix.ended import AROUND, ATTEMPTS, EARLY, FINE
from relay.rehearsal.matrix.row import Row
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
