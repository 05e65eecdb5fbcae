"""Records as the exchange makes them. Imports no pytest, so that real worker processes use it too."""

from __future__ import annotations

import time
from typing import Any

from relay import journal, recorder
from relay.ending import Cause, Fault, Outcome, Phase, Verdict
from relay.recorder import Ending, new_record_id

COMPLETED = Verdict(Outcome.COMPLETED, None, Phase.FINISHING, None)
PREMATURE = Verdict(Outcome.UPSTREAM_PREMATURE, Cause.EOF, Phase.STREAMING, Fault.UPSTREAM, "after 12 bytes", "cut")


def entry_of(record: str, **more: Any) -> dict[str, Any]:
    """The columns of one request, as the exchange gives them."""
    return {
        "id": record,
        "request_id": f"req_{record.replace('-', '')}",
        "time": time.time(),
        "direction": "ingress",
        "method": "POST",
        "path": "/v1/chat/completions",
        "tag": "chat",
        "model": "gpt-x",
        "instance": journal.instance(),
        "phase": "streaming",
        **more,
    }


def opened(**more: Any) -> str:
    record = new_record_id()
    recorder.record_open(record, time.time(), entry_of(record, **more))
    return record


def ended(verdict: Verdict = COMPLETED, record: str = "", **more: Any) -> str:
    record = record or new_record_id()
    entry = entry_of(record, **more)
    evidence = {"kind": verdict.outcome.value, "request_id": entry["request_id"], "upstream_status": 200}
    recorder.record_stream_close(Ending(verdict, evidence, entry, record_id=record))
    return record
