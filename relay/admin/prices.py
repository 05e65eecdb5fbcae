"""Prices: what a model's tokens cost, with what it makes of a request."""

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from proxy_project.figures import money
from relay.models import Price
from relay.pricing import PriceSpec, spec_of

PRICES = ("input", "cached_input", "output")
READ, CACHED, WRITTEN = 10_000, 5_000, 500  # tokens of the request that is the example
EXAMPLE = f"{READ:,} tokens in, half of them cached, {WRITTEN} out"


class PriceForm(forms.ModelForm):
    """A price, whose figures have no more digits than they need."""

    class Meta:
        model = Price
        fields = ("model", "upstream", *PRICES, "position")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, value in self.initial.items():
            if isinstance(value, Decimal):
                self.initial[name] = plain(value)


@admin.register(Price)
class PriceAdmin(admin.ModelAdmin):
    form = PriceForm
    list_display = ("model", "where", "input_price", "cached_price", "output_price", "example", "position")
    list_filter = ("upstream",)
    list_select_related = ("upstream",)
    search_fields = ("model", "upstream__name")
    readonly_fields = ("example",)

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        description = (
            f"In {settings.CURRENCY} per million tokens. When a request ends, the tokens that its upstream told of are priced, "
            "and the cost is kept with its audit entry: a price that is changed later changes no entry. Where no price fits, or "
            "no tokens were told of, there is no cost."
        )
        if obj is None:
            one = PriceSpec("", None, Decimal("1.25"), Decimal("0.125"), Decimal(10))
            description += (
                " For example, with 1.25 for input, 0.125 for cached input and 10 for output, a request of "
                f"{EXAMPLE} costs {_of_example(one)}."
            )
        return (
            (None, {"fields": ("model", "upstream")}),
            ("Prices", {"fields": (*PRICES, *(("example",) if obj else ())), "description": description}),
            ("Order", {"fields": ("position",)}),
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"currency": settings.CURRENCY, **(extra_context or {})})

    @admin.display(description="upstream", ordering="upstream__name")
    def where(self, price: Price) -> str:
        return price.upstream.name if price.upstream else "any"

    @admin.display(description="input", ordering="input")
    def input_price(self, price: Price) -> str:
        return plain(price.input)

    @admin.display(description="cached input", ordering="cached_input")
    def cached_price(self, price: Price) -> str:
        return "as input" if price.cached_input is None else plain(price.cached_input)

    @admin.display(description="output", ordering="output")
    def output_price(self, price: Price) -> str:
        return plain(price.output)

    @admin.display(description=EXAMPLE)
    def example(self, price: Price) -> str:
        return _of_example(spec_of(price))


def plain(value: Decimal) -> str:
    """The figure without trailing zeros."""
    return f"{value.normalize():f}"


def _of_example(price: PriceSpec) -> str:
    return f"{money(price.cost(READ, CACHED, WRITTEN))} {settings.CURRENCY}"
