"""A body that is neither events nor JSON, as files and speech are: `/blob?pieces=4&size=1000&end=eof|cut|reset`."""

from __future__ import annotations

from urllib.parse import parse_qs

from .http1 import Request
from .steps import Cut, End, Framing, Head, Pause, Reset, Step, Steps

PATH = "/blob"
ENDS: dict[str, Step] = {"eof": End(), "cut": Cut(), "reset": Reset()}


def blob(request: Request) -> Steps:
    """Pieces of bytes that are no text, and the ending that the query names; `gap_ms` between them."""
    asked = {name: values[-1] for name, values in parse_qs(request.query).items()}
    yield Head(200, "application/octet-stream", Framing.CHUNKED)
    for number in range(int(asked.get("pieces", 4))):
        if number:
            yield Pause(float(asked.get("gap_ms", 0)) / 1000)
        yield bytes((0xFF, number)) * (int(asked.get("size", 1000)) // 2)
    yield ENDS.get(asked.get("end", "eof"), End())
