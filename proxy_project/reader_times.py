"""Times in templates, in the reader's zone and in UTC."""

from django import template

from proxy_project import reader_zone

register = template.Library()
register.simple_tag(reader_zone.zone_name)
register.filter("both_times", reader_zone.both)
register.filter("in_utc", reader_zone.utc_words)
