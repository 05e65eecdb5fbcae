"""Numbers in the error log's templates."""

from django import template

from proxy_project import reader_zone

register = template.Library()


@register.filter
def thousands(number: object) -> str:
    """`1930` → `1,930`; what is no number stays as it is."""
    return f"{number:,}" if isinstance(number, int) else str(number)


register.simple_tag(reader_zone.zone_name)
register.filter("both_times", reader_zone.both)
register.filter("in_utc", reader_zone.utc_words)
