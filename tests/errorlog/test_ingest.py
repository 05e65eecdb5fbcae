"""From events to groups: once each, counted exactly, grouped by what matters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from errorlog.ingest import parts_of, store_events
from errorlog.models import ErrorEvent, ErrorGroup, ReadCursor, unread_by

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]


def test_an_event_is_stored_once_however_often_it_comes(event: Build) -> None:
    first = event()
    assert store_events([first, event()]).stored == 2
    assert store_events([first]).duplicates == 1
    assert ErrorGroup.objects.get().count == ErrorEvent.objects.count() == 2


def test_two_causes_are_two_groups_and_a_flood_hides_neither(event: Build) -> None:
    store_events([event() for _ in range(300)] + [event(fingerprint=["StreamUpstreamError", "reset"])])
    assert sorted(ErrorGroup.objects.values_list("count", flat=True)) == [1, 300]


def test_numbers_and_addresses_do_not_split_a_group() -> None:
    stacks = [f'File "x.py", line {line}, in f\n  at 0x{line:x}' for line in (7, 99)]
    assert len({tuple(parts_of({"name": "E", "stack": stack})) for stack in stacks}) == 1


def test_a_resolved_group_that_comes_back_has_regressed(event: Build) -> None:
    store_events([event()])
    ErrorGroup.objects.update(status="resolved")
    store_events([event()])
    group = ErrorGroup.objects.get()
    assert (group.status, group.regressed, group.count) == ("unresolved", True, 2)


def test_a_drill_is_kept_apart(event: Build) -> None:
    store_events([event(drill=True)])
    assert ErrorEvent.objects.get().group is None
    assert not ErrorGroup.objects.exists()


def test_unread_counts_what_came_since_and_spares_what_clients_did(event: Build) -> None:
    store_events([event(), event(fingerprint=["StreamClientAbort"], context={"fault": "client"})])
    assert unread_by("user:1") == 1
    ReadCursor.objects.create(reader="user:1", sequence=ErrorEvent.objects.order_by("-sequence")[0].sequence)
    assert unread_by("user:1") == 0
    store_events([event()])
    assert unread_by("user:1") == 1


def test_a_text_with_nul_is_stored(event: Build) -> None:
    store_events([event(message="a\x00b\ud800", context={"k\x00": "v\x00"})])
    assert ErrorEvent.objects.get().message == "a\\u0000b\\ud800"
