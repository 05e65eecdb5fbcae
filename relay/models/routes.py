"""Routes: which upstreams serve which models, and in what order."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from relay import validation
from relay.models.configured import Configured
from relay.models.upstreams import Upstream


class Strategy(models.TextChoices):
    """How a route chooses between what speaks the client's protocol and does not cool (relay/balancing.py)."""

    IN_ORDER = "in-order", "in order of preference"
    ROUND_ROBIN = "round-robin", "in turn, by weight"
    LEAST_BUSY = "least-busy", "the least busy first"
    STICKY = "sticky", "the same for one conversation"


class Route(Configured):
    """Which upstreams serve a model."""

    model = models.CharField(
        max_length=200,
        unique=True,
        validators=[validation.model_glob],
        help_text="The name that clients ask for, or a glob such as gpt-*. An exact name wins, then the longest text "
        "before the first wildcard, then the lower position.",
    )
    position = models.PositiveIntegerField(
        default=1000, help_text="Decides between globs that begin alike. RELAY_CONFIG numbers its routes from 1."
    )
    upstreams = models.ManyToManyField(Upstream, through="RouteUpstream", related_name="routes")
    upstream_model = models.CharField(
        max_length=200,
        blank=True,
        validators=[validation.label],
        help_text="The model to ask the upstream for. Empty: the one that the client asked for.",
    )
    max_attempts = models.PositiveSmallIntegerField(
        default=3,
        validators=[validation.attempts],
        help_text="How many upstreams or credentials one request may try, from 1 to 10.",
    )
    strategy = models.CharField(
        max_length=12,
        choices=Strategy,
        default=Strategy.IN_ORDER,
        help_text="What is tried first. Sticky keeps a conversation where its cache is warm. What cools is always last.",
    )
    defaults = models.JSONField(
        default=dict,
        blank=True,
        validators=[validation.parameters],
        help_text='Parameters for the upstream where the client says nothing, such as {"temperature": 0.2}.',
    )
    overrides = models.JSONField(
        default=dict, blank=True, validators=[validation.parameters], help_text="Parameters that replace what the client says."
    )

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(condition=Q(strategy__in=Strategy.values), name="route_strategy_is_known"),
            models.CheckConstraint(condition=~Q(model=""), name="route_has_a_model"),
            models.CheckConstraint(condition=Q(max_attempts__range=(1, 10)), name="route_attempts_are_few"),
        ]

    def __str__(self) -> str:
        return self.model


class RouteUpstream(Configured):
    """One upstream of a route, at its place in the order of preference."""

    route = models.ForeignKey(Route, on_delete=models.CASCADE, related_name="steps")
    upstream = models.ForeignKey(Upstream, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField(
        default=1, help_text="The lowest is tried first; those that speak the client's protocol go before all others."
    )
    weight = models.PositiveSmallIntegerField(
        default=1,
        validators=[validation.weight],
        help_text="Its share, from 1 to 1000, where the route's strategy is not in order.",
    )

    class Meta:
        verbose_name = "upstream of the route"
        verbose_name_plural = "upstreams, in order of preference"
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(fields=["route", "upstream"], name="route_names_an_upstream_once"),
            models.CheckConstraint(condition=Q(weight__range=(1, 1000)), name="route_weight_is_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.upstream.name}"
