"""Numbers in the error log's templates."""

from django import template

register = template.Library()


@register.filter
def thousands(number: object) -> str:
    """`1930` → `1,930`; what is no number stays as it is."""
    return f"{number:,}" if isinstance(number, int) else str(number)
