"""The pages that are measured, with addresses that ask for something which is there."""

from __future__ import annotations

from collections import Counter

from auditlog.entries import Place
from auditlog.models import AuditEntry, RecordingState
from errorlog.models import ErrorEvent, ErrorGroup

ERRORS, AUDIT = "/admin/errorlog/errorgroup/", "/admin/auditlog/auditentry/"


def pages() -> list[tuple[str, str]]:
    """Name and address of each."""
    return [("overview", "/admin/"), *_errors(), *_audit()]


def _errors() -> list[tuple[str, str]]:
    group = ErrorGroup.objects.order_by("-kept").first()
    event = ErrorEvent.objects.filter(group=group).order_by("sequence")[500:501].first()
    assert group is not None
    assert event is not None
    searches = {
        "list": "",
        "list, all states": "state=all",
        "list, by count": "sort=count",
        "list, by rate": "sort=rate",
        "list, by keys": "sort=keys",
        "list, 7 days": "period=7d",
        "list, 28 days": "period=28d",
        "list, cause": "state=all&cause=eof",
        "list, model": "state=all&model=gpt-5.1",
        "search, field": "q=cause%3Aeof+-fault%3Aclient",
        "search, word": "q=Overloaded",
        "search, absent": "q=nowhere-to-be-found",
        "search, request id": f"q={ErrorEvent.objects.exclude(request_id='').latest('sequence').request_id}",
    }
    found = [(f"errors: {name}", f"{ERRORS}?{query}") for name, query in searches.items()]
    found.append(("errors: detail", f"{ERRORS}{group.pk}/change/"))
    found.append(("errors: detail of an old event", f"{ERRORS}{group.pk}/change/?event={event.sequence}"))
    return found


def _audit() -> list[tuple[str, str]]:
    newest = AuditEntry.objects.newest_first().first()
    assert newest is not None
    key = Counter(AuditEntry.objects.newest_first().values_list("client_key", flat=True)[:2000]).most_common()[-1][0]
    searches = {
        "list": "",
        "both directions": "direction=all",
        "egress": "direction=egress",
        "outcome, common": "q=outcome%3Acompleted",
        "outcome, rare": "q=outcome%3Arelay-lost",
        "abnormal only": "q=is%3Aabnormal",
        "open": "q=is%3Aopen",
        "cause": "q=cause%3Aeof",
        "fault": "q=fault%3Aupstream",
        "model": "q=model%3Aqwen3-32b",
        "model, glob": "q=model%3Agpt-*",
        "client key, rare": f"q=key%3A{key}",
        "two filters": "q=model%3Aqwen3-32b+outcome%3Aupstream-premature",
        "excluding": "q=-model%3Agpt-5.1+-outcome%3Acompleted",
        "slow ones": "q=ttft%3A%3E5s",
        "nothing so slow": "q=ttft%3A%3E9h",
        "nothing so slow, further": "q=ttft%3A%3E9h&look=further",
        "status": "q=status%3A529",
        "text of an error": "q=Overloaded",
        "text that is nowhere": "q=nowhere-to-be-found",
        "text nowhere, further": "q=nowhere-to-be-found&look=further",
        "request id": f"q={newest.request_id}",
        "absent request id": "q=request_id%3Areq_nowhere",
        "last week": "q=time%3A%3E7d+model%3Aqwen3-32b",
    }
    found = [(f"audit: {name}", f"{AUDIT}?{query}") for name, query in searches.items()]
    found += [(f"audit: page at {share:.0%}", f"{AUDIT}?before={_place(share)}") for share in (0.1, 0.5, 0.99)]
    found.append(("audit: detail", f"{AUDIT}{newest.pk}/change/"))
    found.append(("audit: what is inside", f"{AUDIT}{newest.pk}/inside/"))
    for kind in ("csv", "jsonl"):
        found.append((f"audit: export {kind}, first bytes", f"{AUDIT}export/?format={kind}"))
    found.append(("audit: export of a filter", f"{AUDIT}export/?format=jsonl&q=cause%3Aeof"))
    return found


def _place(share: float) -> str:
    """A cursor deep in the list, found by time as nothing can count so far."""
    first, last = AuditEntry.objects.earliest("time"), AuditEntry.objects.latest("time")
    at = last.time - (last.time - first.time) * share
    entry = AuditEntry.objects.filter(time__lte=at).newest_first().first() or first
    return Place.of(entry).cursor()


def size() -> str:
    """How much there is."""
    events = ErrorEvent.objects.order_by("-sequence").values_list("sequence", flat=True).first()
    return f"{RecordingState.current().size:,} entries, {events:,} events, {ErrorGroup.objects.count():,} groups"
