"""Error events of invented requests and of invented exceptions, with all that the log counts of their groups.

The counts are kept in memory and written at the end, so nothing else may store events meanwhile. A group never holds more
events than the log lets it: exceptions that would be too many go to another one, endings are thinned as the log does.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import orjson
from django.db.models import Max

from errorlog import options, retention, signature
from errorlog.models import ErrorEvent, ErrorGroup, HourlyCount, KindCount, SeenVersion, TopValue
from relay.close_record import PLATFORM
from relay.ending import OUTCOMES, Phase, full_message
from relay.seeding.audit import evidence_of
from relay.seeding.loading import Loader, add_counts, indexes_after, moment, settle
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
    first: float
    last: float
    hours: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)


def parts_of(request: Request) -> tuple[str, ...]:
    """What the signature of a request's ending is made of."""
    cause, status = request.cause.value if request.cause else "", str(request.upstream_status or "")
    reached = "after first byte" if request.phase is Phase.STREAMING else "before first byte"
    return OUTCOMES[request.outcome].name, cause, request.provider, status, reached


def kept_of(sample: Sequence[Request], count: int) -> int:
    """How many events the log keeps of `count` requests such as these, about."""
    groups = Counter(parts_of(request) for request in sample if request.cause is not None and not request.drill)
    return int(sum(min(number * count / len(sample), options.events_per_group()) for number in groups.values()))


class ErrorSeeder:
    """Takes abnormal requests, and invents exceptions at other times; all of them in the order of time."""

    def __init__(self, exceptions: int, expected: int, seed: int) -> None:
        self.chance = random.Random(seed + 1)  # noqa: S311 - invented traffic
        self.quota = options.events_per_group()
        self.kinds = max(5, exceptions * 10 // (self.quota * 7))
        self.free = 0  # no kind before this one has room
        self.loader = Loader(ErrorEvent, COLUMNS)
        self.groups: dict[tuple[str, ...], Group] = {}
        self.made = 0
        self.expected = expected  # events, about

    def ending(self, request: Request) -> None:
        """The event of a request that ended abnormally."""
        parts, cause = parts_of(request), request.cause.value if request.cause else ""
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
            parts = name, f"relay.{place} step_{kind}"
            known = self.groups.get(parts)
            if known is None or known.row.kept < self.quota:
                break
            kind = self.free = self.free + (kind == self.free)  # the first kinds are full first
            self.kinds = max(self.kinds, self.free + 1)
        model, provider, _, _ = MODELS[kind % len(MODELS)]
        stack = f"{_frames(place, kind)}{name}: item {self.made} is not what was expected"
        words = {"model": model, "upstream": provider, "fault": "relay"}
        context = {"model": model, "provider": provider, "logger": f"relay.{place}", "process": 4711}
        record = f"{int(at * 1000):012x}7{self.chance.getrandbits(12):03x}8{self.chance.getrandbits(60):015x}"
        self._event(parts, at, f"item {self.made} is not what was expected", stack, "main", words, context, record, "", False)

    @contextmanager
    def filling(self) -> Iterator[None]:
        """While this is open the events come; afterwards all that the log keeps of them is there."""
        with indexes_after(ErrorEvent, self.expected):
            yield
            self.loader.flush()
        hours, values = {}, {}
        kinds: Counter[tuple[str, str, str]] = Counter()
        for group in self.groups.values():
            row = group.row
            hours.update({(row.pk, *key): count for key, count in group.hours.items()})
            values.update({(row.pk, *key): count for key, count in group.values.items()})
            for (hour, fault), count in group.hours.items():
                kinds[row.name, hour, fault] += count
        add_counts(HourlyCount, ("group", "hour", "fault"), hours)
        add_counts(KindCount, ("name", "hour", "fault"), dict(kinds))
        add_counts(TopValue, ("group", "field", "value"), values)
        self._settle_groups()
        for version in VERSIONS:
            first = ErrorEvent.objects.filter(version=version).order_by("sequence").first()
            if first is not None:
                SeenVersion.objects.get_or_create(version=version, defaults={"first_seen": first.time})
        settle(ErrorEvent, ErrorGroup, HourlyCount, KindCount, TopValue)

    def _settle_groups(self) -> None:
        newest = dict(ErrorEvent.objects.values_list("group").annotate(last=Max("sequence")).order_by())
        for group in self.groups.values():
            row = group.row
            row.last_sequence = newest[row.pk]
            row.first_seen = min(row.first_seen, datetime.fromtimestamp(group.first, UTC))
            row.last_seen = max(row.last_seen, datetime.fromtimestamp(group.last, UTC))
            row.keys_hit = TopValue.objects.filter(group=row, field="client_key").count()
            retention.keep_to_quota(row, self.quota)
            row.save()

    def _event(
        self,
        parts: tuple[str, ...],
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
            group.last = at
            group.hours[_hour(at // 3600), fault] += 1
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

    def _group(self, parts: tuple[str, ...], at: float, source: str, words: dict[str, str]) -> Group:
        group = self.groups.get(parts)
        if group is None:
            row, _ = ErrorGroup.objects.get_or_create(
                signature=signature.signature_of(list(parts)),
                defaults={
                    "signature_version": signature.VERSION,
                    "parts": list(parts),
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
            group = self.groups[parts] = Group(row, at, at)
        return group


@cache
def _hour(number: int) -> str:
    return moment(number * 3600)


@cache
def _frames(place: str, kind: int) -> str:
    path = f"/srv/relay/{place.replace('.', '/')}.py"
    frames = "".join(f'  File "{path}", line {40 + n}, in step_{kind + n}\n    return self.next(frame)\n' for n in range(12))
    return f"Traceback (most recent call last):\n{frames}"
