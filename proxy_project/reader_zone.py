"""In whose time the admin's pages are written: the reader's, as his browser names it in a cookie; UTC without one.

Everything is stored, exported and copied in UTC, and stays so: this is for eyes. early.js sets the cookie, from the sign-in
page on; what it says is believed only when it is a zone that this machine knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from proxy_project.either_way import EitherWay

COOKIE, PAGES = "epitaph_zone", "/admin/"
LONGEST = 64


class ReaderZoneMiddleware(EitherWay):
    """Writes the admin's pages in the reader's time."""

    def around(self, request: HttpRequest) -> AbstractContextManager[None]:
        return reading(request.COOKIES if request.path.startswith(PAGES) else {})


def reading(cookies: Mapping[str, str]) -> AbstractContextManager[None]:
    """While it lasts, what is written is in the time of the reader who sent these cookies."""
    return timezone.override(zone_of(cookies))


def zone_of(cookies: Mapping[str, str]) -> tzinfo:
    """The zone that the cookies name, UTC where they name none that is known."""
    name = cookies.get(COOKIE, "")
    if not name or len(name) > LONGEST:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, or no name of a zone at all
        return UTC


def zone_name() -> str:
    """What the clock on the page is called now: `UTC`, `CET`, `GMT+5:30`."""
    name = f"{timezone.localtime():%Z}"
    return f"GMT{name[:3]}{':' + name[3:] if name[3:] else ''}" if name[:1] in "+-" else name


def utc_words(moment: datetime) -> str:
    """The moment as logs write it: `25 Nov 2026, 12:34:56.789 UTC`."""
    moment = moment.astimezone(UTC)
    return f"{moment:%-d %b %Y, %H:%M:%S}.{moment.microsecond // 1000:03d} UTC"


def both(moment: datetime) -> SafeString:
    """A moment for a heading: in the reader's time, and in UTC beside it where that is another."""
    local = timezone.localtime(moment)
    utc = utc_words(moment)
    if not local.utcoffset():
        return format_html('<time datetime="{}">{}</time>', moment.isoformat(), utc)
    here = f"{local:%-d %b %Y, %H:%M:%S}.{local.microsecond // 1000:03d} {zone_name()}"
    day = "" if local.date() == moment.astimezone(UTC).date() else f"{moment.astimezone(UTC):%-d %b }"
    return format_html(
        '<time datetime="{}">{}</time> <span class="ep-utc">({}{} UTC)</span>',
        *(moment.isoformat(), here, day, f"{moment.astimezone(UTC):%H:%M:%S}"),
    )
