"""The filters of the Errors tab, its order and its period. Each is a link, so that the address is the saved view."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Case, F, FloatField, OuterRef, QuerySet, Subquery, Sum, Value, When, Window
from django.db.models.functions import Cast, Coalesce, RowNumber
from django.http import HttpRequest
from django.utils import timezone

from errorlog import panels, search
from errorlog.models import ErrorGroup, HourlyCount, TopValue
from errorlog.periods import DAY, PERIODS, Period
from errorlog.presenting import OTHER_KINDS

OFFERED = 50  # values of a property, the most frequent ones
PROPERTIES = ("cause", "phase", "fault", "model", "upstream", "credential", "client_key")  # that have a menu
STATES = ("unresolved", "regressed", "muted", "resolved", "ignored", "all")
REHEARSED = "rehearsed"
ORDERS: dict[str, list[Any]] = {
    "seen": ["-last_seen", "-id"],
    "count": ["-period_count", "-last_seen", "-id"],
    "rate": [F("rate").desc(nulls_last=True), "-period_count", "-id"],
    "keys": ["-keys_hit", "-last_seen", "-id"],
}


class Menu(admin.SimpleListFilter):
    """A filter that is shown as a menu of links."""

    totals: dict[str, int]

    def has_output(self) -> bool:
        return True  # else Django would refuse the parameter


class KindFilter(Menu):
    """One name, or everything that is no stream's ending."""

    title = "kind"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = ErrorGroup.objects.order_by().values_list("name", "cause").annotate(total=Sum("count"))
        self.totals = {}
        for name, _, total in rows:
            self.totals[name] = self.totals.get(name, 0) + total
        names = sorted(self.totals, key=lambda name: (-self.totals[name], name))[:OFFERED]
        return [(name, name) for name in names] + [(OTHER_KINDS, "Exceptions and reports")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        value = self.value()
        if value == OTHER_KINDS:
            return queryset.filter(cause="")
        return queryset.filter(name=value.replace("\0", "")) if value else queryset


class ValueFilter(Menu):
    """Groups in which a property had a value, among others."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.totals = _totals(request).get(str(self.parameter_name), {})
        asked = request.GET.get(str(self.parameter_name))
        return [(value, value) for value in [*self.totals, *([asked] if asked and asked not in self.totals else [])]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        value = self.value()
        return queryset.filter(search.having(str(self.parameter_name), value)) if value else queryset


def _totals(request: HttpRequest) -> dict[str, dict[str, int]]:
    """For each property its most frequent values and how many events had them, most first: one query for all menus of a page."""
    found: dict[str, dict[str, int]] | None = getattr(request, "errorlog_totals", None)
    if found is None:
        found = request.errorlog_totals = {}  # type: ignore[attr-defined]
        totals = TopValue.objects.filter(field__in=PROPERTIES).values("field", "value").annotate(total=Sum("count")).order_by()
        rank = Window(RowNumber(), partition_by=F("field"), order_by=[F("total").desc(), F("value")])
        offered = totals.annotate(rank=rank).filter(rank__lte=OFFERED).order_by("rank")
        for field, value, total in offered.values_list("field", "value", "total"):
            found.setdefault(field, {})[value] = total
    return found


def value_filter(field: str) -> type[ValueFilter]:
    """The filter for one property."""
    return type(f"{field.title()}Filter", (ValueFilter,), {"parameter_name": field, "title": field.replace("_", " ")})


class StateFilter(Menu):
    """The tabs. Unresolved unless asked otherwise; a search looks everywhere."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.default = "all" if request.GET.get("q") else "unresolved"
        return [(name, name.title()) for name in (*STATES, REHEARSED)]

    def chosen(self) -> str:
        value = self.value()
        return value if value in (*STATES, REHEARSED) else self.default

    def choices(self, changelist: Any) -> Iterator[Any]:
        for name, shown in self.lookup_choices:
            link = changelist.get_query_string({self.parameter_name: name}, ["p"])
            yield {"selected": name == self.chosen(), "query_string": link, "display": shown}

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        state = self.chosen()
        if state == REHEARSED:
            return queryset.none()
        if state == "regressed":
            return queryset.filter(regressed=True)
        return queryset if state == "all" else queryset.filter(status=state)


class PeriodFilter(Menu):
    """Groups that were seen in a period. Without it the list holds all, and counts over a day."""

    title = "period"
    parameter_name = "period"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, key) for key in PERIODS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        period = PERIODS.get(self.value() or "")
        return queryset.filter(last_seen__gte=period.since(timezone.now())) if period else queryset


def period_of(request: HttpRequest) -> Period:
    """The period that is asked for, a day unless one is."""
    return PERIODS.get(request.GET.get("period", ""), DAY)


class SortFilter(Menu):
    """The order, and the figures that it needs."""

    title = "order"
    parameter_name = "sort"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in ORDERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        if self.value() not in ("count", "rate"):
            return queryset
        since = period_of(request).since(timezone.now())
        hours = HourlyCount.objects.filter(group=OuterRef("pk"), hour__gte=since).order_by().values("group")
        queryset = queryset.annotate(period_count=Coalesce(Subquery(hours.annotate(total=Sum("count")).values("total")), 0))
        if self.value() == "count":
            return queryset
        requests = panels.ask("requests_by_upstream", since) or {}
        cases = [When(upstream=name, then=Value(float(count))) for name, count in requests.items() if name and count]
        if not cases:
            return queryset.annotate(rate=Value(None, output_field=FloatField()))
        of = Case(When(cause="", then=Value(None)), *cases, default=Value(None), output_field=FloatField())
        return queryset.annotate(rate=Cast("period_count", FloatField()) / of)


def order_of(request: HttpRequest) -> list[Any]:
    """What the list is ordered by."""
    return ORDERS.get(request.GET.get("sort", ""), ORDERS["seen"])
