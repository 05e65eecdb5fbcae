"""How upstreams and credentials stand: what cools and until when, what failed last and why, whose streams break.

Cooling is kept by each process; what is shown here is what they wrote on the credentials' rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.utils.safestring import SafeString

from auditlog.models import AuditEntry
from proxy_project.charts import sparkline
from proxy_project.figures import ago, lasted, share
from relay.admin.overview import InFlight, Period, Standing, Traffic
from relay.admin.upstreams import cools, describe
from relay.ending import Outcome
from relay.models import Credential, Upstream

RECENT = timedelta(hours=1)  # how long a failure is worth a word beside the credential
SAMPLE = 200  # the newest streams of an upstream that are looked at: at their first events, and for what went well
WELL = (Outcome.COMPLETED.value, Outcome.INCOMPLETE.value)
# So many failures are too many: a share of many requests, or the half of however few. All of them: it is failing.
DEGRADED_SHARE, DEGRADED_LEAST, DEGRADED_OF_FEW = 0.05, 3, 0.5
ENOUGH_LATELY = 5  # requests in this hour and the last that say more of now than the whole period does
URGENCY = ("failing", "degraded", "cooling", "healthy", "idle", "off")
LATELY = "in this hour and the last"


class Stream(NamedTuple):
    """What is looked at of one of the newest streams of an upstream; `ttft_ms` is None before its first event."""

    time: datetime
    credential_id: int | None
    outcome: str | None
    ttft_ms: float | None


@dataclass(slots=True)
class CredentialHealth:
    """One credential: a chip, and a sentence where there is something to say."""

    id: int
    label: str
    state: str  # ok, off, cool, failed
    sign: str = ""
    why: str = ""


@dataclass(slots=True)
class UpstreamHealth:
    """One row of the table."""

    id: int
    name: str
    protocol: str
    state: str  # healthy, degraded, failing, cooling, idle, off
    note: str
    judged_by: str  # how the note's figures and the rate go with the number of requests
    streams: int
    in_flight: int
    rate: str
    chart: SafeString
    first_event: str
    credentials: list[CredentialHealth] = field(default_factory=list)


def health(period: Period, found: Traffic, open_now: InFlight, now: datetime) -> list[UpstreamHealth]:
    """All upstreams: those that need somebody first, then by name."""
    running = {name: number for name, number, _ in open_now.by_upstream}
    rows = Upstream.objects.prefetch_related("credentials").order_by("name")
    found_so = [_upstream(row, found, running.get(row.name, 0), period, now) for row in rows]
    return sorted(found_so, key=lambda row: URGENCY.index(row.state))


def _upstream(row: Upstream, found: Traffic, running: int, period: Period, now: datetime) -> UpstreamHealth:
    newest = _newest(row.name)
    credentials = [_credential(credential, newest, now) for credential in row.credentials.all()]
    columns = found.upstreams.get(row.name, [])
    broken = sum(sum(column.values()) for column in columns)
    streams = found.asked[row.name]
    state, note = _state(row, credentials, found, period)
    return UpstreamHealth(
        id=row.pk,
        name=row.name,
        protocol=row.protocol,
        state=state,
        note=note,
        judged_by=_judged_by(broken, streams, found.standing[row.name], period),
        streams=streams,
        in_flight=running,
        rate=share(broken, streams),
        chart=sparkline(columns or [{} for _ in found.columns], f"{broken:,} of its fault in {period.words}", height=22),
        first_event=_first_event(newest),
        credentials=credentials,
    )


def _state(row: Upstream, credentials: list[CredentialHealth], found: Traffic, period: Period) -> tuple[str, str]:
    """The state, and in a few words why. What was lately says more of now than the period, once there is enough of it."""
    if not row.enabled:
        return "off", "switched off"
    usable = [credential for credential in credentials if credential.state != "off"]
    if credentials and not usable:
        return "degraded", "no credential is usable"
    cooling = [credential for credential in usable if credential.state == "cool"]
    if cooling and len(cooling) == len(usable):
        return "cooling", cooling[0].sign.removeprefix("cooling, ")
    whole, lately = found.standing[row.name], found.lately[row.name]
    if (state := _judged(lately)) and state != "healthy":
        return state, f"{_failures(lately)} {LATELY}"
    state = _judged(whole)
    if state not in ("degraded", "failing"):
        return state or "idle", "" if state else f"not asked in {period.words}"
    if lately.judged >= ENOUGH_LATELY:
        return "healthy", f"again: {_failures(whole)} in {period.words}"
    return state, f"{_failures(whole)} in {period.words}"


def _judged(standing: Standing) -> str:
    """How an upstream with these endings stands; "" when there are none."""
    if not standing.judged:
        return ""
    if standing.failed == standing.judged:
        return "failing"
    share_of_all = standing.failed / standing.judged
    many = standing.failed >= DEGRADED_LEAST and share_of_all >= DEGRADED_SHARE
    return "degraded" if many or share_of_all >= DEGRADED_OF_FEW else "healthy"


def _judged_by(broken: int, asked: int, standing: Standing, period: Period) -> str:
    """Why the state counts fewer requests than were asked; "" when nothing was."""
    if not asked:
        return ""
    said = f"In {period.words}: {broken:,} of {asked:,} requests broke by its own fault."
    if not (left_out := asked - standing.judged):
        return said
    whose = "one that a client or this gateway" if left_out == 1 else f"{left_out:,} that clients or this gateway"
    return f"{said} The state is judged by {standing.judged:,}: it leaves out {whose} ended."


def _failures(standing: Standing) -> str:
    if standing.failed == standing.judged:
        return f"all {standing.judged:,} failed" if standing.judged > 1 else "the only request failed"
    return f"{standing.failed:,} of {standing.judged:,} failed"


def _credential(row: Credential, newest: list[Stream], now: datetime) -> CredentialHealth:
    said = describe(row)
    if not row.enabled:
        return CredentialHealth(row.pk, row.label, "off", "off")
    if said.startswith("cannot be read"):
        return CredentialHealth(row.pk, row.label, "off", "unreadable", said)
    if row.cooling_until and row.cooling_until > now:
        return CredentialHealth(row.pk, row.label, "cool", cools(row, now), row.last_failure)
    if row.last_failure_at and row.last_failure_at > now - RECENT and not _well_since(row, row.last_failure_at, newest):
        return CredentialHealth(row.pk, row.label, "failed", f"failed {ago(row.last_failure_at, now)}", row.last_failure)
    return CredentialHealth(row.pk, row.label, "ok")


def _well_since(row: Credential, failed: datetime, newest: list[Stream]) -> bool:
    """Whether a request that came after the failure went well with this credential, as far as the newest streams tell."""
    return any(stream.credential_id == row.pk and stream.outcome in WELL and stream.time > failed for stream in newest)


def _newest(name: str) -> list[Stream]:
    """The newest streams of an upstream, read from the index of its entries."""
    rows = AuditEntry.objects.filter(provider=name, direction="ingress", drill=False).order_by("-time", "-id")
    return [Stream(*values) for values in rows.values_list("time", "credential_id", "outcome", "ttft_ms")[:SAMPLE]]


def _first_event(newest: list[Stream]) -> str:
    """How long streams took to their first event: the median, and what one in twenty exceeds."""
    times = sorted(stream.ttft_ms for stream in newest if stream.ttft_ms is not None)
    if not times:
        return ""
    return f"{lasted(times[len(times) // 2])} / {lasted(times[min(int(len(times) * 0.95), len(times) - 1)])}"
