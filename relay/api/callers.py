"""Which protocol a caller speaks, where the path alone does not tell: by the headers that its SDK sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.refusal import dialect_of_path
from relay.wire.registry import DIALECTS, Dialect


def dialect_of(path: str, meta: Mapping[str, Any]) -> Dialect:
    """The dialect of a request with these CGI-style headers (`request.META`)."""
    found = dialect_of_path(path)
    if found.tag == "chat" and meta.get("HTTP_ANTHROPIC_VERSION"):
        return DIALECTS["messages"]
    if found.tag == "chat" and path.startswith("/v1/models") and meta.get("HTTP_X_GOOG_API_KEY"):
        return DIALECTS["gemini"]
    return found
