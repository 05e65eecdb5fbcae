"""When how much had been written to a client, so that the age of what lies unsent at its end can be told."""

from __future__ import annotations

MOST = 16  # marks that are kept
RECENT = 8  # of them, those that are never thinned out


class WriteMarks:
    """Marks of one stream, a few a second at the most; far back they stand further apart."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def mark(self, now: float, written: int) -> None:
        """By `now` (seconds), `written` bytes had been written in all."""
        marks = self._marks
        if marks and marks[-1][1] == written:
            return
        marks.append((now, written))
        if len(marks) > MOST:
            del marks[1:-RECENT:2]

    def age(self, now: float, taken: int) -> float:
        """Seconds for which the first byte behind the `taken` ones has been written at the least; 0.0 when no mark tells."""
        return next((now - at for at, written in self._marks if written > taken), 0.0)
