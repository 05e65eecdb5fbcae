"""The vocabulary of the fault matrix: what a row says about one provoked ending.

A row is provoked once for each protocol in `protocols` and each mode in `modes`; each of these is a `Case`. A row states
what it expects in full, so that the table is a second opinion on relay.ending and not a copy of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from relay.ending import OUTCOMES, Cause, Fault, Outcome, Phase
from relay.rehearsal.matrix.protocols import ALL, COLUMNS, Column


class Mode(StrEnum):
    STREAM = "stream"
    WHOLE = "whole"


class Gets(StrEnum):
    """What the client's bytes must be. The upstream's own bytes are fetched from it directly, and compared."""

    WHOLE = "the upstream's bytes, all of them and nothing else"
    MENDED = "the upstream's bytes, and the line end that they lacked"
    MARKED = "the upstream's bytes, and the end marker that its protocol wants"
    GATHERED = "the upstream's stream as one whole answer of its protocol"
    CONVERTED = "the upstream's answer as a stream of its protocol"
    TOLD = "every event that came whole, then one error event of its protocol"
    TOLD_SO_FAR = "the events up to then, then one error event of its protocol"
    ERROR = "an error of ours as JSON in its protocol"
    PASSED = "the upstream's own error, in its words"
    PART = "a beginning of the upstream's bytes"
    NOTHING = "nothing"

    @property
    def compared(self) -> bool:
        """Whether the bytes are held against the upstream's own."""
        return self in (Gets.WHOLE, Gets.MENDED, Gets.MARKED, Gets.TOLD, Gets.TOLD_SO_FAR)


class Ends(StrEnum):
    """How the client's HTTP answer ends."""

    PROPERLY = "as HTTP says"
    CUT = "cut"
    LEFT = "the client left"


class Leaves(StrEnum):
    """How the client goes."""

    STAYS = "stays"
    FIN = "closes"
    RESET = "resets"
    HALF = "half-closes"
    VANISHES = "vanishes"


@dataclass(frozen=True, slots=True)
class Client:
    """What the client does. One that stays reads to the end."""

    leaves: Leaves = Leaves.STAYS
    after: bytes = b""  # reads until this came; empty: reads nothing; `END` and `FIRST` are the protocol's own
    waits: float = 0.0  # seconds, having read that, without reading more
    pace: int = 0  # bytes that it reads each 50 ms; 0: as fast as they come
    drains: bool = False  # reads while it waits, so that nothing lies unread when it leaves
    sends: float = 1.0  # the share of its request's body that it sends
    pads: int = 0  # bytes of padding in that body
    declares: int | None = None  # the content-length that it states, when not the truth
    buffer: int = 0  # its receive buffer, when it is to be small


END, FIRST = b"<the end>", b"<the first event>"
ANY = -1
STAYS = Client()


@dataclass(frozen=True, slots=True)
class Row:
    """One provoked ending. `script` is the rehearsal's (its default the row's name); `upstream` a group of upstreams.py."""

    name: str
    provoked: str
    outcome: Outcome
    cause: Cause | None
    phase: Phase
    fault: Fault | None
    status: int | None  # that the client is answered with; None when it left before
    gets: Gets
    ends: Ends = Ends.PROPERLY
    protocols: tuple[str, ...] = ALL
    modes: tuple[Mode, ...] = (Mode.STREAM,)
    script: str = ""
    upstream: str = "plain"
    credentials: int = 0  # above 0: each case has upstreams of its own, with so many credentials, which may cool
    behind: str = ""  # the address of an upstream that is tried before those
    reference: str = ""  # the script whose bytes the client's are held against, when not `script`
    client: Client = STAYS
    request: Mapping[str, Any] = field(default_factory=dict)  # what the request says otherwise; None takes a field away
    headers: Mapping[str, str] = field(default_factory=dict)  # that the answer must carry
    evidence: Mapping[str, Any] = field(default_factory=dict)  # that must be on record (see `holds` in checks.py)
    reason: str = ""  # that `fault_reason` must match, a regular expression
    attempts: int | None = None  # how many must be on record
    heartbeats: int = 0  # how many the client is sent; `ANY`: the upstream's own, however many came
    saved: tuple[Cause, ...] = ()  # causes of the attempts that the next one saved: egress entries
    either: tuple[Cause, ...] = ()  # causes that chance may put in its place
    differs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by protocol or mode: fields that differ

    @property
    def error_name(self) -> str:
        """The name of its one error event; empty when there must be none."""
        return OUTCOMES[self.outcome].name


@dataclass(frozen=True, slots=True)
class Case:
    """One row, for one protocol, streamed or whole."""

    row: Row
    column: Column
    mode: Mode
    via: str = ""  # the protocol of the only upstream there is, which then is translated

    @property
    def id(self) -> str:
        through = f"-via-{self.via}" if self.via else ""
        return f"{self.column.tag}{through}-{self.mode}-{self.row.name}"

    @property
    def streamed(self) -> bool:
        return self.mode is Mode.STREAM

    @property
    def model(self) -> str:
        """The script that the upstream plays, and which group of upstreams is to play it."""
        script = self.row.script or self.row.name
        return f"{script},on={self.group}" + (f",via={self.via}" if self.via else "")

    @property
    def group(self) -> str:
        """The group of upstreams that serves it."""
        return f"own-{self.id}" if self.row.credentials else self.row.upstream


def cases_of(rows: tuple[Row, ...]) -> list[Case]:
    """Every case of these rows, with what differs put in."""
    found = []
    for row in rows:
        for tag in row.protocols:
            for mode in row.modes:
                fields = {**row.differs.get(mode, {}), **row.differs.get(tag, {}), **row.differs.get(f"{tag}-{mode}", {})}
                found.append(Case(replace(row, **fields) if fields else row, COLUMNS[tag], mode))
    return found
