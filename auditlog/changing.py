"""Changes of what is recorded, asked for by the page or by the API; and what follows from them.

What must stay true: enabling ends a pause, whoever enables; a lower capacity or age is in force when the call returns.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone

from auditlog import neighbours, retention
from auditlog.models import RULES, RecordingState


def change(given: Mapping[str, Any]) -> int:
    """Sets the rules that `given` names, and says how many entries had to go."""
    with transaction.atomic():
        RecordingState.current()
        state = RecordingState.objects.select_for_update().get(pk=RecordingState.ONLY)
        for name in RULES:
            if name in given:
                setattr(state, name, given[name])
        if given.get("enabled") and not given.get("paused"):
            state.paused = False
        state.save()
    if "capture" in given:
        neighbours.capture(state.capture)
    return trim(state)


def trim(state: RecordingState) -> int:
    """Lets go what the rules no longer keep."""
    gone = 0 if state.capacity is None else retention.trim_to_capacity(state.capacity)
    if state.keep_days is not None:
        gone += retention.trim_older_than(timezone.now() - dt.timedelta(days=state.keep_days))
    retention.forget_payloads(timezone.now() - dt.timedelta(days=state.payload_days))
    return gone
