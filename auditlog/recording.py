"""What recording is allowed to do, as every process of the gateway obeys it.

What must stay true: a change made anywhere is obeyed everywhere within a second and after a restart, because the row in
the database is the only truth and each process looks at it once a second, no oftener.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from django.apps import apps

SECONDS_BETWEEN_READS = 1.0
SAMPLED_OUTCOMES = frozenset({"completed", "incomplete"})  # what sampling may leave out; all else is always kept


@dataclass(frozen=True, slots=True)
class Rules:
    """The state as it was last read."""

    enabled: bool
    paused: bool
    sampling: float
    capacity: int | None
    keep_days: int | None
    payload_days: int

    @property
    def on(self) -> bool:
        return self.enabled and not self.paused

    def keeps(self, record_id: uuid.UUID, outcome: str) -> bool:
        """Whether sampling keeps this ending. The id decides, so that the same request always gets the same answer."""
        if outcome not in SAMPLED_OUTCOMES or self.sampling >= 1.0:
            return True
        return (record_id.int & 0xFFFFFFFF) < self.sampling * 2**32


_last: tuple[float, Rules] | None = None


def rules() -> Rules:
    """What the recording state says, at most a second old. Two threads may both look; both then know the same."""
    global _last
    last, now = _last, time.monotonic()
    if last is None or now - last[0] >= SECONDS_BETWEEN_READS:
        row = apps.get_model("auditlog", "RecordingState").current()
        last = _last = now, Rules(row.enabled, row.paused, row.sampling, row.capacity, row.keep_days, row.payload_days)
    return last[1]


def forget() -> None:
    """Read the row anew at the next question: it was just changed by this process."""
    global _last
    _last = None
