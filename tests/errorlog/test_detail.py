"""The page of a group: its sentence, its drawing, what differs, its month, and what can be copied."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from auditlog.models import AuditEntry, HourlyCount
from errorlog.comparing import compare
from errorlog.detail import as_markdown, text_of
from errorlog.ingest import store_events
from errorlog.models import ErrorEvent, ErrorGroup
from tests.test_drawing import EVIDENCE

pytestmark = [pytest.mark.database, pytest.mark.django_db]
Build = Callable[..., dict[str, Any]]
LIST = "/admin/errorlog/errorgroup/"
CONTEXT = {
    **EVIDENCE,
    "outcome": "upstream-premature",
    "cause": "eof",
    "phase": "streaming",
    "fault": "upstream",
    "fault_reason": "the upstream ended after 98412 bytes of its body",
    "provider": "openai",
    "model": "gpt-5",
    "credential": {"id": 2, "label": "team-b"},
    "client_key": "ci",
    "event_count": 361,
    "had_reasoning": True,
    "written_chunks": 340,
    "written_bytes": 98_412,
    "relay": {"process": 7, "instance": "relay-3", "version": "0.9.3", "in_flight": 31},
}


def page(client: Client, **query: str) -> str:
    answer = client.get(f"{LIST}{ErrorGroup.objects.get().pk}/change/", query)
    assert answer.status_code == 200
    return answer.content.decode()


def words(text: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def completed(count: int, **columns: Any) -> None:
    known = {"provider": "openai", "direction": "ingress", "outcome": "completed", "time": timezone.now()}
    AuditEntry.objects.bulk_create([AuditEntry(id=uuid.uuid4(), **{**known, **columns}) for _ in range(count)])


def test_the_sentence_the_fault_and_the_drawing_come_first(admin_client: Client, event: Build) -> None:
    store_events([event(context=CONTEXT)])
    HourlyCount.objects.create(
        hour=timezone.now().replace(minute=0, second=0, microsecond=0), provider="openai", outcome="completed", count=500
    )
    text = page(admin_client)
    said = words(text)
    for part in (
        "1 in 24 h, 0.20 % of 500 requests to openai",
        "The upstream openai closed the connection cleanly after 361 events",
        "without a terminal event, when it had been silent for 30.0 s",
        "Fault: upstream.",
        "The client has 340 chunks, 98.4 KB, then 1 heartbeat and an error event in its own protocol.",
        "EOF 44.0 s",
    ):
        assert part in said, part
    assert text.index("ep-verdict") < text.index("ep-timeline") < text.index("Attempts") < text.index("This group, 28 days")


def test_context_is_a_table_in_words_whose_links_filter_the_list(admin_client: Client, event: Build) -> None:
    store_events([event(context={**CONTEXT, "model": "a&b=c"})])
    text = page(admin_client)
    assert f'href="{LIST}?state=all&amp;model=a%26b%3Dc"' in text
    assert f'href="{LIST}?state=all&amp;credential=team-b"' in text
    said = words(text)
    assert "gaps longest 3.12 s, at 6.12 s, median 38 ms" in said
    assert "relay relay-3, process 7, version 0.9.3, in flight 31" in said


@pytest.mark.parametrize("credential", [{"label": ""}, {"id": None, "label": ""}, {}, None, "", {"id": 7}])
def test_without_a_credential_nothing_leads_to_its_groups(admin_client: Client, event: Build, credential: Any) -> None:
    store_events([event(context={**CONTEXT, "credential": credential})])
    text = page(admin_client)
    assert "credential=" not in text
    assert ("<code>credential</code>" in text) == (credential == {"id": 7})


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("written_bytes", 98_412, "98,412"),
        ("upstream_status", 200, "200"),
        ("had_reasoning", True, "true"),
        ("notes", ["a", "b"], "a, b"),
        ("credential", {"id": 1, "label": "team"}, "team"),
        ("credential", {"id": 1}, '{\n  "id": 1\n}'),
        ("gaps", {"longest_ms": "x"}, ""),
        ("client_socket", {"peer": "direct", "closed": "fin", "send_queue": 0, "rtt_ms": 11}, "fin, send queue 0 B, rtt 11 ms"),
        ("anything", {"a": [1, None]}, '{\n  "a": [\n    1,\n    null\n  ]\n}'),
    ],
)
def test_a_value_of_the_context_in_words(name: str, value: Any, text: str) -> None:
    assert text_of(name, value) == text


def test_older_and_newer_lead_through_the_group_alone(admin_client: Client, event: Build) -> None:
    for index in range(3):
        store_events([event(context=CONTEXT, message=f"m{index}"), event(fingerprint=["other"], message="another group")])
    group = ErrorGroup.objects.exclude(parts=["other"]).get()
    seen, address = [], f"{LIST}{group.pk}/change/"
    while address:
        text = admin_client.get(address).content.decode()
        seen += re.findall(r"<code>(m\d)</code>", text)
        older = re.search(r'href="(\?event=\d+)" rel="prev"', text)
        address = f"{LIST}{group.pk}/change/{older[1]}" if older else ""
    assert seen == ["m2", "m1", "m0"]


def test_what_differs_is_told_beside_completed_streams_of_the_same_upstream(event: Build) -> None:
    made = [{**CONTEXT, "credential": {"id": 1, "label": "team-a" if index == 0 else "team-b"}} for index in range(10)]
    before = timezone.now() - timedelta(hours=2)
    store_events([event(context=made[0], time=before.timestamp()), *(event(context=context) for context in made[1:])])
    between = before + timedelta(hours=1)  # since the first of the events, not the last
    completed(30, credential="team-b", model="gpt-5", client_key="ci", evidence={"had_reasoning": False}, time=between)
    completed(70, credential="team-a", model="gpt-5", client_key="ci", evidence={"had_reasoning": True})
    completed(50, credential="team-b", provider="anthropic")
    completed(50, credential="team-b", outcome="upstream-error")
    completed(50, credential="team-b", time=timezone.now() - timedelta(hours=30))
    found = compare(ErrorGroup.objects.get())
    assert found is not None
    assert (found.events, found.completed) == (10, 100)
    rows = [(row.name, row.value, round(row.here, 2), round(row.there, 2)) for row in found.rows]
    assert rows == [("credential", "team-b", 0.9, 0.3), ("reasoning seen", "yes", 1.0, 0.7)]
    assert found.silence.startswith("30.0 s in 10 of 10 events")


def test_a_day_with_few_events_is_compared_with_those_before_it(event: Build) -> None:
    now = time.time()
    store_events([event(context=CONTEXT, time=now - (50 - index) * 86_400) for index in range(50)])
    completed(10)
    found = compare(ErrorGroup.objects.get())
    assert found is not None and found.events == 30
    store_events([event(context=CONTEXT, time=now) for _ in range(40)])
    found = compare(ErrorGroup.objects.get())
    assert found is not None and found.events == 40


def test_a_silence_that_varies_is_no_limit(event: Build) -> None:
    def ended(at: float) -> dict[str, Any]:
        return {**CONTEXT, "timeline": {**CONTEXT["timeline"], "ended": at}}

    store_events([event(context=ended(20_000 + 3000 * index)) for index in range(10)])
    completed(10)
    found = compare(ErrorGroup.objects.get())
    assert found is not None and found.silence == ""


def test_without_enough_completed_streams_there_is_no_comparison(admin_client: Client, event: Build, settings: Any) -> None:
    store_events([event(context=CONTEXT)])
    completed(4)
    assert compare(ErrorGroup.objects.get()) is None
    completed(1)
    assert compare(ErrorGroup.objects.get()) is not None
    settings.ERRORLOG = {**settings.ERRORLOG, "PANELS": ""}
    assert "What differs" not in page(admin_client)


def test_the_month_shows_each_day_and_each_version(admin_client: Client, event: Build) -> None:
    now = time.time()
    store_events([event(context=CONTEXT, time=now - 5 * 86_400, version="1.0") for _ in range(7)])
    store_events([event(context=CONTEXT, time=now, version="1.1"), event(context=CONTEXT, time=now - 90 * 86_400)])
    text = page(admin_client)
    day = datetime.fromtimestamp(now - 5 * 86_400, UTC)
    assert f"<title>{day.day} {day:%b}: 7</title>" in text
    assert ": 1 so far</title>" in text and ">1.0</text>" in text and ">1.1</text>" in text
    assert "8 events, the bars are days" in words(text)


def test_an_exception_shows_its_stack_and_why_it_is_grouped(admin_client: Client, event: Build) -> None:
    stack = 'Traceback (most recent call last):\n  File "/app/relay/config/apply.py", line 8, in apply\nValueError: no'
    store_events([event(name="ValueError", message="no", stack=stack, context={}, fingerprint=None)])
    said = words(page(admin_client))
    assert "line 8, in apply" in said and "place relay.config.apply apply" in said and "Fault: relay." in said
    assert "Attempts" not in said and "What differs" not in said


def test_an_event_can_be_copied_as_markdown_and_as_json_without_a_script(admin_client: Client, event: Build) -> None:
    store_events([event(context=CONTEXT, stack="a ``` fence")])
    markdown = page(admin_client, **{"as": "markdown"})
    assert markdown.startswith("## StreamUpstreamPrematureClose · eof") and "| model | gpt-5 |" in markdown
    assert "\n````\na ``` fence\n````\n" in markdown
    copied = json.loads(page(admin_client, **{"as": "json"}))
    assert copied["context"]["event_count"] == 361 and copied["name"] == "StreamUpstreamPrematureClose"
    assert 'as=markdown"' in page(admin_client) and 'as=json"' in page(admin_client)


def test_a_table_cell_cannot_break_the_table(event: Build) -> None:
    store_events([event(context={"model": "a|b\nc"})])
    assert "| model | a\\|b c |" in as_markdown(ErrorGroup.objects.get(), ErrorEvent.objects.get())


def test_a_decided_group_says_so_and_can_be_reopened(admin_client: Client, event: Build) -> None:
    store_events([event(context=CONTEXT)])
    groups = ErrorGroup.objects.all()
    groups.mute(events=100, seconds=3600)
    html = page(admin_client)
    assert "Muted until 100 events have come within 3,600 s" in words(html) and 'value="reopen"' in html
    groups.resolve(next_version=True)
    assert "Resolved from the version after" in words(page(admin_client))
    groups.ignore()
    assert "Ignored: it is counted" in words(page(admin_client))


def test_a_group_without_a_kept_event_still_shows_its_counts(admin_client: Client, event: Build) -> None:
    store_events([event(context=CONTEXT)])
    ErrorEvent.objects.all().delete()
    said = words(page(admin_client))
    assert "No event of this group is kept any more" in said and "This group, 28 days" in said


def test_odd_context_does_not_break_the_page(admin_client: Client, event: Build) -> None:
    odd = {"attempts": [None, "x", {"ms": "y"}], "last_events": [3, {"at": "z"}], "relay": "x", "gaps": 4, "timeline": "no"}
    odd |= {"credential": 7, "cause": "eof", "client_key": ["x"], "provider": {"a": 1}}
    store_events([event(context=odd)])
    assert "Fault: relay." in words(page(admin_client))


@pytest.mark.parametrize(
    ("fields", "muted"),
    [
        ({"events": "5", "seconds": "86400"}, (5, 86_400, False)),
        ({"until": "2999-01-01T10:00"}, (None, None, True)),
        ({"until": "2999-01-01T10:00", "events": "7"}, (7, 3600, True)),
    ],
)
def test_a_group_is_muted_until_a_moment_or_so_many_events(
    admin_client: Client, event: Build, fields: dict[str, str], muted: tuple[Any, ...]
) -> None:
    store_events([event(context=CONTEXT)])
    admin_client.post(f"{LIST}{ErrorGroup.objects.get().pk}/change/", {"action": "mute", **fields})
    group = ErrorGroup.objects.get()
    assert group.status == "muted"
    assert (group.muted_events, group.muted_seconds, group.muted_until is not None) == muted


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "Say until when"),
        ({"until": "2020-01-01T10:00"}, "has passed"),
        ({"events": "0"}, "greater than or equal to 1"),
        ({"events": "5", "seconds": "7"}, "not one of the available choices"),
        ({"until": "soon"}, "valid date/time"),
    ],
)
def test_a_mute_that_makes_no_sense_is_refused_and_says_why(
    admin_client: Client, event: Build, fields: dict[str, str], why: str
) -> None:
    store_events([event(context=CONTEXT)])
    answer = admin_client.post(f"{LIST}{ErrorGroup.objects.get().pk}/change/", {"action": "mute", **fields}, follow=True)
    assert why in answer.content.decode() and ErrorGroup.objects.get().status == "unresolved"
