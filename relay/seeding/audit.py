"""Invented requests as audit entries, with the hourly counts and the size that the log keeps of them."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import orjson
from django.db import connection, transaction
from django.db.models import F

from auditlog.models import AuditEntry, HourlyCount, RecordingState
from relay.close_record import CLIENT_LEFT, CLIENT_LEFT_OUTCOMES
from relay.ending import full_message
from relay.seeding.blocks import Block
from relay.seeding.loading import Value, add_counts, columns_of, fill, indexes_after, moment, settle
from relay.seeding.traffic import PATHS, Request

OWN = ("id", "time", "request_id", "response_id")  # what differs between a request of the sample and its copies
SHARED = (
    *("direction", "method", "path", "tag", "model", "upstream_model"),
    *("provider", "credential", "client_key", "user_agent", "peer", "stream", "status", "upstream_status", "client_status"),
    *("outcome", "cause", "phase", "fault", "error", "ttft_ms", "duration_ms", "input_tokens", "output_tokens"),
    *("total_tokens", "bytes_in", "chunks_in", "bytes_out", "chunks_out", "request_bytes", "attempt_count", "drill"),
    *("instance", "evidence"),
)
HOUR = 3_600_000_000  # microseconds
# `key` is a copy's id as 32 hex digits and `us` its time in microseconds (blocks.Block says the same in Python).
COPY = {
    "postgresql": """
        SELECT key::uuid, timestamptz 'epoch' + us * interval '1 microsecond', 'req_' || key, 'resp_' || substr(key, 13),
            {shared}
        FROM (SELECT *, lpad(to_hex(us / 1000), 12, '0') || head || '8' || lpad(to_hex(%(number)s + place - %(first)s), 7, '0')
            || tail AS key FROM ({timed}) AS timed) AS named ORDER BY place
    """,
    "sqlite": """
        SELECT key, strftime('%%Y-%%m-%%d %%H:%%M:%%S', us / 1000000, 'unixepoch') || printf('.%%06d', us %% 1000000),
            'req_' || key, 'resp_' || substr(key, 13), {shared}
        FROM (SELECT *, printf('%%012x', us / 1000) || head || '8' || printf('%%07x', %(number)s + place - %(first)s)
            || tail AS key FROM ({timed}) AS timed) AS named ORDER BY place
    """,
}
TIMED = """
    SELECT *, %(start)s + CAST(%(width)s AS bigint) * (place - %(first)s) / %(size)s AS us FROM seeding_sample
    WHERE place >= %(first)s AND place < %(first)s + %(size)s
"""


def evidence_of(request: Request) -> dict[str, object]:
    """What the record of such a request says; the part of it that pages draw. Nothing of one copy's own."""
    ended, first = request.duration, min(request.ttft, request.duration)
    return {
        "kind": request.outcome.value,
        "tag": request.tag,
        "provider": request.provider,
        "path": PATHS[request.tag],
        "model": request.model,
        "upstream_model": request.model,
        "credential": {"id": 1, "label": request.credential},
        "event_count": request.chunks,
        "had_reasoning": False,
        "written_chunks": request.chunks,
        "written_bytes": request.chunks * 210,
        "last_sent_event": "delta" if request.cause else "[DONE]",
        "sent_terminal": request.cause is None,
        "upstream_status": request.upstream_status,
        "attempts": [{"upstream": request.provider, "credential": request.credential, "reused": True, "ms": ended}],
        "timeline": {"routed": 0.1, "request_sent": 0.4, "first_event": first, "first_client_write": first, "ended": ended},
        "gaps": {"longest_ms": round(first, 3), "median_ms": 18.0, "blocked_ms": 0.0, "loop_lag_ms": 0.0},
        "client_socket": {"peer": "direct", "write_buffer": 0, "send_queue": 0, "not_sent": 0, "rtt_ms": 0.2},
        "relay": {"process": 4711, "instance": "seeded", "version": "seeded", "in_flight": 12},
    }


class AuditSeeder:
    """Makes the entries of blocks of requests, in the database, from the sample that it is given."""

    def __init__(self, sample: Sequence[Request]) -> None:
        self.sample = sample
        self.keys = [_counted(request) for request in sample]
        self.hours: Counter[tuple[str, ...]] = Counter()
        self.made = 0

    @contextmanager
    def filling(self, count: int) -> Iterator[None]:
        """While this is open `count` entries come; afterwards all that the log keeps of them is there."""
        if not count:
            yield
            return
        with indexes_after(AuditEntry, count):
            self._lay_out()
            yield
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE seeding_sample")
        add_counts(HourlyCount, ("hour", "provider", "model", "outcome", "fault"), dict(self.hours))
        RecordingState.current()
        RecordingState.objects.filter(pk=RecordingState.ONLY).update(size=F("size") + self.made)
        settle(AuditEntry, HourlyCount)

    def add(self, block: Block) -> None:
        """The entries of one block."""
        values = {name: getattr(block, name) for name in ("number", "first", "size", "start", "width")}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(self.copy, values)
        self.made += block.size
        place, end = block.first, block.first + block.size
        while place < end:  # hour by hour, of which a block has a few
            hour = block.time(place) // HOUR
            until = bisect_right(range(end), hour, lo=place, key=lambda other: block.time(other) // HOUR)
            begins = moment(hour * 3600)
            for key, count in Counter(self.keys[place:until]).items():
                if key is not None:
                    self.hours[begins, *key] += count
            place = until

    def _lay_out(self) -> None:
        """The sample as a table of this connection's own."""
        entries = connection.ops.quote_name(AuditEntry._meta.db_table)
        shared = ", ".join(columns_of(AuditEntry, SHARED))
        with transaction.atomic(), connection.cursor() as cursor:
            # Every name in these statements is one of our models'.
            cursor.execute(
                f"CREATE TEMPORARY TABLE seeding_sample AS SELECT CAST(0 AS integer) AS place, "  # noqa: S608
                f"CAST('' AS text) AS head, CAST('' AS text) AS tail, {shared} FROM {entries} LIMIT 0"
            )
            fill(cursor, f"seeding_sample (place, head, tail, {shared})", [*map(self._row, range(len(self.sample)))])
            cursor.execute("CREATE UNIQUE INDEX seeding_places ON seeding_sample (place)")
            cursor.execute("ANALYZE seeding_sample")
        into = f"INSERT INTO {entries} ({', '.join(columns_of(AuditEntry, OWN))}, {shared})"
        self.copy = into + COPY[connection.vendor].format(shared=shared, timed=TIMED)

    def _row(self, place: int) -> list[Value]:
        request = self.sample[place]
        status = request.upstream_status
        client_status = 200 if status == 200 else status or 502
        if status is None and request.outcome in CLIENT_LEFT_OUTCOMES:
            status = CLIENT_LEFT
        written = request.chunks * 210
        return [
            *(place, request.id[12:16], request.id[24:]),
            *("ingress", "POST", PATHS[request.tag], request.tag, request.model, request.model, request.provider),
            *(request.credential, request.key, request.agent, "10.0.0.7", 1),
            *(status or client_status, request.upstream_status, client_status),
            *(request.outcome.value, request.cause and request.cause.value, request.phase.value, request.fault or None),
            *(full_message(request.outcome, request.detail) or None, request.ttft, request.duration),
            *(request.input_tokens, request.output_tokens, request.input_tokens + request.output_tokens),
            *(written, request.chunks, written, request.chunks, request.input_tokens * 4, 1, int(request.drill), "seeded"),
            orjson.dumps(evidence_of(request)).decode(),
        ]


def _counted(request: Request) -> tuple[str, ...] | None:
    """As what the request counts in its hour; a drill counts nowhere."""
    return None if request.drill else (request.provider, request.model, request.outcome.value, request.fault)
