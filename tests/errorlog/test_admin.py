"""The Errors tab: what it shows, what a person may decide there, and that text from outside stays text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from errorlog import reading
from errorlog.admin import MUTES
from errorlog.ingest import store_events
from errorlog.models import ErrorEvent, ErrorGroup
from tests.people import staff

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
LIST = "/admin/errorlog/errorgroup/"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def viewer() -> Client:
    return staff("view_errorgroup")


def page(client: Client, address: str = LIST, **query: str) -> str:
    answer = client.get(address, query)
    assert answer.status_code == 200, answer
    return answer.content.decode()


def detail(group: ErrorGroup) -> str:
    return f"{LIST}{group.pk}/change/"


def test_the_list_shows_what_breaks_how_often_and_whose_fault(admin_client: Client, event: Build) -> None:
    context = {"fault": "upstream", "cause": "eof", "model": "gpt-5", "provider": "openai", "phase": "streaming"}
    store_events([event(context=context), event(context={**context, "model": "gpt-6"})])
    text = page(admin_client)
    for word in ("StreamUpstreamPrematureClose", "eof", "openai", "and 1 more", "streaming", "fault upstream", "NEW", "2 unread"):
        assert word in text, word
    assert "after the first byte" in text


def test_the_list_shows_unresolved_groups_and_a_search_looks_everywhere(admin_client: Client, event: Build) -> None:
    store_events([event(fingerprint=["a"], name="OneThing"), event(fingerprint=["b"], name="OtherThing", request_id="req_zz")])
    ErrorGroup.objects.filter(name="OtherThing").resolve()
    assert 'change/">OneThing' in page(admin_client) and 'change/">OtherThing' not in page(admin_client)
    assert 'change/">OtherThing' in page(admin_client, state="resolved")
    for query in ("OtherThing", "req_zz", "name:OtherThing"):
        text = page(admin_client, q=query)
        assert 'change/">OtherThing' in text and 'change/">OneThing' not in text, query


def test_the_list_is_filtered_by_what_groups_hit(admin_client: Client, event: Build) -> None:
    for model in ("gpt-5", "claude"):
        store_events([event(fingerprint=[model], name=f"Of-{model}", context={"model": model, "client_key": "k"})])
    text = page(admin_client, model="claude")
    assert 'change/">Of-claude' in text and 'change/">Of-gpt-5' not in text
    assert 'change/">Of-' not in page(admin_client, model="unheard-of")
    assert 'change/">Of-claude' in page(admin_client, period="24h")


def test_a_list_of_many_groups_costs_no_more_queries_than_of_few(admin_client: Client, event: Build) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(admin_client)
        return len(captured)

    store_events([event(fingerprint=["0"], context={"model": "a"})])
    few = queries()
    store_events([event(fingerprint=[str(index)], context={"model": "a"}) for index in range(1, 30)])
    assert queries() == few


def test_the_detail_opens_on_the_latest_event_and_leads_to_the_others(admin_client: Client, event: Build) -> None:
    store_events(
        [event(message=f"message {index}", stack=f"stack {index}", context={"step": f"step-{index}"}) for index in range(3)]
    )
    group = ErrorGroup.objects.get()
    middle = ErrorEvent.objects.get(message="message 1")
    text = page(admin_client, detail(group))
    for word in (
        "Latest event",
        "message 2",
        "stack 2",
        "step-2",
        f"?event={middle.sequence}",
        "Why grouped",
        "after first byte",
    ):
        assert word in text, word
    text = page(admin_client, detail(group), event=str(middle.sequence))
    assert "message 1" in text and "message 2" not in text
    assert 'rel="prev"' in text and 'rel="next"' in text


def test_an_event_leads_to_the_audit_entry_of_its_request(admin_client: Client, event: Build, entry: Build) -> None:
    from auditlog.ingest import store_entries
    from auditlog.models import AuditEntry

    store_entries([entry(request_id="req_1", direction="ingress", outcome="upstream-premature")])
    store_events([event()])
    assert f'href="/admin/auditlog/auditentry/{AuditEntry.objects.get().pk}/change/"' in page(
        admin_client, detail(ErrorGroup.objects.get())
    )


@pytest.mark.parametrize("panels", [None, "", "no.such.module", "json"])
def test_without_panels_the_page_lacks_the_link_alone(
    admin_client: Client, event: Build, settings: Any, panels: str | None
) -> None:
    settings.ERRORLOG = {**settings.ERRORLOG, "PANELS": panels}
    store_events([event()])
    text = page(admin_client, detail(ErrorGroup.objects.get()))
    assert "Fault: upstream." in text and "Audit entry" not in text
    assert "1 group" in page(admin_client)


def test_text_from_outside_is_escaped_everywhere(admin_client: Client, event: Build) -> None:
    context = dict.fromkeys(("model", "provider", "phase", "cause", "fault", "client_key", "user_agent", HOSTILE), HOSTILE)
    fields = dict.fromkeys(("name", "message", "stack", "title", "request_id", "version", "platform"), HOSTILE)
    store_events([event(**fields, context={**context, "deep": [HOSTILE]}, fingerprint=[HOSTILE])])
    group = ErrorGroup.objects.get()
    key = str(group.pk)
    addresses = [LIST, f"{LIST}?q={HOSTILE}", f"{LIST}?model={HOSTILE}", detail(group), f"{LIST}{key}/delete/", f"{LIST}clear/"]
    texts = [page(admin_client, address) for address in addresses]
    chosen = {"index": "0", "action": "delete_groups", "_selected_action": [key]}
    texts.append(admin_client.post(LIST, chosen).content.decode())
    for text in texts:
        assert HOSTILE not in text
        assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        ("resolve", "resolved"),
        ("resolve_next", "resolved"),
        ("mute_hour", "muted"),
        ("mute_day", "muted"),
        ("mute_hundred", "muted"),
        ("ignore", "ignored"),
    ],
)
def test_a_decision_is_taken_on_the_detail_or_for_many_in_the_list(
    admin_client: Client, event: Build, decision: str, status: str
) -> None:
    store_events([event(fingerprint=[str(index)]) for index in range(3)])
    first, second, third = ErrorGroup.objects.order_by("pk")
    assert admin_client.post(detail(first), {"action": decision}).status_code == 302
    admin_client.post(LIST, {"index": "0", "action": decision, "_selected_action": [second.pk]})
    statuses = list(ErrorGroup.objects.order_by("pk").values_list("status", flat=True))
    assert statuses == [status, status, "unresolved"]
    admin_client.post(detail(first), {"action": "reopen"})
    assert ErrorGroup.objects.get(pk=first.pk).status == "unresolved"
    assert third.status == "unresolved"


@pytest.mark.parametrize(
    ("preset", "hours", "events", "seconds"),
    [
        ("mute_hour", 1, None, None),
        ("mute_day", 24, None, None),
        ("mute_week", 168, None, None),
        ("mute_hundred", None, 100, 3600),
    ],
)
def test_a_preset_mutes_for_as_long_as_it_says(
    admin_client: Client, event: Build, preset: str, hours: int | None, events: int | None, seconds: int | None
) -> None:
    store_events([event()])
    admin_client.post(detail(ErrorGroup.objects.get()), {"action": preset})
    group = ErrorGroup.objects.get()
    assert (group.muted_events, group.muted_seconds) == (events, seconds)
    left = group.muted_until - timezone.now() if group.muted_until else None
    assert (left and round(left / timedelta(hours=1))) == hours
    assert {name for name, _ in MUTES} == {"mute_hour", "mute_day", "mute_week", "mute_hundred"}


def test_one_group_and_all_can_be_marked_read(admin_client: Client, event: Build) -> None:
    store_events([event(fingerprint=[str(index)]) for index in range(3)])
    reader = f"user:{get_user_model().objects.get().pk}"
    first, second, _ = ErrorGroup.objects.order_by("pk")
    page(admin_client)
    page(admin_client, detail(first))
    assert reading.unread_total(reader) == 3  # looking is not reading
    admin_client.post(detail(first), {"action": "read"})
    admin_client.post(LIST, {"index": "0", "action": "read", "_selected_action": [second.pk]})
    assert reading.unread_total(reader) == 1
    admin_client.post(f"{LIST}seen/")
    assert reading.unread_total(reader) == 0


def test_deleting_asks_first(admin_client: Client, event: Build) -> None:
    store_events([event(fingerprint=[str(index)]) for index in range(4)])
    first, second, third, fourth = ErrorGroup.objects.order_by("pk")
    assert "will be deleted" in page(admin_client, f"{LIST}{first.pk}/delete/")
    chosen = {"index": "0", "action": "delete_groups", "_selected_action": [second.pk, third.pk]}
    asked = admin_client.post(LIST, chosen)
    assert b"<b>2</b> groups with <b>2</b> events will be deleted" in asked.content
    assert ErrorGroup.objects.count() == 4
    admin_client.post(f"{LIST}{first.pk}/delete/")
    admin_client.post(f"{LIST}?state=all", {**chosen, "confirmed": "yes"})
    assert list(ErrorGroup.objects.all()) == [fourth]
    assert "will be deleted" in page(admin_client, f"{LIST}clear/")
    admin_client.post(f"{LIST}clear/")
    assert not ErrorEvent.objects.exists()


def test_who_may_only_look_changes_nothing(viewer: Client, event: Build) -> None:
    store_events([event()])
    group = ErrorGroup.objects.get()
    assert "Resolve" not in page(viewer, detail(group))
    assert viewer.post(detail(group), {"action": "resolve"}).status_code == 403
    assert viewer.post(detail(group), {"action": "read"}).status_code == 302
    viewer.post(LIST, {"index": "0", "action": "resolve", "_selected_action": [group.pk]})
    viewer.post(LIST, {"index": "0", "action": "delete_groups", "_selected_action": [group.pk], "confirmed": "yes"})
    for address in (f"{LIST}clear/", f"{LIST}{group.pk}/delete/"):
        assert viewer.post(address).status_code == 403
    assert ErrorGroup.objects.get().status == "unresolved"


def test_no_stranger_sees_anything(event: Build) -> None:
    store_events([event()])
    for address in (LIST, detail(ErrorGroup.objects.get()), f"{LIST}clear/"):
        assert Client().get(address).status_code == 302


@pytest.mark.parametrize("address", [f"{LIST}99/change/", f"{LIST}x/change/", f"{LIST}{1 << 70}/change/"])
def test_a_group_that_is_not_there_is_404(admin_client: Client, address: str) -> None:
    assert admin_client.get(address).status_code == 404


@pytest.mark.parametrize("asked", ["999999", "9" * 40, "x", "-1", "٣"])
def test_an_event_that_is_not_there_is_404_or_the_latest(admin_client: Client, event: Build, asked: str) -> None:
    store_events([event()])
    assert admin_client.get(detail(ErrorGroup.objects.get()), {"event": asked}).status_code in (200, 404)
