"""Who has read what, exactly, whatever retention did in between; and the number in the navigation."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from errorlog import clearing, reading
from errorlog.ingest import store_events
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount, ReadCursor, ReadMark, TopValue

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
ME, OTHER = "user:1", "token"


def test_nothing_is_read_until_it_is_and_each_reader_reads_alone(event: Build) -> None:
    store_events([event(), event()])
    assert reading.unread_total(ME) == reading.unread_total(OTHER) == 2
    reading.mark_read(ME)
    assert (reading.unread_total(ME), reading.unread_total(OTHER)) == (0, 2)
    store_events([event()])
    assert reading.unread_total(ME) == 1


def test_the_cursor_can_stop_short_of_the_newest_and_never_passes_it(event: Build) -> None:
    store_events([event() for _ in range(5)])
    third = ErrorEvent.objects.order_by("sequence")[2].sequence
    assert reading.mark_read(ME, third) == third
    assert reading.unread_total(ME) == 2
    newest = ErrorEvent.objects.order_by("sequence").last()
    assert newest is not None and reading.mark_read(ME, third + 10_000) == newest.sequence
    store_events([event()])
    assert reading.unread_total(ME) == 1


def test_what_retention_deleted_is_still_unread(event: Build, settings: Any) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "EVENTS_PER_GROUP": 10}
    store_events([event()])
    reading.mark_read(ME)
    store_events([event() for _ in range(200)])
    assert ErrorEvent.objects.count() == 10
    assert (reading.unread_total(ME), reading.unread_total(OTHER)) == (200, 201)


def test_a_group_can_be_read_alone(event: Build) -> None:
    store_events([event(), event(), event(fingerprint=["other"])])
    big = ErrorGroup.objects.get(count=2)
    reading.mark_groups_read(ME, [big.pk])
    assert reading.unread_total(ME) == 1
    store_events([event()])
    assert {group: unread.events for group, unread in reading.unread_by(ME).items()}[big.pk] == 1
    reading.mark_read(ME)
    assert reading.unread_total(ME) == 0
    assert reading.unread_total(OTHER) == 4


def test_reading_all_then_less_makes_the_rest_unread_again(event: Build) -> None:
    store_events([event(), event(fingerprint=["other"]), event()])
    reading.mark_read(ME)
    reading.mark_read(ME, ErrorEvent.objects.order_by("sequence")[0].sequence)
    assert reading.unread_total(ME) == 2


def test_what_clients_did_counts_into_the_list_and_not_into_the_badge(event: Build, settings: Any) -> None:
    store_events([event(), event(context={"fault": "client"}), event(fingerprint=["abort"], context={"fault": "client"})])
    assert (reading.total(), reading.unread_total(ME), reading.badge_number(ME)) == (3, 3, 1)
    settings.ERRORLOG = {**settings.ERRORLOG, "BADGE_COUNTS_CLIENT_FAULT": True}
    assert reading.badge_number(ME) == 3


@pytest.mark.parametrize(("said", "counts"), [("", "False"), ("on", "True"), ("off", "False")])
def test_whether_the_badge_counts_them_is_said_in_the_environment(tmp_path: Path, said: str, counts: str) -> None:
    asked = "import django; django.setup(); from errorlog import options; print(options.badge_counts_client_fault())"
    environment = {
        **os.environ,
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "",
        "DJANGO_SETTINGS_MODULE": "proxy_project.settings",
        "BADGE_COUNTS_CLIENT_FAULT": said,
    }
    done = subprocess.run([sys.executable, "-c", asked], env=environment, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == counts


def test_a_badge_is_right_when_the_cursor_lies_between_faults(event: Build) -> None:
    client = {"context": {"fault": "client"}}
    store_events([event(), event(**client), event(), event(**client), event()])
    for read, expected in ((1, 2), (2, 2), (3, 1), (4, 1), (5, 0)):
        reading.mark_read(ME, ErrorEvent.objects.get(number=read).sequence)
        assert reading.badge_number(ME) == expected


@pytest.mark.parametrize("silence", ["mute", "ignore"])
def test_what_somebody_silenced_does_not_feed_the_badge(event: Build, silence: str) -> None:
    store_events([event()])
    getattr(ErrorGroup.objects, silence)()
    store_events([event()])
    assert (reading.unread_total(ME), reading.badge_number(ME)) == (2, 0)


def test_drills_are_neither_counted_nor_unread(event: Build) -> None:
    store_events([event(drill=True)])
    assert (reading.total(), reading.unread_total(ME)) == (0, 0)


def test_unread_costs_the_same_for_many_events_as_for_few(event: Build) -> None:
    store_events([event() for _ in range(50)])
    with CaptureQueriesContext(connection) as captured:
        reading.badge_number(ME)
    assert len(captured) == 2


def test_clearing_deletes_all_and_resets_cursors(event: Build) -> None:
    store_events([event(), event(), event(drill=True)])
    reading.mark_read(ME)
    reading.mark_groups_read(OTHER, [ErrorGroup.objects.get().pk])
    assert clearing.clear() == 3
    for model in (ErrorEvent, ErrorGroup, HourlyCount, KindCount, TopValue, ReadCursor, ReadMark):
        assert not model.objects.exists()
    store_events([event()])
    assert reading.unread_total(ME) == 1


@pytest.mark.parametrize(("events", "shown"), [(0, "0"), (3, "3"), (120, "99+")])
def test_every_admin_page_shows_the_number_as_text(event: Build, events: int, shown: str) -> None:
    store_events([event() for _ in range(events)])
    client = Client()
    client.force_login(get_user_model().objects.create_superuser("root"), "django.contrib.auth.backends.ModelBackend")
    for address in ("/admin/", "/admin/auth/user/", "/admin/errorlog/errorgroup/"):
        page = client.get(address).content.decode()
        assert f">{shown}<" in page.split('id="ep-badge"')[1][:300]


def test_each_user_has_a_number_of_his_own(client: Client, event: Build) -> None:
    store_events([event(), event()])
    numbers = {}
    for name in ("ada", "bob"):
        client.force_login(get_user_model().objects.create_superuser(name), "django.contrib.auth.backends.ModelBackend")
        if name == "ada":
            client.post("/admin/errorlog/errorgroup/seen/")
        numbers[name] = client.get("/admin/").context["errorlog_unread"]
    assert numbers == {"ada": 0, "bob": 2}


def test_the_sign_in_page_shows_no_number(event: Build) -> None:
    store_events([event()])
    assert "ep-badge" not in Client().get("/admin/login/").content.decode()


@pytest.mark.parametrize("seed", range(12))
def test_unread_is_what_a_reader_who_remembers_every_event_would_say(event: Build, seed: int) -> None:
    """The counts come from numbers and marks; here they are compared with a plain list of what was read."""
    chance = random.Random(seed)
    cursor, marks, arrived = 0, {}, []
    for _ in range(25):
        act = chance.choice(["store", "store", "store", "all", "some", "group"])
        newest = max((sequence for sequence, *_ in arrived), default=0)
        if act == "store" or not arrived:
            made = [
                event(fingerprint=[chance.choice("abc")], context={"fault": chance.choice(["client", "relay"])})
                for _ in range(chance.randint(1, 6))
            ]
            store_events(made)
            rows = ErrorEvent.objects.filter(sequence__gt=newest).order_by("sequence")
            arrived += [(row.sequence, row.group_id, row.fault) for row in rows]
        elif act == "all":
            reading.mark_read(ME)
            cursor = newest
            marks |= {group: max(at for at, of, _ in arrived if of == group) for _, group, _ in arrived}
        elif act == "some":
            before, cursor = cursor, chance.choice([sequence for sequence, *_ in arrived])
            reading.mark_read(ME, cursor)
            if cursor == newest:
                marks |= {group: max(at for at, of, _ in arrived if of == group) for _, group, _ in arrived}
            else:
                marks = {group: at for group, at in marks.items() if at > max(before, cursor)}
        else:
            group = chance.choice(arrived)[1]
            reading.mark_groups_read(ME, [group])
            marks[group] = max(at for at, of, _ in arrived if of == group)
        unread = [(group, fault) for at, group, fault in arrived if at > max(cursor, marks.get(group, 0))]
        found = reading.unread_by(ME)
        assert {group: item.events for group, item in found.items()} == Counter(group for group, _ in unread), act
        assert reading.badge_number(ME) == sum(fault != "client" for _, fault in unread)
