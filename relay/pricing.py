"""What a request cost: the tokens that its upstream told of, at the price that stands when its ending is stored.

For the shipper, which has no request waiting. What is not known costs nothing known: without the upstream's word for the
input, or without a price, there is no cost, and never a 0 that was guessed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from relay import models
from relay.snapshot import glob

LOOK_SECONDS = 0.5  # how soon a changed price is seen, as with the rest of the configuration
REMEMBERED = 10_000  # pairs of upstream and model; then all are forgotten
MOST = Decimal(10) ** 10  # a cost that the audit log has no digits for is a count of tokens that nobody can have meant


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """A model's name or glob, the upstream (None: any), and what a million tokens cost."""

    model: str
    upstream: str | None
    input: Decimal
    cached_input: Decimal
    output: Decimal

    def cost(self, read: int, cached: int, written: int) -> Decimal:
        """Of so many tokens in and out; `cached` of those in came from a cache."""
        fresh = max(read - cached, 0)
        return (fresh * self.input + cached * self.cached_input + written * self.output).scaleb(-6)


def spec_of(row: models.Price) -> PriceSpec:
    """The row, without its database."""
    name = row.upstream.name if row.upstream else None
    cached = row.input if row.cached_input is None else row.cached_input
    return PriceSpec(row.model, name, row.input, cached, row.output)


class PriceList:
    """All prices at one version of the configuration, in the order of their positions."""

    def __init__(self, prices: Iterable[PriceSpec] = ()) -> None:
        self._of: dict[str | None, list[PriceSpec]] = {}
        # Exact names first, then the longest literal prefix; the sort is stable, so that the order decides between equals.
        for price in sorted(prices, key=lambda price: (not glob(price.model).exact, -len(glob(price.model).prefix))):
            self._of.setdefault(price.upstream, []).append(price)
        self._found: dict[tuple[str | None, str], PriceSpec | None] = {}

    def price_for(self, upstream: str | None, model: str) -> PriceSpec | None:
        """The upstream's own prices first, then those of any; in both as routes match: exact, longest prefix, order."""
        try:
            return self._found[upstream, model]
        except KeyError:
            pass
        if len(self._found) >= REMEMBERED:
            self._found.clear()
        fitting = (price for name in (upstream, None) for price in self._of.get(name, ()) if glob(price.model).matches(model))
        found = self._found[upstream, model] = next(fitting, None)
        return found

    def cost_of(self, entry: Mapping[str, Any]) -> Decimal | None:
        """What the request of an audit entry cost, as far as its tokens were seen; None where that is not known.

        A rehearsal costs nothing real. An attempt that the next one saved (`egress`) told of no tokens: those of the
        request stand in its own entry.
        """
        model = entry.get("upstream_model") or entry.get("model")
        read = _tokens(entry.get("input_tokens"))
        if read is None or not isinstance(model, str) or entry.get("drill") or entry.get("direction") == "egress":
            return None
        provider = entry.get("provider")
        price = self.price_for(provider if isinstance(provider, str) else None, model)
        if price is None:
            return None
        cost = price.cost(read, _tokens(entry.get("cached_tokens")) or 0, _tokens(entry.get("output_tokens")) or 0)
        return cost if cost < MOST else None


class Prices:
    """The prices of the database, read again when the configuration's version moved."""

    def __init__(self) -> None:
        self._list = PriceList()
        self._version: int | None = None
        self._look_at = 0.0

    def current(self) -> PriceList:
        """The prices, no older than `LOOK_SECONDS`.

        Raises:
            DatabaseError: they cannot be read.
        """
        now = time.monotonic()
        if self._version is None or now >= self._look_at:
            version = models.ConfigVersion.present()  # before the rows: what changes in between is found by the next look
            if version != self._version:
                self._list = PriceList(map(spec_of, models.Price.objects.select_related("upstream")))
                self._version = version
            self._look_at = now + LOOK_SECONDS
        return self._list


def _tokens(value: Any) -> int | None:
    """A journal may hold anything."""
    return value if type(value) is int and value >= 0 else None
