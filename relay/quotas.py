"""What a client key may use: so many requests at once, and so many tokens a day.

Requests are counted in this process, and the limit is shared out among the workers, as a credential's is. Tokens are
added up by whoever ships the endings, in the transaction that stores them, so that each counts once, whatever is killed;
the refresher's thread reads the sums, and the request path only looks at what it found. So a budget is exceeded by what
was under way when it ran out, and by what a second or two brings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import F

from relay.balancing import Place, take_within
from relay.models import ClientKey, Spend
from relay.snapshot import ClientKeySpec, Snapshot

KEPT_DAYS = 40
MOST = 10**12  # tokens of one request that are believed
_used_up: frozenset[int] = frozenset()  # ids of the keys whose budget of today is spent


def take(key: ClientKeySpec) -> Place | None:
    """A place among the requests of the key; None when it has as many as it may."""
    return take_within(key.max_concurrency, ("client", key.id))


def used_up(key: ClientKeySpec) -> bool:
    """Whether the key has used the tokens of the day."""
    return key.tokens_per_day is not None and key.id in _used_up


def learn(snapshot: Snapshot) -> None:
    """Reads what was used today by the keys that have a budget. For the refresher's thread."""
    global _used_up
    budgets = {key.id: key for key in snapshot.keys.values() if key.tokens_per_day is not None}
    if not budgets:
        _used_up = frozenset()
        return
    rows = Spend.objects.filter(day=datetime.now(UTC).date(), client_key__in=budgets).values_list("client_key", "tokens")
    _used_up = frozenset(key for key, tokens in rows if tokens >= (budgets[key].tokens_per_day or 0))


def spend(entries: Iterable[Mapping[str, Any]]) -> None:
    """Adds up the tokens of ended requests, for keys that have a budget. Inside the transaction that stores them.

    A key is known by its id, which outlives its label; records that were written before they had one tell the label.
    """
    sums: Counter[tuple[int | str, date]] = Counter()
    for entry in entries:
        tokens = _count(entry.get("input_tokens")) + _count(entry.get("output_tokens"))
        day, key = _day(entry.get("time")), entry.get("client_key_id") or entry.get("client_key")
        if tokens and day and isinstance(key, int | str) and entry.get("direction") != "egress":
            sums[key, day] += tokens
    if not sums:
        return
    limited: dict[int | str, int] = {}
    for pk, label in ClientKey.objects.filter(tokens_per_day__isnull=False).values_list("pk", "label"):
        limited[pk] = limited[label] = pk
    spent: Counter[tuple[int, date]] = Counter()
    for (key, day), tokens in sums.items():
        if key in limited:
            spent[limited[key], day] += tokens
    for (pk, day), tokens in sorted(spent.items()):
        row, made = Spend.objects.get_or_create(client_key_id=pk, day=day)
        Spend.objects.filter(pk=row.pk).update(tokens=F("tokens") + tokens)
        if made:
            Spend.objects.filter(client_key=pk, day__lt=day - timedelta(days=KEPT_DAYS)).delete()


def _count(value: Any) -> int:
    """A journal may hold anything, and nothing of it may keep the rest from being stored."""
    return min(value, MOST) if isinstance(value, int) and value > 0 else 0


def _day(moment: Any) -> date | None:
    try:
        return datetime.fromtimestamp(moment, UTC).date()
    except (TypeError, ValueError, OverflowError, OSError):
        return None
