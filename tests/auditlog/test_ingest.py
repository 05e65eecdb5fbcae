"""From entries to rows: open, live, close; once each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from auditlog.ingest import store_entries
from auditlog.models import AuditEntry, RecordingState

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]


def test_a_request_is_open_and_then_closed_and_never_opened_again(entry: Build) -> None:
    first = entry(outcome=None, model="gpt-5")
    store_entries([first])
    assert AuditEntry.objects.get().outcome is None
    store_entries([first | {"outcome": "completed", "status": 200}])
    store_entries([first | {"model": "other"}])
    row = AuditEntry.objects.get()
    assert (row.outcome, row.status, row.model) == ("completed", 200, "gpt-5")


def test_open_and_close_in_one_batch_are_one_row(entry: Build) -> None:
    first = entry(outcome=None)
    assert store_entries([first, first | {"outcome": "rejected"}, first]).stored == 1
    assert AuditEntry.objects.get().outcome == "rejected"


def test_nothing_is_recorded_while_paused_and_what_is_left_out_is_counted(entry: Build) -> None:
    state = RecordingState.current()
    state.paused = True
    state.save()
    store_entries([entry(), entry()])
    assert not AuditEntry.objects.exists()
    assert RecordingState.current().dropped == 2


def test_sampling_leaves_out_normal_completions_alone(entry: Build) -> None:
    state = RecordingState.current()
    state.sampling = 0.0
    state.save()
    store_entries([entry(), entry(outcome="upstream-error")])
    assert AuditEntry.objects.get().outcome == "upstream-error"
    assert RecordingState.current().sampled == 1


def test_a_text_that_is_too_long_is_cut_and_the_row_lands(entry: Build) -> None:
    store_entries([entry(model="m" * 9000)])
    assert len(AuditEntry.objects.get().model or "") == 500
