"""From journals to rows, end to end: exactly once, whatever dies or goes away in between."""

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.db import OperationalError, connection

from auditlog.models import AuditEntry, HourlyCount, RecordingState
from errorlog.models import ErrorEvent
from relay import journal, recorder
from relay.models import JournalCheckpoint, Spend
from relay.shipper import Shipper, leases, shipping, storing
from relay.shipper.segments import journals
from relay.shipper.storing import Unavailable, is_about_a_row
from tests.relay.rows import make_key
from tests.relay.shipper.conftest import Worker, ship_all
from tests.relay.shipper.records import PREMATURE, ended, entry_of, opened

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def outcomes() -> list[str | None]:
    return list(AuditEntry.objects.order_by("id").values_list("outcome", flat=True))


def test_a_normal_ending_is_one_row_and_an_abnormal_one_is_one_in_each_log(shipper: Shipper) -> None:
    good, bad = ended(), ended(PREMATURE)
    ship_all(shipper)
    assert {str(row.id): row.outcome for row in AuditEntry.objects.all()} == {
        good: "completed",
        bad: "upstream-premature",
    }
    event = ErrorEvent.objects.get()
    assert str(event.id) == bad
    assert event.request_id == AuditEntry.objects.get(id=bad).request_id
    assert event.message == AuditEntry.objects.get(id=bad).error


def test_an_error_event_without_a_request_is_an_event_alone(shipper: Shipper) -> None:
    recorder.record_error_event({"name": "ValueError", "message": "no", "source": "main"})
    ship_all(shipper)
    assert ErrorEvent.objects.get().name == "ValueError"
    assert AuditEntry.objects.count() == 0


def test_nothing_is_shipped_twice_by_the_same_or_a_later_shipper(shipper: Shipper) -> None:
    ended(PREMATURE)
    assert ship_all(shipper) > 0
    assert ship_all(shipper) == 0
    shipper.release()
    later = Shipper()
    ended(PREMATURE)
    assert ship_all(later) == 1
    later.release()
    assert AuditEntry.objects.count() == ErrorEvent.objects.count() == 2


def test_a_failure_behind_the_rows_takes_rows_and_place_back_together(shipper: Shipper, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(PREMATURE)
    with monkeypatch.context() as patch:

        def fail(places: object) -> None:
            raise OperationalError("gone")

        patch.setattr(storing, "_move", fail)
        with pytest.raises(Unavailable):
            shipper.ship_once()
    assert AuditEntry.objects.count() == ErrorEvent.objects.count() == JournalCheckpoint.objects.count() == 0
    ship_all(shipper)
    assert AuditEntry.objects.count() == ErrorEvent.objects.count() == 1


def test_a_request_open_for_long_has_a_row_that_live_lines_update_and_the_ending_closes(shipper: Shipper, at_once: None) -> None:
    record = opened()
    ship_all(shipper)
    shipper.ship_once()
    row = AuditEntry.objects.get()
    assert (str(row.id), row.outcome) == (record, None)
    recorder.record_live(record, time.time(), entry_of(record, provider="acme", bytes_out=7))
    ship_all(shipper)
    row.refresh_from_db()
    assert (row.outcome, row.provider, row.bytes_out) == (None, "acme", 7)
    ended(record=record)
    ship_all(shipper)
    row.refresh_from_db()
    assert row.outcome == "completed"
    assert AuditEntry.objects.count() == 1


def test_a_young_request_has_no_row_yet(shipper: Shipper) -> None:
    opened()
    ship_all(shipper)
    shipper.ship_once()
    assert AuditEntry.objects.count() == 0


def test_kill_9_of_one_of_two_processes_loses_its_open_requests_alone(
    shipper: Shipper, worker: Callable[[], Worker], at_once: None
) -> None:
    dying, living = worker(), worker()
    done = dying.do("ended(PREMATURE)")
    cut = dying.do("opened(provider='acme', bytes_out=12)")
    going_on = living.do("opened()")
    ship_all(shipper)
    dying.kill()
    ship_all(shipper)
    rows = {str(row.id): row for row in AuditEntry.objects.all()}
    assert {record: row.outcome for record, row in rows.items()} == {
        done: "upstream-premature",
        cut: "relay-lost",
        going_on: None,
    }
    lost = rows[cut]
    assert (lost.cause, lost.fault, lost.phase, lost.provider) == ("crash", "relay", "streaming", "acme")
    assert lost.evidence["relay"]["process"] == dying.process.pid
    event = ErrorEvent.objects.get(id=cut)
    assert event.name == "StreamRelayLost"
    assert event.request_id == lost.request_id
    assert living.do(f"ended(record='{going_on}')") == going_on
    ship_all(shipper)
    assert AuditEntry.objects.get(id=going_on).outcome == "completed"


def test_a_dead_processs_journal_is_removed_with_its_place(shipper: Shipper, worker: Callable[[], Worker]) -> None:
    one = worker()
    one.do("ended()")
    one.leave()
    ship_all(shipper)
    assert outcomes() == ["completed"]
    assert journals(journal.root()) == []
    assert JournalCheckpoint.objects.count() == 0


def test_what_died_before_any_shipper_ran_is_shipped_by_the_first(shipper: Shipper, worker: Callable[[], Worker]) -> None:
    one = worker()
    for _ in range(3):
        one.do("ended()")
    one.do("opened()")
    one.kill()
    ship_all(shipper)
    assert sorted(map(str, outcomes())) == ["completed", "completed", "completed", "relay-lost"]


def test_a_shipper_that_dies_between_burying_and_removing_stores_nothing_twice(
    shipper: Shipper, worker: Callable[[], Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker()
    one.do("opened()")
    one.do("ended(PREMATURE)")
    one.kill()
    with monkeypatch.context() as patch:
        patch.setattr("relay.shipper.segments.JournalReader.remove", _die)
        with pytest.raises(KeyboardInterrupt):
            ship_all(shipper)
    shipper.release()
    later = Shipper()
    ship_all(later)
    later.release()
    assert sorted(map(str, outcomes())) == ["relay-lost", "upstream-premature"]
    assert ErrorEvent.objects.count() == 2
    assert journals(journal.root()) == []


def _die(*args: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "wrong",
    [{"status": "a word"}, {"request_id": None}, {"time": "x"}, {"time": 1e20}, {"input_tokens": 1e30}, {"id": "mine"}],
)
def test_a_poisoned_record_is_set_aside_and_reported_and_its_nine_neighbours_land(
    shipper: Shipper, journal_folder: Path, wrong: dict[str, Any]
) -> None:
    good = [ended(PREMATURE) for _ in range(5)]
    target = journal.current()
    assert target is not None
    poison = entry_of(recorder.new_record_id(), outcome="completed") | wrong
    target.close(poison["id"], orjson.dumps({"t": "close", "id": poison["id"], "at": 1.0, "entry": poison}))
    good += [ended(PREMATURE) for _ in range(4)]
    ship_all(shipper)
    assert {str(row.id) for row in AuditEntry.objects.all()} == set(good)
    assert ErrorEvent.objects.filter(name="StreamUpstreamPrematureClose").count() == 9
    report = ErrorEvent.objects.get(name="JournalRecordRefused")
    assert poison["id"] in str(report.context)
    assert poison["id"].encode() in (journal_folder / "bad" / "refused.jsonl").read_bytes()
    assert shipper.state.refused == 1


def test_damage_is_skipped_counted_and_reported(shipper: Shipper) -> None:
    ended()
    target = journal.current()
    assert target is not None
    with (target.folder / "000001.jsonl").open("ab") as file:
        file.write(b"\x00\xff foreign\n")
    ended()
    ship_all(shipper)
    assert outcomes() == ["completed", "completed"]
    assert ErrorEvent.objects.get().name == "JournalDamaged"
    assert shipper.state.damaged == 1


def test_a_completion_left_out_over_the_quota_is_counted_and_not_taken_for_a_death(
    shipper: Shipper, worker: Callable[[], Worker]
) -> None:
    one = worker()
    one.do("__import__('relay.journal').journal.current().__setattr__('quota', 1)")
    one.do("ended(record=opened(provider='one'))")
    one.do("ended(record=opened(provider='one', drill=True))")  # a rehearsal is no figure
    one.kill()
    ship_all(shipper)
    assert shipper.state.dropped == 2
    assert shipper.state.lost == 0
    assert AuditEntry.objects.count() == 0
    assert RecordingState.current().dropped == 1
    assert [(row.provider, row.outcome, row.count) for row in HourlyCount.objects.all()] == [("one", "completed", 1)]


def test_what_is_left_out_over_the_quota_counts_for_its_keys_budget(shipper: Shipper, worker: Callable[[], Worker]) -> None:
    key = make_key(tokens_per_day=100)
    spent = f"client_key_id={key.pk}, input_tokens=30, output_tokens=12"
    one = worker()
    shown = one.do("opened()")
    one.do(f"recorder.record_live('{shown}', time.time(), entry_of('{shown}'))")
    ship_all(shipper)
    assert outcomes() == [None]
    one.do("__import__('relay.journal').journal.current().__setattr__('quota', 1)")
    one.do(f"ended(record='{shown}', {spent})")  # a request that has a row
    one.do(f"ended(record=opened(), {spent})")
    one.do(f"ended(record=opened(), {spent}, client_key='renamed since')")
    one.kill()
    ship_all(shipper)
    assert shipper.state.dropped == 3
    assert Spend.of_today(key) == 3 * 42


def test_a_drop_line_that_is_not_ours_stops_nothing(shipper: Shipper) -> None:
    ended()
    target = journal.current()
    assert target is not None
    with (target.folder / "000001.jsonl").open("ab") as file:
        file.write(b'{"t": "drop", "id": "no id of ours", "at": 1e999, "outcome": 5}\n')
        file.write(b'{"t": "drop", "id": "0199d1f0-0000-7000-8000-000000000001", "at": 1750000000, "outcome": "completed"}\n')
    ended()
    ship_all(shipper)
    assert outcomes() == ["completed", "completed"]
    assert RecordingState.current().dropped == 1


def test_a_database_that_is_locked_delays_rows_and_loses_none(
    shipper: Shipper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("a lock on the whole database is SQLite's")
    ended()
    with monkeypatch.context() as patch:

        def locked(*args: object) -> Any:
            raise OperationalError("database is locked") from sqlite3.OperationalError("database is locked")

        patch.setattr(storing, "store_entries", locked)
        for _ in range(3):
            with pytest.raises(Unavailable):
                shipper.ship_once()
    ship_all(shipper)
    assert outcomes() == ["completed"]


def test_run_ships_within_a_moment_and_a_clean_stop_leaves_nothing_behind(shipper: Shipper) -> None:
    stop = threading.Event()
    thread = threading.Thread(target=shipper.run, args=(stop,))
    thread.start()
    try:
        ended()
        deadline = time.monotonic() + 5
        while AuditEntry.objects.count() < 1 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert outcomes() == ["completed"]
        ended(PREMATURE)
    finally:
        stop.set()
        thread.join(15)
    assert outcomes() == ["completed", "upstream-premature"]
    assert journals(journal.root()) == []


def test_only_one_shipper_works_at_a_time(shipper: Shipper) -> None:
    assert shipper.take_lock()
    other = Shipper()
    assert not other.take_lock()
    shipper.release()
    assert other.take_lock()
    other.release()


def test_a_storm_is_shipped_in_batches(shipper: Shipper) -> None:
    for _ in range(1_200):
        ended(PREMATURE)
    assert shipper.ship_once() <= shipping.BATCH
    ship_all(shipper)
    assert ErrorEvent.objects.count() >= 1
    assert AuditEntry.objects.count() == 1_200


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (ValueError("x"), True),
        (OverflowError("int too large"), True),
        (OperationalError("database is locked"), False),
        (MemoryError(), False),
    ],
)
def test_what_a_refusal_is_about(error: Exception, about: bool) -> None:
    assert is_about_a_row(error) is about


def test_siblings_end_the_open_rows_of_an_instance_that_fell_silent(
    shipper: Shipper, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = opened(instance="other")
    opened(instance=journal.instance())
    ship_all(shipper)
    shipper.ship_once()
    monkeypatch.setattr(leases, "EXPIRE_SECONDS", -1.0)
    leases.renew("other")
    monkeypatch.undo()
    shipper._lease_at = 0.0
    shipper.ship_once()
    assert {row.instance: row.outcome for row in AuditEntry.objects.all()} == {
        "other": "relay-lost",
        journal.instance(): None,
    }
    assert str(ErrorEvent.objects.get().id) == record


def test_a_shown_request_whose_ending_was_left_out_does_not_stay_open(
    shipper: Shipper, at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = opened()
    ship_all(shipper)
    shipper.ship_once()
    assert outcomes() == [None]
    target = journal.current()
    assert target is not None
    target.quota = 1
    ended(record=record)
    ship_all(shipper)
    assert outcomes() == ["completed"]


def test_an_open_row_of_ours_that_no_journal_knows_is_ended_once_all_was_read(shipper: Shipper, at_once: None) -> None:
    gone = opened()
    ship_all(shipper)
    shipper.ship_once()
    shipper.release()
    target = journal.current()
    assert target is not None
    (target.folder / "000001.jsonl").unlink()
    still = opened()
    later = Shipper()
    ship_all(later)
    later.ship_once()
    later.release()
    assert AuditEntry.objects.get(id=gone).outcome == "relay-lost"
    assert not AuditEntry.objects.filter(id=still, outcome="relay-lost").exists()


@pytest.mark.parametrize(
    "where",
    [
        "relay.shipper.segments.JournalReader.advance",  # the rows are stored, and nothing else happened yet
        "relay.shipper.segments.JournalReader._remove",  # a shipped segment is still there
        "relay.shipper.storing._move",  # the rows are written, and not committed
    ],
)
def test_a_shipper_that_is_killed_anywhere_stores_each_record_once(
    shipper: Shipper, worker: Callable[[], Worker], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = worker()
    one.do("__import__('relay.journal').journal.current().__setattr__('segment_bytes', 4000)")
    one.do("[ended(PREMATURE) for _ in range(30)] and opened()")
    one.kill()
    with monkeypatch.context() as patch:
        patch.setattr(where, _die)
        with pytest.raises(KeyboardInterrupt):
            ship_all(shipper)
    shipper.release()
    later = Shipper()
    ship_all(later)
    later.release()
    assert sorted(map(str, outcomes())) == ["relay-lost"] + 30 * ["upstream-premature"]
    assert ErrorEvent.objects.count() == 31


def test_rotation_under_the_shippers_eyes_loses_nothing_and_frees_the_disk(
    shipper: Shipper, worker: Callable[[], Worker], journal_folder: Path
) -> None:
    one = worker()
    one.do("__import__('relay.journal').journal.current().__setattr__('segment_bytes', 3000)")
    long = one.do("opened()")
    for _ in range(10):
        one.do("[ended() for _ in range(7)]")
        ship_all(shipper)
    (folder,) = journals(journal_folder)
    assert len(list(folder.glob("*.jsonl"))) == 1
    assert not folder.joinpath("000001.jsonl").exists()
    one.kill()
    ship_all(shipper)
    assert AuditEntry.objects.filter(outcome="completed").count() == 70
    assert AuditEntry.objects.get(id=long).outcome == "relay-lost"


def test_a_shipper_that_is_told_to_stop_before_its_first_turn_still_ships_what_is_left(shipper: Shipper) -> None:
    ended()
    stop = threading.Event()
    stop.set()
    shipper.run(stop)
    assert outcomes() == ["completed"]
