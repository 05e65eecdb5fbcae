"""One page of the Audit view, from its address: what is searched, the entries, and where each link leads.

What must stay true: the address is the saved view. Chips, menus and cells only ever rewrite `q` in the search grammar, so
there is one way to filter, and whatever a page shows can be sent to somebody as a link. Nothing here counts entries.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.utils import timezone

from auditlog import knowing
from auditlog.entries import FAR, LOOK, BadCursor, Page, Place
from auditlog.finding import Found, find
from auditlog.models import EGRESS, INGRESS, AuditEntry
from auditlog.query import ALIASES, Op, Query, QueryError, Term, Text, parse, term

PAGE_SIZE = 50
LATELY = dt.timedelta(minutes=2)  # what was received before that and is not on the page came late, and is found by reloading
LOOKED_AT = 1_000  # the newest entries, of which the menus take their values
MENU_LENGTH = 15
DIRECTIONS = {INGRESS: "Ingress", EGRESS: "Egress", "all": "Both"}
MENUS = {
    "outcome": "Outcome",
    "cause": "Cause",
    "fault": "Fault",
    "phase": "Phase",
    "model": "Model",
    "provider": "Upstream",
    "credential": "Credential",
    "client_key": "Client key",
}
OUTCOMES = (  # all of them, because the menu of outcomes is the page's table of contents
    "completed",
    "incomplete",
    "rejected",
    "client-abort",
    "client-write-failed",
    "upstream-error",
    "upstream-premature",
    "relay-shutdown",
    "relay-error",
    "relay-lost",
)
PERIODS = {"15m": "15 minutes", "1h": "1 hour", "24h": "24 hours", "7d": "7 days", "30d": "30 days"}
SHORT = {column: alias for alias, column in ALIASES.items() if alias in ("upstream", "key", "tokens", "input", "output")}
FURTHER = "further"  # the address's word for a page that may look for longer
RELAXED = 3  # how many parts an empty page tries to do without
RELAXED_COUNT = 100  # how far it counts then


@dataclass(frozen=True, slots=True)
class Link:
    """Something to click on: what it says and the query string that it leads to."""

    text: str
    href: str
    active: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """One term of the search; its cross leads to the search without it."""

    name: str
    value: str
    negated: bool
    href: str


@dataclass(frozen=True, slots=True)
class Menu:
    """The values of one column to filter by; `chosen` is what is filtered by now."""

    label: str
    links: list[Link]
    chosen: str


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What an empty page could do without, and what that would show."""

    without: str
    found: str
    href: str


@dataclass(slots=True)
class Listing:
    """What the template shows, the rows' cells aside."""

    asked: str
    direction: str
    error: str = ""  # why the search was not understood; then no entry is shown
    query: Query = field(default_factory=Query)
    entries: list[AuditEntry] = field(default_factory=list)
    live: bool = False  # the newest page: what comes belongs on top of it
    older: str = ""
    newer: str = ""
    edge: Place | None = None  # how far was looked, where that did not fill the page
    _links: dict[tuple[str, str, bool], str] = field(default_factory=dict)  # the rows of a page have the same few values

    def href(self, query: Query, direction: str | None = None, **cursor: str) -> str:
        """The address of this view with another query, direction or place."""
        address = {"q": str(query), "direction": direction or self.direction, **cursor}
        if not address["q"]:
            del address["q"]
        if address["direction"] == INGRESS:
            del address["direction"]
        return "?" + urlencode(address)

    @property
    def here(self) -> str:
        """This view's own address, without its place."""
        return self.href(self.query)

    @property
    def nothing(self) -> str:
        """The view without any search."""
        return self.href(Query())

    @property
    def newest(self) -> str:
        """Where the live tail begins: at the first entry, or a little before now if that is older."""
        lately = Place(timezone.now() - LATELY, uuid.UUID(int=0))
        first = Place.of(self.entries[0]) if self.entries else lately
        return (first if first.time > lately.time else lately).cursor()

    @property
    def span(self) -> str:
        """From when to when the page goes."""
        newest, oldest = (timezone.localtime(self.entries[place].time) for place in (0, -1))
        return f"{newest:%H:%M:%S} to {oldest:{'%H:%M:%S' if newest.date() == oldest.date() else '%-d %b %H:%M:%S'}}"

    @property
    def address(self) -> str:
        """The same, where what was asked could not be understood too."""
        if not self.error:
            return self.here
        return "?" + urlencode({"q": self.asked, "direction": self.direction})

    @property
    def typed(self) -> str:
        """What stands in the search field: the words that are no term, or all of it when it was not understood."""
        return self.asked if self.error else " ".join(str(part) for part in self.query.parts if isinstance(part, Text))

    @property
    def terms(self) -> str:
        """What stands in chips, written back: the form sends it along with what is typed."""
        return " ".join(str(part) for part in self.query.parts if isinstance(part, Term))

    @property
    def chips(self) -> list[Chip]:
        """The terms, each with its cross."""
        return [
            Chip(SHORT.get(part.field, part.field), f"{part.op}{part.written}", part.negated, self.href(self.query.without(part)))
            for part in self.query.parts
            if isinstance(part, Term)
        ]

    @property
    def directions(self) -> list[Link]:
        """Whose requests: the clients', ours, or both."""
        return [Link(text, self.href(self.query, word), word == self.direction) for word, text in DIRECTIONS.items()]

    @property
    def abnormal(self) -> Link:
        """The quick filter for what went wrong."""
        part = Term("is", Op.IS, ("abnormal",), "abnormal")
        active = part in self.query.parts
        return Link("Abnormal only", self.href(self.query.without(part) if active else with_term(self.query, part)), active)

    def only(self, name: str, value: Any) -> str:
        """The address that filters by this value, too."""
        return self._link(name, str(value), negated=False)

    def without(self, name: str, value: Any) -> str:
        """The address that excludes this value."""
        return self._link(name, str(value), negated=True)

    def _link(self, name: str, value: str, negated: bool) -> str:
        known = self._links.get((name, value, negated))
        if known is None:
            known = self._links[name, value, negated] = self.href(with_term(self.query, term(name, value, negated)))
        return known


def listing(asked: Mapping[str, str]) -> Listing:
    """The page that the address asks for."""
    view = view_of(asked)
    before, after = asked.get("before"), asked.get("after")
    if view.error:
        return view
    try:
        page = found_by(view).page(
            PAGE_SIZE,
            before=Place.read(before) if before else None,
            after=Place.read(after) if after and not before else None,
            seconds=FAR if asked.get("look") == FURTHER else LOOK,
        )
    except BadCursor:
        view.error = "the address names a page that does not exist"
        page = Page([], None, None)
    view.entries = page.items
    view.edge = page.edge
    view.live = not view.error and not page.newer and not before
    further = {"look": FURTHER} if page.edge else {}
    view.older = view.href(view.query, before=page.older, **further) if page.older else ""
    view.newer = view.href(view.query, after=page.newer, **further) if page.newer else ""
    return view


def view_of(asked: Mapping[str, str]) -> Listing:
    """What the address asks for, before any entry is looked for."""
    direction = asked.get("direction", INGRESS)
    view = Listing(asked.get("q", "").strip(), direction if direction in DIRECTIONS else INGRESS)
    try:
        query = parse(view.asked, timezone.localtime)
        knowing.check(query)
        view.query = query
    except QueryError as error:
        view.error = str(error)
    return view


def found_by(view: Listing) -> Found:
    """What the view shows."""
    both = view.direction == "all" or view.query.asks_for("direction")
    return find(view.query, None if both else view.direction)


def with_term(query: Query, part: Term) -> Query:
    """The query with `part`; what it said of the same field before, other than by excluding, gives way."""
    if not part.negated:
        query = Query(tuple(other for other in query.parts if not (isinstance(other, Term) and _same(other, part))))
    return query if part in query.parts else Query((*query.parts, part))


def _same(one: Term, other: Term) -> bool:
    return one.field == other.field and not one.negated and one.op is other.op


def menus(view: Listing) -> list[Menu]:
    """The values that the newest entries have, the most frequent first: a look at a few pages, never at all rows."""
    newest = AuditEntry.objects.order_by("-time", "-id").values_list(*MENUS)[:LOOKED_AT]
    seen: dict[str, Counter[str]] = {name: Counter() for name in MENUS}
    for values in newest:
        for name, value in zip(MENUS, values, strict=True):
            if value:
                seen[name][value] += 1
    found = []
    for name, label in MENUS.items():
        values = list(OUTCOMES) if name == "outcome" else [value for value, _ in seen[name].most_common(MENU_LENGTH)]
        if values:
            found.append(_menu(view, name, label, {value: term(name, value) for value in values}))
    ages = {text: Term("time", Op.MORE, (), age) for age, text in PERIODS.items()}
    return [*found, _menu(view, "time", "Period", ages)]


def _menu(view: Listing, name: str, label: str, terms: Mapping[str, Term]) -> Menu:
    now = [str(part) for part in view.query.parts if isinstance(part, Term) and part.field == name and not part.negated]
    rest = Query(tuple(part for part in view.query.parts if str(part) not in now))
    links = [Link("Any", view.href(rest), not now)]
    links += [Link(text, view.href(with_term(view.query, part)), str(part) in now) for text, part in terms.items()]
    chosen = next((text for text, part in terms.items() if str(part) in now), ", ".join(now).removeprefix(f"{name}:"))
    return Menu(label, links, chosen)


def relaxed(view: Listing) -> list[Relaxed]:
    """For a page without entries: what the search would find without each of its first parts."""
    found = []
    for part in view.query.parts[:RELAXED]:
        other = Listing(view.asked, view.direction, query=view.query.without(part))
        count = len(found_by(other).page(RELAXED_COUNT + 1, seconds=LOOK / RELAXED).items)
        if count:
            text = f"{RELAXED_COUNT}+ entries" if count > RELAXED_COUNT else f"{count} entr{'y' if count == 1 else 'ies'}"
            found.append(Relaxed(str(part), text, view.href(other.query)))
    return found
