"""A search ends when its time is over, and knows how far it came: over real statements that take too long."""

from __future__ import annotations

import datetime as dt
import time

import pytest
from django.db import connection

from auditlog.looking import Stretch, look

pytestmark = [pytest.mark.database, pytest.mark.django_db]
NOON = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)


def slowly() -> None:
    """A statement that takes minutes, by itself."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT pg_sleep(120)")
        else:
            counting = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4000000000) SELECT max(i) FROM n"
            cursor.execute(counting)
            cursor.fetchall()


def test_stretches_follow_each_other_without_a_gap_to_the_last() -> None:
    seen: list[Stretch] = []

    def found(stretch: Stretch) -> bool:
        seen.append(stretch)
        return False

    assert look(NOON, MINUTE, NOON - 600 * MINUTE, 30, found, "default") is None
    assert [one.end for one in seen[:-1]] == [one.begin for one in seen[1:]]
    assert seen[0] == Stretch(None, NOON - MINUTE)
    assert seen[-1].end is None
    assert len(seen) < 10


def test_it_goes_forward_in_time_too() -> None:
    seen: list[Stretch] = []
    assert look(NOON, MINUTE, NOON + 3 * MINUTE, 30, lambda stretch: bool(seen.append(stretch)), "default") is None
    assert seen[0] == Stretch(None, NOON + MINUTE)


def test_it_stops_when_there_is_enough() -> None:
    seen: list[Stretch] = []
    assert look(NOON, MINUTE, NOON - 600 * MINUTE, 30, lambda stretch: not seen.append(stretch), "default") is None
    assert len(seen) == 1


def test_it_stops_when_its_time_is_over_and_says_where() -> None:
    def found(stretch: Stretch) -> bool:
        time.sleep(0.01)
        return False

    reached = look(NOON, MINUTE, NOON - 10**7 * MINUTE, 0.05, found, "default")
    assert reached is not None
    assert NOON - 10**7 * MINUTE < reached < NOON


def test_a_statement_that_takes_too_long_is_given_up_and_a_shorter_one_tried() -> None:
    widths: list[dt.timedelta] = []

    def found(stretch: Stretch) -> bool:
        if stretch.begin is not None and stretch.end is not None:
            widths.append(stretch.begin - stretch.end)
            slowly()
        return False

    began = time.monotonic()
    reached = look(NOON, MINUTE, NOON - 10**7 * MINUTE, 1.2, found, "default")
    assert time.monotonic() - began < 30
    assert reached == NOON - MINUTE
    assert len(widths) > 1
    assert widths == sorted(widths, reverse=True)
    with connection.cursor() as cursor:  # whoever uses the connection next has all the time in the world
        cursor.execute("SELECT 1")
        if connection.vendor == "postgresql":
            cursor.execute("SHOW statement_timeout")
            assert cursor.fetchone() == ("0",)
