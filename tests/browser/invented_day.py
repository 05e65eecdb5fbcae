"""An invented day for the README's pictures: real records of a gateway, copied over hours, models, upstreams and keys.

    python -m tests.browser.invented_day        (DATA_DIR names the gateway's data; nothing may be serving from it)

Each record was made by a real request; only who asked, what for and when is changed. Everything goes in through the
logs' own ingest, so that counts, groups, signatures and rates agree with each other. The dice always fall alike.
"""

from __future__ import annotations

import json
import math
import os
import random
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import django

DICE = random.Random(20260214)
HOURS = 24 * 8
KEYS = ("checkout-agent", "support-bot", "code-review", "nightly-eval", "laptop-ada")


@dataclass(frozen=True, slots=True)
class Kind:
    """What happens on an upstream: the model of the record that is copied, how often an hour, and since when."""

    template: str
    model: str
    provider: str
    credential: str
    hourly: float
    since: int = HOURS  # hours ago
    rising: bool = False
    keys: tuple[str, ...] = KEYS


KINDS = (
    Kind("fine", "gpt-5", "openai", "team-a", 44),
    Kind("fine-short", "gpt-5-mini", "openai", "team-b", 38),
    Kind("fine-slow", "claude-sonnet-4-5", "anthropic", "team-a", 41),
    Kind("fine-short", "claude-sonnet-4-5", "anthropic", "team-a", 12),
    Kind("fine-long", "gemini-2.5-pro", "gemini", "default", 17),
    Kind("fine-slow", "qwen3-coder-480b", "vllm-berlin", "lab", 11),
    Kind("short", "claude-sonnet-4-5", "anthropic", "team-a", 1.7),
    Kind("cut-short", "gpt-5", "openai", "team-b", 0.9),
    Kind("broken", "gpt-5", "openai", "team-a", 0.7),
    Kind("silent", "qwen3-coder-480b", "vllm-berlin", "lab", 0.7, since=20, rising=True, keys=KEYS[:2]),
    Kind("busy", "claude-sonnet-4-5", "anthropic", "team-a", 1.6, since=11),
    Kind("locked", "claude-opus-4-1", "anthropic", "eval", 1.8, since=4, keys=KEYS[3:4]),
    Kind("dead", "qwen3-coder-480b", "vllm-berlin", "lab", 0.15),
    Kind("left", "gpt-5-mini", "openai", "team-b", 1.6),
)


def main() -> None:
    """Reads the records that are there, and puts the day in."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "proxy_project.settings")
    django.setup()
    from django.utils import timezone

    from auditlog.ingest import store_entries
    from auditlog.models import AuditEntry
    from auditlog.models import HourlyCount as AuditHours
    from errorlog.clearing import clear
    from errorlog.ingest import store_events
    from errorlog.models import ErrorGroup

    templates = read_templates()
    AuditEntry.objects.all().delete()
    AuditHours.objects.all().delete()
    clear()
    now = timezone.now()
    records = sorted((one for kind in KINDS for one in copies(kind, templates[kind.template], now)), key=lambda one: one[0])
    half = len(records) // 3
    for part in (records[:half], records[half:]):
        store_entries([entry for _, entry, _ in part])
        store_events([event for _, _, event in part if event])
        # what was settled and came back is a regression
        ErrorGroup.objects.filter(name="StreamUpstreamError", cause="connect-refused").resolve()
    ErrorGroup.objects.filter(cause="connect-refused", status="resolved").reopen()
    print(f"{len(records):,} requests were invented")


def read_templates() -> dict[str, tuple[dict[str, Any], dict[str, Any] | None]]:
    """Entry and event of the newest request of each model, as a journal carries them."""
    from auditlog.models import AuditEntry
    from errorlog.models import ErrorEvent

    found = {}
    for row in AuditEntry.objects.filter(direction="ingress", outcome__isnull=False).order_by("time"):
        entry = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
        event = ErrorEvent.objects.filter(request_id=row.request_id).select_related("group").first()
        found[row.model or ""] = entry, None if event is None else event_of(event)
    return found


def event_of(event: Any) -> dict[str, Any]:
    names = ("name", "message", "stack", "source", "version", "platform", "context", "request_id")
    return {name: getattr(event, name) for name in names} | {"fingerprint": event.group.parts}


def copies(kind: Kind, template: tuple[dict[str, Any], dict[str, Any] | None], now: datetime) -> Any:
    """The kind's requests: moment, entry, event."""
    for ago in range(kind.since):
        busy = 0.75 + 0.25 * math.sin(2 * math.pi * ((now - timedelta(hours=ago)).hour - 8) / 24)
        much = kind.hourly * busy * (1 if ago < 26 else 0.3) * (3 ** (1 - ago / 6) if kind.rising else 1)
        for _ in range(int(much) + (DICE.random() < much % 1)):
            yield one(kind, template, now - timedelta(hours=ago, seconds=DICE.uniform(20, 3600)))


def one(kind: Kind, template: tuple[dict[str, Any], dict[str, Any] | None], at: datetime) -> Any:
    entry, event = template
    record, request, key = (
        str(uuid.UUID(int=DICE.getrandbits(128), version=4)),
        f"req_{DICE.getrandbits(96):024x}",
        DICE.choice(kind.keys),
    )
    names = {"model": kind.model, "provider": kind.provider, "credential": kind.credential, "client_key": key}
    old = {"provider": entry["provider"], "credential": entry["credential"], "model": entry["model"]}

    def renamed(value: Any) -> Any:
        text = json.dumps(value, default=str)
        for name, before in old.items():
            if before:
                text = text.replace(json.dumps(before), json.dumps(names[name]))
        return json.loads(text)

    copied = entry | names | {"id": record, "request_id": request, "time": at.timestamp(), "upstream_model": kind.model}
    copied |= {"evidence": renamed(entry["evidence"]), "user_agent": "openai-python/2.3.0", "drill": False}
    if event is None:
        return at, copied, None
    context = renamed(event["context"]) | {
        "model": kind.model,
        "provider": kind.provider,
        "client_key": key,
        "request_id": request,
    }
    context["upstream_model"] = kind.model
    told = event | {"id": record, "time": at.timestamp(), "request_id": request, "context": context}
    return at, copied, told | {"fingerprint": renamed(event["fingerprint"])}


if __name__ == "__main__":
    main()
