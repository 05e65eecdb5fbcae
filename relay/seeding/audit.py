"""Invented requests as audit entries, with the hourly counts and the size that the log keeps of them."""

from __future__ import annotations

from collections import Counter

import orjson
from django.db.models import F

from auditlog.models import AuditEntry, HourlyCount, RecordingState
from relay.close_record import CLIENT_LEFT, CLIENT_LEFT_OUTCOMES
from relay.ending import full_message
from relay.seeding.loading import Loader, add_counts, analyse, moment
from relay.seeding.traffic import PATHS, Request

COLUMNS = (
    *("id", "time", "request_id", "response_id", "direction", "method", "path", "tag", "model", "upstream_model"),
    *("provider", "credential", "client_key", "user_agent", "peer", "stream", "status", "upstream_status", "client_status"),
    *("outcome", "cause", "phase", "fault", "error", "ttft_ms", "duration_ms", "input_tokens", "output_tokens"),
    *("total_tokens", "bytes_in", "chunks_in", "bytes_out", "chunks_out", "request_bytes", "attempt_count", "drill"),
    *("instance", "evidence"),
)


def evidence_of(request: Request) -> dict[str, object]:
    """What the record of such a request says; the part of it that pages draw."""
    ended, first = request.duration, min(request.ttft, request.duration)
    return {
        "kind": request.outcome.value,
        "request_id": request.request_id,
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
    """Takes requests, in their order."""

    def __init__(self) -> None:
        self.loader = Loader(AuditEntry, COLUMNS)
        self.hours: Counter[tuple[str, ...]] = Counter()
        self.made = 0

    def add(self, request: Request) -> None:
        self.loader.add(self._row(request))
        self.made += 1
        if not request.drill:
            hour = moment(request.time // 3600 * 3600)
            self.hours[hour, request.provider, request.model, request.outcome.value, request.fault] += 1

    def finish(self) -> None:
        self.loader.flush()
        add_counts(HourlyCount, ("hour", "provider", "model", "outcome", "fault"), dict(self.hours))
        RecordingState.current()
        RecordingState.objects.filter(pk=RecordingState.ONLY).update(size=F("size") + self.made)
        analyse(AuditEntry, HourlyCount)

    def _row(self, request: Request) -> list[str | int | float | None]:
        status = request.upstream_status
        client_status = 200 if status == 200 else status or 502
        if status is None and request.outcome in CLIENT_LEFT_OUTCOMES:
            status = CLIENT_LEFT
        written = request.chunks * 210
        return [
            *(request.id, moment(request.time), request.request_id, f"resp_{request.id[12:]}", "ingress", "POST"),
            *(PATHS[request.tag], request.tag, request.model, request.model, request.provider, request.credential),
            *(request.key, request.agent, "10.0.0.7", 1, status or client_status, request.upstream_status, client_status),
            *(request.outcome.value, request.cause and request.cause.value, request.phase.value, request.fault or None),
            *(full_message(request.outcome, request.detail) or None, request.ttft, request.duration),
            *(request.input_tokens, request.output_tokens, request.input_tokens + request.output_tokens),
            *(written, request.chunks, written, request.chunks, request.input_tokens * 4, 1, int(request.drill), "seeded"),
            orjson.dumps(evidence_of(request)).decode(),
        ]
