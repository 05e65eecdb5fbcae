"""The unread number in the navigation of every admin page.

Server-rendered, so that it is right without a script; a database that is down costs the number, never the page.
"""

from typing import Any

from django.db import Error
from django.http import HttpRequest


def context(request: HttpRequest) -> dict[str, Any]:
    """Template context: `errorlog_unread` for staff, nothing for anybody else."""
    user = getattr(request, "user", None)
    if user is None or not user.is_staff:
        return {}
    from errorlog.reading import badge_number  # settings name this module before the apps are loaded

    try:
        return {"errorlog_unread": badge_number(f"user:{user.pk}")}
    except Error:
        return {}
