"""The evidence of one ending, as endings.md names it: from an exchange's facts to plain JSON.

Null is left out; `False`, `0` and `""` stay. Offsets are milliseconds from receipt, sizes are bytes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from django.conf import settings

from proxy_project import VERSION
from relay.ending import OUTCOMES, Cause, Outcome, Verdict

if TYPE_CHECKING:
    from relay.client_side import ClientClose
    from relay.exchange_state import Attempt, ExchangeState


def pruned(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the nulls."""
    return {name: value for name, value in fields.items() if value is not None}


def evidence_of(exchange: ExchangeState, verdict: Verdict, in_flight: int) -> dict[str, Any]:
    """Everything that endings.md lists, for both logs; `in_flight` counts the streams beside it."""
    answer = exchange.answer
    attempt = exchange.attempts[-1] if exchange.attempts else None
    received = exchange.received
    notes = exchange.notes if answer is None else exchange.notes | answer.notes
    return pruned(
        {
            "kind": verdict.outcome.value,
            "request_id": exchange.request_id,
            "client_request_id": exchange.client_request_id,
            "tag": exchange.tag or None,
            "provider": attempt.upstream if attempt else None,
            "path": exchange.path,
            "model": exchange.model,
            "upstream_model": exchange.upstream_model,
            "credential": {"id": attempt.credential_id, "label": attempt.credential} if attempt else None,
            "variant_hash": exchange.variant_hash,
            "response_id": answer.response_id if answer else None,
            "upstream_request_id": attempt.upstream_request_id if attempt else None,
            "event_count": answer.event_count if answer else None,
            "had_reasoning": answer.had_reasoning if answer else None,
            "close_code": exchange.close_code,
            "close_reason": exchange.close_reason or None,
            "written_chunks": exchange.written_chunks,
            "written_bytes": exchange.written_bytes,
            "last_sent_event": exchange.last_sent_event,
            "sent_terminal": exchange.sent_terminal,
            "upstream_status": attempt.status if attempt else None,
            "error_code": attempt.error_code if attempt else None,
            "detail": verdict.detail or None,
            "finish_reason": exchange.finish_reason or None,
            "client_status": exchange.client_status,
            "attempts": [_attempt(item) for item in exchange.attempts] or None,
            "timeline": _timeline(exchange, attempt),
            "gaps": _gaps(exchange),
            "heartbeats": _heartbeats(exchange),
            "last_events": [{"type": name, "size": size, "at": _ms(at - received)} for name, size, at in exchange.last_events]
            or None,
            "notes": sorted(notes) or None,
            "contributing": [cause.value for cause in verdict.contributing] or None,
            "upstream_body": exchange.upstream_excerpt,
            "client_socket": _client_socket(exchange),
            "relay": {"process": os.getpid(), "instance": settings.INSTANCE, "version": VERSION, "in_flight": in_flight},
        }
    )


def entry_of(exchange: ExchangeState, verdict: Verdict | None = None) -> dict[str, Any]:
    """The audit entry's columns, as far as they are known; without a verdict, those of a request in flight."""
    answer = exchange.answer
    attempt = exchange.attempts[-1] if exchange.attempts else None
    usage = answer.usage if answer else None
    entry: dict[str, Any] = {
        "id": exchange.record_id,
        "request_id": exchange.request_id,
        "client_request_id": exchange.client_request_id,
        "time": exchange.received_at,
        "direction": "ingress",
        "method": exchange.method,
        "path": exchange.path,
        "tag": exchange.tag or None,
        "model": exchange.model,
        "upstream_model": exchange.upstream_model,
        "provider": attempt.upstream if attempt else None,
        "credential": attempt.credential if attempt else None,
        "credential_id": attempt.credential_id if attempt else None,
        "client_key": exchange.client_key or None,
        "client_key_id": exchange.client_key_id,
        "user_agent": exchange.user_agent or None,
        "peer": exchange.peer or None,
        "stream": exchange.stream,
        "drill": exchange.drill,
        "instance": settings.INSTANCE,
        "phase": exchange.phase.value,
        "bytes_in": exchange.upstream_bytes,
        "chunks_in": exchange.upstream_chunks,
        "bytes_out": exchange.written_bytes,
        "chunks_out": exchange.written_chunks,
        "request_bytes": exchange.request_bytes,
        "attempt_count": len(exchange.attempts),
        "client_status": exchange.client_status,
    }
    if verdict is None or exchange.ended is None:
        return pruned(entry | {"evidence": _so_far(exchange, attempt) if attempt else None})
    duration = exchange.ended - exchange.received
    first = exchange.first_event or exchange.first_upstream_byte
    entry |= {
        "outcome": verdict.outcome.value,
        "cause": verdict.cause.value if verdict.cause else None,
        "phase": verdict.phase.value,
        "fault": verdict.fault.value if verdict.fault else None,
        "fault_reason": verdict.fault_reason or None,
        "upstream_status": attempt.status if attempt else None,
        "ttft_ms": _ms(first - exchange.received) if first else None,
        "duration_ms": _ms(duration),
        "payloads": exchange.captured.payloads() if exchange.captured else None,
    }
    if usage is not None:
        entry |= {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cached_tokens": usage.cached,
            "reasoning_tokens": usage.reasoning,
            "total_tokens": usage.total,
        }
        if usage.output and first and exchange.ended - first > 0.05:
            entry["tokens_per_second"] = round(usage.output / (exchange.ended - first), 2)
    return pruned(entry)


def _so_far(exchange: ExchangeState, attempt: Attempt) -> dict[str, Any]:
    """What a request in flight shows of itself: `live` holds what is true at this moment alone."""
    now, waiting = exchange.loop.time(), exchange.reading_since
    idle = getattr(exchange.upstream, "idle_timeout", None)
    return pruned(
        {
            "provider": attempt.upstream,
            "event_count": exchange.answer.event_count if exchange.answer else None,
            "attempts": [_attempt(item) for item in exchange.attempts],
            "timeline": _timeline(exchange, attempt),
            "heartbeats": _heartbeats(exchange),
            "live": pruned(
                {
                    "seen_ms": _ms(now - exchange.received),
                    "silent_ms": _ms(now - waiting) if waiting is not None else None,
                    "idle_timeout_ms": idle * 1000 if idle else None,
                }
            ),
        }
    )


def saved_attempts(exchange: ExchangeState, verdict: Verdict) -> list[dict[str, Any]]:
    """An `egress` audit entry for each attempt that failed and was saved by the next one."""
    if len(exchange.attempts) < 2 or verdict.outcome not in (Outcome.COMPLETED, Outcome.INCOMPLETE):
        return []
    base = entry_of(exchange)
    return [
        pruned(
            base
            | {
                "id": None,
                "direction": "egress",
                "time": exchange.received_at + (attempt.started - exchange.received),
                "provider": attempt.upstream,
                "credential": attempt.credential,
                "credential_id": attempt.credential_id,
                "outcome": attempt.outcome.value if attempt.outcome else None,
                "cause": attempt.cause.value if attempt.cause else None,
                "error": f"{OUTCOMES[attempt.outcome].message}: {attempt.detail}" if attempt.outcome else None,
                "upstream_status": attempt.status,
                "status": attempt.status,
                "duration_ms": _ms((attempt.ended or attempt.started) - attempt.started),
                "attempt_count": 1,
                "evidence": {"attempts": [_attempt(attempt)], "request_id": exchange.request_id},
            }
        )
        for attempt in exchange.attempts[:-1]
    ]


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return pruned(
        {
            "upstream": attempt.upstream,
            "credential": attempt.credential,
            "reused": attempt.reused,
            "status": attempt.status,
            "ms": _ms((attempt.ended or attempt.started) - attempt.started),
            "outcome": attempt.outcome.value if attempt.outcome else None,
            "cause": attempt.cause.value if attempt.cause else None,
            "detail": attempt.detail or None,
            "error_code": attempt.error_code,
            "next": attempt.next or None,
        }
    )


def _ms(seconds: float) -> float:
    """Milliseconds, to the microsecond; `round` with digits, which goes by way of a text, costs five times as much."""
    return round(seconds * 1e6) / 1000


def _timeline(exchange: ExchangeState, attempt: Attempt | None) -> dict[str, float]:
    received = exchange.received
    moments = (
        ("routed", exchange.routed),
        ("connect_start", attempt.connect_start if attempt else None),
        ("connected", attempt.connected if attempt else None),
        ("request_sent", attempt.request_sent if attempt else None),
        ("upstream_headers", exchange.upstream_headers),
        ("first_upstream_byte", exchange.first_upstream_byte),
        ("first_event", exchange.first_event),
        ("first_client_write", exchange.first_client_write),
        ("last_upstream_byte", exchange.last_upstream_byte),
        ("last_client_write", exchange.last_client_write),
        ("terminal_event", exchange.terminal_event),
        ("ended", exchange.ended),
    )
    return {name: _ms(at - received) for name, at in moments if at is not None}


def _gaps(exchange: ExchangeState) -> dict[str, Any]:
    longest, began = exchange.longest_gap, exchange.longest_gap_at
    waiting_since = exchange.last_upstream_byte
    if exchange.ended and waiting_since and exchange.terminal_event is None:
        silence = exchange.ended - waiting_since
        if silence > longest:
            longest, began = silence, waiting_since
    return pruned(
        {
            "longest_ms": _ms(longest),
            "longest_began": _ms(began - exchange.received) if longest else None,
            "median_ms": None if exchange.median_gap is None else _ms(exchange.median_gap),
            "blocked_ms": _ms(exchange.longest_block),
            "loop_lag_ms": _ms(exchange.loop_lag),
        }
    )


def _heartbeats(exchange: ExchangeState) -> dict[str, Any] | None:
    if not exchange.heartbeats:
        return None
    return {
        "count": exchange.heartbeats,
        "first": _ms((exchange.first_heartbeat or exchange.received) - exchange.received),
        "last": _ms((exchange.last_heartbeat or exchange.received) - exchange.received),
    }


def _client_socket(exchange: ExchangeState) -> dict[str, Any]:
    close: ClientClose | None = exchange.client_close
    if close is None and exchange.client is not None:
        close = exchange.client.snapshot()
    fields: dict[str, Any] = {"peer": exchange.peer_kind}
    if close is None:
        return fields
    if close.cause is not Cause.UNKNOWN or close.how:
        fields["closed"] = close.how or None
    elif exchange.verdict is not None and exchange.verdict.cause in (Cause.WRITE_TIMEOUT, Cause.TCP_TIMEOUT):
        fields["closed"] = "timeout"
    fields |= {
        "write_buffer": close.write_buffer,
        "send_queue": close.send_queue,
        "not_sent": close.not_sent,
        "blocked_ms": _ms(close.blocked_for),
        "rtt_ms": close.rtt_ms,
        "retransmits": close.retransmits,
    }
    return fields if close.send_queue is not None and close.rtt_ms is not None else pruned(fields)
