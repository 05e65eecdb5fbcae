"""Error events of invented requests and of invented exceptions, with all that the log counts of their groups.

The counts are kept in memory and written at the end, so nothing else may store events meanwhile. A group never holds more
events than the log lets it: what would be too many goes to another one.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

import orjson
from django.db.models import Max

from errorlog import options, signature
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount, SeenVersion, TopValue
from relay.close_record import PLATFORM
from relay.ending import OUTCOMES, Phase, full_message
from relay.seeding.audit import evidence_of
from relay.seeding.loading import Loader, add_counts, analyse, moment
from relay.seeding.traffic import MODELS, Request

COLUMNS = (
    *("id", "time", "name", "message", "stack", "source", "version", "platform", "context", "request_id"),
    *("fault", "drill", "group", "number", "client_before"),
)
NAMES = ("ValueError", "KeyError", "TypeError", "RuntimeError", "TimeoutError", "OperationalError", "ConnectionError")
PLACES = (
    "wire.sse",
    "wire.openai_chat",
    "routing",
    "supervisor",
    "server.handler",
    "shipper.storing",
    "admin.upstreams",
    "vault",
)
VERSIONS = ("0.9.0", "0.9.1", "1.0.0")


@dataclass(slots=True)
class Group:
    """A group's row and what came to it."""

    row: ErrorGroup
    hours: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)


class ErrorSeeder:
    """Takes abnormal requests, and invents exceptions at other times."""

    def __init__(self, exceptions: int, seed: int) -> None:
        self.chance = random.Random(seed + 1)  # noqa: S311 - invented traffic
        self.quota = options.events_per_group()
        self.kinds = max(5, exceptions * 10 // (self.quota * 7))
        self.free = 0  # no kind before this one has room
        self.loader = Loader(ErrorEvent, COLUMNS)
        self.groups: dict[tuple[str, ...], Group] = {}
        self.made = 0

    def ending(self, request: Request) -> None:
        """The event of a request that ended abnormally."""
        rule, cause = OUTCOMES[request.outcome], request.cause.value if request.cause else ""
        reached = "after first byte" if request.phase is Phase.STREAMING else "before first byte"
        parts = [rule.name, cause, request.provider, str(request.upstream_status or ""), reached]
        words = {
            "model": request.model,
            "upstream": request.provider,
            "credential": request.credential,
            "client_key": request.key,
            "cause": cause,
            "phase": request.phase.value,
            "fault": request.fault,
        }
        context = {
            **evidence_of(request),
            **{name: words[name] for name in ("client_key", "cause", "phase", "fault")},
            "outcome": request.outcome.value,
        }
        message = full_message(request.outcome, request.detail)
        self._event(parts, request.time, message, "", "server", words, context, request.id, request.request_id, request.drill)

    def exception(self, at: float) -> None:
        """An exception of our own code; a few kinds have most of them."""
        kind = min(int(self.chance.paretovariate(0.6)) - 1, self.kinds * 1000) % self.kinds
        while True:
            name, place = NAMES[kind % len(NAMES)], PLACES[kind // 7 % len(PLACES)]
            parts = [name, f"relay.{place} step_{kind}"]
            known = self.groups.get(tuple(parts))
            if known is None or known.row.kept < self.quota:
                break
            kind = self.free = self.free + (kind == self.free)  # the first kinds are full first
            self.kinds = max(self.kinds, self.free + 1)
        model, provider, _, _ = MODELS[kind % len(MODELS)]
        path = f"/srv/relay/{place.replace('.', '/')}.py"
        frames = "".join(f'  File "{path}", line {40 + n}, in step_{kind + n}\n    return self.next(frame)\n' for n in range(12))
        stack = f"Traceback (most recent call last):\n{frames}{name}: item {self.made} is not what was expected"
        words = {"model": model, "upstream": provider, "fault": "relay"}
        context = {"model": model, "provider": provider, "logger": f"relay.{place}", "process": 4711}
        record = f"{int(at * 1000):012x}7{self.chance.getrandbits(12):03x}8{self.chance.getrandbits(60):015x}"
        self._event(parts, at, f"item {self.made} is not what was expected", stack, "main", words, context, record, "", False)

    def finish(self) -> None:
        """Writes what waits, and the counts."""
        self.loader.flush()
        hours, values = {}, {}
        kinds: Counter[tuple[str, str, str]] = Counter()
        newest = dict(ErrorEvent.objects.values_list("group").annotate(last=Max("sequence")).order_by())
        for group in self.groups.values():
            row = group.row
            hours.update({(row.pk, *key): count for key, count in group.hours.items()})
            values.update({(row.pk, *key): count for key, count in group.values.items()})
            for (hour, fault), count in group.hours.items():
                kinds[row.name, hour, fault] += count
        add_counts(HourlyCount, ("group", "hour", "fault"), hours)
        add_counts(KindCount, ("name", "hour", "fault"), dict(kinds))
        add_counts(TopValue, ("group", "field", "value"), values)
        for group in self.groups.values():
            row = group.row
            row.last_sequence = newest[row.pk]
            row.keys_hit = TopValue.objects.filter(group=row, field="client_key").count()
            row.save()
        for version in VERSIONS:
            first = ErrorEvent.objects.filter(version=version).order_by("time").first()
            if first is not None:
                SeenVersion.objects.get_or_create(version=version, defaults={"first_seen": first.time})
        analyse(ErrorEvent, ErrorGroup, HourlyCount, KindCount, TopValue)

    def _event(
        self,
        parts: list[str],
        at: float,
        message: str,
        stack: str,
        source: str,
        words: dict[str, str],
        context: dict[str, object],
        record: str,
        request_id: str,
        drill: bool,
    ) -> None:
        group = None if drill else self._group(parts, at, source, words)
        client_before = 0
        if group is not None:
            row, fault = group.row, words["fault"]
            client_before = row.client_count
            row.count += 1
            row.kept += 1
            row.client_count += fault == "client"
            row.last_seen = max(row.last_seen, datetime.fromtimestamp(at, UTC))
            group.hours[moment(at // 3600 * 3600), fault] += 1
            for name, value in words.items():
                if value:
                    group.values[name, value] += 1
        self.made += 1
        version = VERSIONS[min(int(self.made / 400_000), len(VERSIONS) - 1)]
        self.loader.add(
            [
                *(record, moment(at), parts[0], message, stack, source, version, PLATFORM),
                *(orjson.dumps(context).decode(), request_id, words["fault"], int(drill)),
                *((group.row.pk, group.row.count) if group else (None, 0)),
                client_before,
            ]
        )

    def _group(self, parts: list[str], at: float, source: str, words: dict[str, str]) -> Group:
        group = self.groups.get(tuple(parts))
        if group is None:
            row, _ = ErrorGroup.objects.get_or_create(
                signature=signature.signature_of(parts),
                defaults={
                    "signature_version": signature.VERSION,
                    "parts": parts,
                    "name": parts[0],
                    "title": " · ".join(part for part in parts if part),
                    "source": source,
                    "cause": words.get("cause", ""),
                    "upstream": words["upstream"],
                    "fault": words["fault"],
                    "first_seen": datetime.fromtimestamp(at, UTC),
                    "last_seen": datetime.fromtimestamp(at, UTC),
                },
            )
            group = self.groups[tuple(parts)] = Group(row)
        return group
