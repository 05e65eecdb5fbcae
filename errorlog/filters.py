"""The filters of the Errors tab. Each is a link, so that the address is the saved view."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from errorlog import search
from errorlog.models import ErrorGroup, TopValue

OFFERED = 50  # values of a property, the most frequent ones


class ValueFilter(admin.SimpleListFilter):
    """Groups in which a property had a value, among others."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = TopValue.objects.filter(field=self.parameter_name).values("value").annotate(total=Sum("count"))
        values = [row["value"] for row in rows.order_by("-total", "value")[:OFFERED]]
        asked = request.GET.get(str(self.parameter_name))
        return [(value, value) for value in values + ([asked] if asked and asked not in values else [])]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1 or bool(self.value())

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        value = self.value()
        return queryset.filter(search.having(str(self.parameter_name), value)) if value else queryset


def value_filter(field: str) -> type[ValueFilter]:
    """The filter for one property."""
    return type(f"{field.title()}Filter", (ValueFilter,), {"parameter_name": field, "title": field.replace("_", " ")})


class StateFilter(admin.SimpleListFilter):
    """The tabs. Unresolved unless asked otherwise; a search looks everywhere."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.default = "all" if request.GET.get("q") else "unresolved"
        return [(name, name.title()) for name in ("unresolved", "regressed", "muted", "resolved", "ignored", "all")]

    def choices(self, changelist: Any) -> Iterator[Any]:
        chosen = self.value() or self.default
        for name, shown in self.lookup_choices:
            link = changelist.get_query_string({self.parameter_name: name})
            yield {"selected": name == chosen, "query_string": link, "display": shown}

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        state = self.value() or self.default
        if state == "regressed":
            return queryset.filter(regressed=True)
        return queryset if state == "all" else queryset.filter(status=state)


class PeriodFilter(admin.SimpleListFilter):
    """Groups that were seen lately."""

    title = "last seen"
    parameter_name = "period"
    hours = {"1h": 1, "24h": 24, "7d": 7 * 24, "28d": 28 * 24}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"), ("28d", "28 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ErrorGroup]) -> QuerySet[ErrorGroup]:
        hours = self.hours.get(self.value() or "")
        return queryset.filter(last_seen__gte=timezone.now() - timedelta(hours=hours)) if hours else queryset
