"""The filtered set as a file: whole, in order, safe to open, and marked as whole."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model
from django.test import AsyncClient

from auditlog import exporting
from auditlog.ingest import store_entries

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]
Build = Callable[..., dict[str, Any]]
EXPORT = "/admin/auditlog/auditentry/export/"


@async_to_sync
async def exported(**query: str) -> tuple[Any, str]:
    client = AsyncClient()
    user, _ = await get_user_model().objects.aget_or_create(username="root", is_staff=True, is_superuser=True)
    await client.aforce_login(user, "django.contrib.auth.backends.ModelBackend")
    answer = await client.get(EXPORT, query)
    if not answer.streaming:
        return answer, answer.content.decode()
    return answer, b"".join([part async for part in answer.streaming_content]).decode()


def test_json_lines_hold_every_entry_once_and_say_that_they_are_whole(entry: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PAGE", 3)
    store_entries([entry(time=1000.0 + number, request_id=f"req_{number}") for number in range(8)])
    answer, text = exported(format="jsonl")
    *rows, last = [json.loads(line) for line in text.splitlines()]
    assert [row["request_id"] for row in rows] == [f"req_{number}" for number in reversed(range(8))]
    assert last == {"complete": True, "rows": 8}
    assert answer["content-disposition"].startswith('attachment; filename="audit-')


def test_only_what_the_page_is_filtered_by_is_exported(entry: Build) -> None:
    store_entries([entry(model="a", request_id="req_a"), entry(model="b"), entry(model="a", direction="egress")])
    _, text = exported(format="jsonl", q="model:a")
    assert [json.loads(line).get("request_id") for line in text.splitlines()] == ["req_a", None]
    _, text = exported(format="jsonl", q="model:none")
    assert json.loads(text) == {"complete": True, "rows": 0}


@pytest.mark.parametrize("evil", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1"])
def test_no_cell_of_a_csv_file_is_a_formula(entry: Build, evil: str) -> None:
    store_entries([entry(model=evil, user_agent='a "quoted", text')])
    _, text = exported(format="csv")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["model"] == f"'{evil}"
    assert row["user_agent"] == 'a "quoted", text'


def test_a_csv_file_has_the_columns_of_the_api_and_its_evidence_is_json(entry: Build) -> None:
    store_entries([entry(status=200, cost="0.5", stream=True, evidence={"a": ["=1"]}, time=1000.0, payloads={"request": "hush"})])
    answer, text = exported(format="csv")
    (row,) = csv.DictReader(io.StringIO(text))
    assert answer["content-type"].startswith("text/csv")
    assert (row["status"], row["stream"], row["time"], row["error"]) == ("200", "True", "1970-01-01T00:16:40+00:00", "")
    assert json.loads(row["evidence"]) == {"a": ["=1"]}
    assert "hush" not in text


def test_payloads_are_in_no_export(entry: Build) -> None:
    store_entries([entry(payloads={"request": "hush"})])
    assert "hush" not in exported(format="jsonl")[1]


def test_what_cannot_be_exported_is_400(entry: Build) -> None:
    assert exported(format="xml")[0].status_code == 400
    answer, text = exported(format="csv", q="ttft:>soon")
    assert (answer.status_code, "duration" in text) == (400, True)


def test_rows_that_come_while_it_runs_neither_repeat_nor_hide_any(entry: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "PAGE", 2)
    store_entries([entry(time=1000.0, request_id=f"req_{number}") for number in range(5)])

    @async_to_sync
    async def read() -> list[str]:
        from asgiref.sync import sync_to_async

        from auditlog.models import AuditEntry

        lines = []
        async for part in exporting.json_lines(AuditEntry.objects.all()):
            lines += part.splitlines()
            await sync_to_async(store_entries)([entry(time=time.time())])
        return lines

    *rows, last = map(json.loads, read())
    assert sorted(row["request_id"] for row in rows) == [f"req_{number}" for number in range(5)]
    assert last["rows"] == 5
