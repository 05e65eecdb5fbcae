"""Pages of entries: each entry once in both directions, and no page that looks further than it may."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from auditlog import entries as module
from auditlog.entries import BadCursor, Page, Place
from auditlog.finding import find
from auditlog.ingest import store_entries
from auditlog.models import AuditEntry
from auditlog.query import parse
from proxy_project import reader_zone

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]


@pytest.fixture
def rare(entry: Build, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sixty entries, of which one in fifteen is slow, and pages that look at about ten; the slow ones' ids, newest first."""
    monkeypatch.setattr(module, "FIRST", 10)
    slow = [number for number in range(60) if number % 15 == 4]
    store_entries(
        [
            entry(
                time=1000.0 + number // 3,
                request_id=f"req_{number:02}",
                ttft_ms=5000 if number in slow else 5,
                model=f"m{number % 2}",
            )
            for number in range(60)
        ]
    )
    return [f"req_{number:02}" for number in reversed(slow)]


def ask(search: str, seconds: float = 0.0, **place: Any) -> Page:
    """A page that goes no further than its first stretch, unless it may."""
    return find(parse(search)).page(3, seconds=seconds, **place)


def all_of(search: str) -> tuple[list[str], int]:
    """What all pages of a search show, going back in time, and how many there were."""
    found, pages, cursor = [], 0, None
    while True:
        page = ask(search, before=Place.read(cursor) if cursor else None)
        found += [entry.request_id for entry in page.items]
        pages += 1
        cursor = page.older
        if cursor is None:
            return found, pages


@pytest.mark.parametrize("search", ["ttft:>1s", "ttft:>1s -model:none", "ttft:>1s time:>30000d"])
def test_a_search_for_what_is_rare_goes_on_until_it_has_looked_at_all(rare: list[str], search: str) -> None:
    found, pages = all_of(search)
    assert sorted(found) == sorted(rare)
    assert pages >= 6


def test_a_page_that_is_not_full_says_how_far_it_looked(rare: list[str]) -> None:
    page = ask("ttft:>1s")
    assert [len(page.items) < 3, page.edge is not None, page.older is not None] == [True, True, True]
    assert ask("model:m1").edge is None


def test_the_same_pages_lead_forward_in_time(rare: list[str]) -> None:
    found: list[str] = []
    place = Place.of(AuditEntry.objects.order_by("time", "id")[0])
    while True:
        page = ask("ttft:>1s", after=place)
        found += [entry.request_id for entry in reversed(page.items)]
        if page.newer is None:
            break
        place = Place.read(page.newer)
    assert sorted(found) == sorted(rare)


def test_a_page_looks_further_while_it_has_time(rare: list[str], entry: Build) -> None:
    store_entries([entry(time=2000.0 + number, model="other") for number in range(40)])
    assert not ask("ttft:>1s").items, "entries of another model lie on top"
    page = ask("ttft:>1s", seconds=30)
    assert [entry.request_id for entry in page.items] == rare[:3]
    assert page.edge is None


def test_entries_of_one_moment_are_all_looked_at(entry: Build) -> None:
    store_entries([entry(time=1000.0, ttft_ms=5000) for _ in range(20)])
    assert len(all_of("ttft:>1s")[0]) == 20


def test_a_time_that_is_asked_for_is_where_the_walk_begins(rare: list[str]) -> None:
    everything = AuditEntry.objects.order_by("time", "id")
    before = everything[8].time.isoformat().replace("+00:00", "")
    page = ask(f"ttft:>1s time:<{before}")
    assert [entry.request_id for entry in page.items] == ["req_04"]


def test_the_page_and_the_api_say_how_to_go_on(
    rare: list[str], admin_client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = module.look
    monkeypatch.setattr(module, "look", lambda first, width, last, _, *rest: patient(first, width, last, 0.0, *rest))
    admin_client.cookies[reader_zone.COOKIE] = "Asia/Tokyo"
    html = admin_client.get("/admin/auditlog/auditentry/", {"q": "ttft:>1s model:m1 cost:>1"}).content.decode()
    assert "No request matches so far" in html
    assert "Looked back to 1 Jan 1970 09:16 JST, " in html
    assert "look=further" in html
    assert "look further back" in html
    settings.ADMIN_TOKEN = "t"
    api = Client(headers={"authorization": "Bearer t"})
    found: list[str] = []
    query: dict[str, Any] = {"search": "ttft:>1s", "limit": 2}
    while True:
        answer = api.get("/api/audit/entries", query).json()
        found += [item["request_id"] for item in answer["items"]]
        if answer["next"] is None:
            break
        query["cursor"] = answer["next"]
    assert sorted(found) == sorted(rare)


@given(st.datetimes(), st.uuids())
def test_a_place_is_read_from_its_cursor(time: Any, identity: Any) -> None:
    from django.utils import timezone

    place = Place(timezone.make_aware(time), identity)
    assert Place.read(place.cursor()) == place


@given(st.text(max_size=60))
def test_a_cursor_that_is_none_of_ours_is_refused(text: str) -> None:
    try:
        place = Place.read(text)
    except BadCursor:
        return
    assert Place.read(place.cursor()) == place
