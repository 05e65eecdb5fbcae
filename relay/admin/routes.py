"""Routes: which upstreams serve a model, in order of preference."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from relay.admin.naming import NamedFormSet
from relay.models import Route, RouteUpstream


class RouteForm(forms.ModelForm):
    """A route; a field of parameters that is left empty means none."""

    class Meta:
        model = Route
        fields = ("model", "upstream_model", "strategy", "max_attempts", "position", "defaults", "overrides")
        widgets = {name: forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}) for name in ("defaults", "overrides")}

    def clean_defaults(self) -> dict[str, Any]:
        return self.cleaned_data["defaults"] or {}

    def clean_overrides(self) -> dict[str, Any]:
        return self.cleaned_data["overrides"] or {}


class RouteUpstreamInline(admin.TabularInline):
    model = RouteUpstream
    formset = NamedFormSet
    fields = ("position", "upstream", "weight")
    extra = 0
    min_num = 1


@admin.register(Route)
class RouteAdmin(admin.ModelAdmin):
    list_display = ("model", "position", "order_of_upstreams", "strategy", "upstream_model", "max_attempts")
    search_fields = ("model", "upstreams__name")
    form = RouteForm
    inlines = (RouteUpstreamInline,)
    fields = ("model", "upstream_model", "strategy", "max_attempts", "position", "defaults", "overrides")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        return super().get_queryset(request).prefetch_related("steps__upstream")

    @admin.display(description="upstreams")
    def order_of_upstreams(self, route: Route) -> str:
        names = [step.upstream.name + ("" if step.upstream.enabled else " (off)") for step in route.steps.all()]
        return " → ".join(names) or "none: clients get 503"
