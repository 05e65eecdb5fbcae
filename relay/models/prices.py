"""Prices: what an upstream's tokens cost, in the currency that the setting CURRENCY names."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from relay import validation
from relay.models.configured import Configured
from relay.models.upstreams import Upstream


def per_million(text: str, *, null: bool = False) -> models.DecimalField:
    """A column for a price of a million tokens."""
    help_text = f"Per million tokens. {text}"
    return models.DecimalField(
        max_digits=14, decimal_places=6, validators=[validation.price], help_text=help_text, null=null, blank=null
    )


class Price(Configured):
    """What the tokens of a model cost. The shipper reads it as an ending is stored; rows that are stored keep their cost."""

    model = models.CharField(
        max_length=200,
        validators=[validation.model_glob],
        help_text="The name that the upstream is asked for, or a glob such as gpt-5*. An exact name wins, then the longest text "
        "before the first wildcard, then the lower position.",
    )
    upstream = models.ForeignKey(
        Upstream,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="prices",
        help_text="Where this is the price. One that names the upstream goes before all that do not. Empty: any upstream.",
    )
    position = models.PositiveIntegerField(
        default=1000, help_text="Decides between globs that begin alike. RELAY_CONFIG numbers its prices from 1."
    )
    input = per_million("What is sent to the model, also what it writes to a cache.")
    cached_input = per_million("The part of the input that was read from a cache. Empty: as the rest of the input.", null=True)
    output = per_million("What the model answers, its reasoning too.")

    class Meta:
        ordering = ["position", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["model", "upstream"],
                name="price_names_model_and_upstream_once",
                violation_error_message="This model has a price at this upstream already.",
            ),
            models.UniqueConstraint(
                fields=["model"],
                condition=Q(upstream=None),
                name="price_names_model_at_any_upstream_once",
                violation_error_message="This model has a price at any upstream already.",
            ),
            models.CheckConstraint(
                condition=~Q(model=""), name="price_has_a_model", violation_error_message="A price needs a model, or a glob."
            ),
            models.CheckConstraint(
                condition=Q(input__gte=0, output__gte=0) & (Q(cached_input=None) | Q(cached_input__gte=0)),
                name="price_is_not_negative",
                violation_error_message="A price is 0 or more.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.upstream.name}" if self.upstream else self.model
