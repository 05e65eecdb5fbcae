"""Makes docs/endings.md out of the fault matrix: `python -m tests.faults.document`. A test holds the file against it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from relay.ending import CAUSES, OUTCOMES, Outcome
from relay.rehearsal.matrix import CORE, SECTIONS, VIA, every_case
from relay.rehearsal.matrix.gateway import KILLED, ORDERED, SHORT, STAGED, STOPPED, WRONG
from relay.rehearsal.matrix.protocols import ALL
from relay.rehearsal.matrix.row import Case, Ends, Gets, Mode, Row, cases_of

PLACE = Path(__file__).resolve().parents[2] / "docs" / "endings.md"
INTRO = Path(__file__).with_name("endings_intro.md")
GATEWAY: dict[str, tuple[Row, ...]] = {
    "The gateway was stopped or killed": (*STOPPED, *ORDERED, *KILLED),
    "The gateway failed, or lacked something": (*WRONG, *SHORT),
}
HEAD = ("provoked", "for", "outcome", "cause", "phase", "fault", "status", "the client gets")


def document() -> str:
    """The whole text."""
    sections = SECTIONS | GATEWAY
    rows = [row for found in sections.values() for row in found]
    cases = len(every_case()) + len(cases_of(STAGED))
    pairs = ", ".join(f"{tag} from {via}" for tag, via in VIA)
    count = (
        f"{len(rows)} rows, {cases} cases over real sockets. *All* are chat, responses and messages; one row of each kind "
        f"({len(CORE)} of them, marked ◦) also runs for Gemini and Ollama, and translated: {pairs}. "
        f"With `MATRIX=wide` every row that is about no protocol of its own does, for all five protocols and all twenty pairs "
        f"({len(every_case(wide=True))} cases)."
    )
    parts = [INTRO.read_text().rstrip(), _outcomes(), _causes(), f"## The fault matrix\n\n{count}\n"]
    for title, found in sections.items():
        lines = [line for row in found for line in _lines(row)]
        parts.append(f"### {title}\n\n{_table(HEAD, lines)}")
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _outcomes() -> str:
    rows = [(f"`{outcome}`", rule.name or "–", rule.message or "–") for outcome, rule in OUTCOMES.items()]
    return "## Outcomes\n\nThe full message is the one below, then `: ` and the detail when there is one.\n\n" + _table(
        ("outcome", "error event", "message"), rows
    )


def _causes() -> str:
    """One line an outcome and default fault: what each cause means before anything of the request is known."""
    found: dict[tuple[Outcome, str, int], list[str]] = {}
    for cause, rule in CAUSES.items():
        found.setdefault((rule.outcome, rule.fault, rule.status), []).append(f"`{cause}`")
    rows = [(" ".join(causes), f"`{key[0]}`", key[1], str(key[2] or "–")) for key, causes in found.items()]
    return "## Causes\n\n" + _table(("cause", "outcome", "fault by default", "status before commitment"), rows)


def _lines(row: Row) -> Iterable[tuple[str, ...]]:
    """One line for the cases of a row that end alike."""
    groups: dict[tuple[str, ...], list[Case]] = {}
    for case in cases_of((row,)):
        groups.setdefault(_ending(case), []).append(case)
    for ending, cases in groups.items():
        yield (row.provoked + (" ◦" if row.name in CORE else ""), _where(cases), *ending)


def _ending(case: Case) -> tuple[str, ...]:
    row = case.row
    gets = row.gets.value
    if row.heartbeats > 0:
        gets = f"{row.heartbeats} heartbeat, then {gets}"
    if row.ends is not Ends.PROPERLY and row.gets is not Gets.NOTHING:
        gets += f" ({row.ends.value})"
    if row.saved:
        gets += "; the failed attempt is an `egress` entry"
    return (f"`{row.outcome}`", f"`{row.cause}`" if row.cause else "–", row.phase, row.fault or "–", str(row.status or "–"), gets)


def _where(cases: list[Case]) -> str:
    tags = list(dict.fromkeys(case.column.tag for case in cases))
    modes = {case.mode for case in cases}
    words = "all" if tuple(tags) == ALL else ", ".join(tags)
    return words + (", streamed and whole" if len(modes) > 1 else ", whole" if modes == {Mode.WHOLE} else "")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


if __name__ == "__main__":
    PLACE.write_text(document())
    print(f"{PLACE} written")
