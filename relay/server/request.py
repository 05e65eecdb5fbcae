"""Django's request, made for the views of client paths: what they read at once, the rest when somebody asks.

Most of what `ASGIRequest` prepares (the CGI names of all headers, the content type's parameters) no client path looks
at. Whatever attribute is missing here is filled in by Django's own constructor on first use, so that nothing differs.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.handlers.asgi import ASGIRequest


class ClientRequest(ASGIRequest):
    """A request whose body has been read."""

    def __init__(self, scope: dict[str, Any], body: bytes) -> None:
        self.scope = scope
        self.method = scope["method"]
        self.path = self.path_info = scope["path"]
        self._body = body

    def __getattr__(self, name: str) -> Any:
        made = self.__dict__
        if name.startswith("__") or "META" in made:
            raise AttributeError(name)
        fresh = ASGIRequest(self.scope, BytesIO(self._body))
        self.__dict__ = {**fresh.__dict__, **made}
        return getattr(self, name)
