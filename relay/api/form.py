"""A text field of a form as clients send files with it: just enough to route by its `model`."""

from __future__ import annotations

import re

from django.http import HttpRequest

LONGEST = 1000  # bytes of a field's value that are believed


def form_field(request: HttpRequest, name: str) -> tuple[str, tuple[int, int]] | None:
    """The value of the field in a multipart body, and where it lies; None when it is not there.

    Searched for, not parsed: the bytes go to the upstream as they came, and a file of many megabytes is not copied.
    """
    kind = request.content_type or ""
    body = request.body
    if kind == "multipart/form-data":
        boundary = (request.content_params or {}).get("boundary", "").encode("latin-1", "replace")
        if not boundary:
            return None
        head = rb'\r?\ncontent-disposition:\s*form-data;\s*name="?' + re.escape(name.encode()) + rb'"?[^\r\n]*'
        value = rb"(?:\r?\n[^\r\n]+)*\r?\n\r?\n([^\r\n]{1,%d})\r?\n--" % LONGEST
        found = re.search(rb"--" + re.escape(boundary) + head + value + re.escape(boundary), body, re.IGNORECASE)
        return (found.group(1).decode("utf-8", "replace"), found.span(1)) if found else None
    return None
