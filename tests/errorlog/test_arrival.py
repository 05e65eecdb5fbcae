"""Arrival order is commit order: a second writer waits, so that a reader's cursor never passes an event still to come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connections, transaction

from errorlog import clearing, reading
from errorlog.ingest import store_events
from errorlog.models import ErrorEvent

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]
Build = Callable[..., dict[str, Any]]


def beside(work: Callable[[], Any]) -> threading.Thread:
    """Runs `work` over a connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("second", ["store", "clear"])
def test_who_comes_second_waits_until_the_first_has_committed(event: Build, second: str) -> None:
    order: list[str] = []
    begun = threading.Event()

    def other() -> None:
        begun.set()
        if second == "store":
            store_events([event(message="second", fingerprint=["other"], name="Other")])
        else:
            clearing.clear()
        order.append("second")

    with transaction.atomic():
        store_events([event(message="first")])
        thread = beside(other)
        begun.wait()
        thread.join(0.3)  # time in which it would finish if nothing held it
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    expected = ["first", "second"] if second == "store" else []
    assert list(ErrorEvent.objects.order_by("sequence").values_list("message", flat=True)) == expected


def test_many_writers_lose_and_double_nothing(event: Build) -> None:
    batches = [[event(fingerprint=[str(index % 3)]) for index in range(7)] for _ in range(8)]
    threads = [beside(lambda batch=batch: store_events(batch)) for batch in batches]
    for thread in threads:
        thread.join()
    assert reading.total() == 56 == ErrorEvent.objects.count()
    for group in range(1, 4):
        numbers = ErrorEvent.objects.filter(group__parts=[str(group - 1)]).order_by("sequence").values_list("number", flat=True)
        assert list(numbers) == list(range(1, len(numbers) + 1))
