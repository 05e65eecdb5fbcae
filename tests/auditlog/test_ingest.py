"""From entries to rows: open, live, close; once each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from auditlog import columns
from auditlog.ingest import store_entries
from auditlog.models import AuditEntry, HourlyCount, RecordingState

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


def counted() -> dict[tuple[str, str, str], int]:
    rows = HourlyCount.objects.values_list("provider", "outcome", "fault", "count")
    return {(provider, outcome, fault): count for provider, outcome, fault, count in rows}


def test_the_same_batch_twice_changes_nothing(entry: Build) -> None:
    batch = [entry(provider="openai"), entry(outcome="upstream-error", fault="upstream", provider="openai")]
    assert store_entries(batch).stored == 2
    again = store_entries(batch)
    assert (again.stored, again.duplicates) == (0, 2)
    assert counted() == {("openai", "completed", ""): 1, ("openai", "upstream-error", "upstream"): 1}
    assert RecordingState.current().size == 2


def test_an_update_of_an_open_request_keeps_what_was_known(entry: Build) -> None:
    first = entry(outcome=None, model="gpt-5", bytes_out=10)
    store_entries([first])
    store_entries([{"id": first["id"], "bytes_out": 20}])
    row = AuditEntry.objects.get()
    assert (row.model, row.bytes_out, row.outcome) == ("gpt-5", 20, None)


def test_requests_are_counted_once_each_recorded_or_not(entry: Build) -> None:
    state = RecordingState.current()
    state.sampling = 0.0
    state.save()
    opened = entry(outcome=None, provider="openai")
    store_entries([opened])
    store_entries([opened | {"outcome": "completed"}, entry(provider="openai"), entry(outcome="rejected", fault="client")])
    store_entries([opened | {"outcome": "completed"}])
    assert counted() == {("openai", "completed", ""): 2, ("", "rejected", "client"): 1}
    state.refresh_from_db()
    assert (state.sampled, state.size, AuditEntry.objects.get().outcome) == (2, 1, "rejected")


def test_sampling_keeps_its_share_and_decides_alike_for_the_same_request(entry: Build) -> None:
    state = RecordingState.current()
    state.sampling = 0.25
    state.save()
    store_entries([entry() for _ in range(400)])
    kept = AuditEntry.objects.count()
    assert 60 <= kept <= 140
    assert RecordingState.current().sampled == 400 - kept


def test_rehearsals_and_egress_are_rows_but_in_no_count(entry: Build) -> None:
    store_entries([entry(drill=True), entry(direction="egress", outcome="upstream-error")])
    assert AuditEntry.objects.count() == 2
    assert not HourlyCount.objects.exists()


def test_a_stranger_cannot_make_a_count_for_each_name_that_he_types(entry: Build) -> None:
    store_entries([entry(model=f"m{number}", outcome="rejected", time=1000.0) for number in range(20)])
    assert HourlyCount.objects.get().count == 20


def test_what_was_open_when_recording_went_off_is_still_closed(entry: Build) -> None:
    opened = entry(outcome=None)
    store_entries([opened])
    state = RecordingState.current()
    state.enabled = False
    state.save()
    store_entries([opened | {"outcome": "client-abort"}, entry(outcome=None), entry(outcome="client-abort")])
    assert AuditEntry.objects.get().outcome == "client-abort"
    assert RecordingState.current().dropped == 1


def test_a_bad_entry_stores_nothing_of_its_batch(entry: Build) -> None:
    with pytest.raises(columns.BadEntry, match="status"):
        store_entries([entry(), entry(status="many")])
    assert not AuditEntry.objects.exists()
    assert RecordingState.current().size == 0


def test_a_batch_costs_the_same_queries_whatever_its_size(entry: Build, django_assert_max_num_queries: Any) -> None:
    store_entries([entry()])
    with django_assert_max_num_queries(12):
        store_entries([entry(provider="openai") for _ in range(300)])
