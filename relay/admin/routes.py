"""Routes: which upstreams serve a model, in order of preference."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from relay.models import Route, RouteUpstream


class RouteUpstreamInline(admin.TabularInline):
    model = RouteUpstream
    fields = ("position", "upstream")
    extra = 0
    min_num = 1


@admin.register(Route)
class RouteAdmin(admin.ModelAdmin):
    list_display = ("model", "position", "order_of_upstreams", "upstream_model", "max_attempts")
    search_fields = ("model", "upstreams__name")
    inlines = (RouteUpstreamInline,)
    fields = ("model", "upstream_model", "max_attempts", "position")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Route]:
        return super().get_queryset(request).prefetch_related("steps__upstream")

    @admin.display(description="upstreams")
    def order_of_upstreams(self, route: Route) -> str:
        names = [step.upstream.name + ("" if step.upstream.enabled else " (off)") for step in route.steps.all()]
        return " → ".join(names) or "none: clients get 503"
