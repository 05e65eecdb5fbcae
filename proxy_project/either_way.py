"""A middleware for a chain of either kind: what it does stands once, whether the views behind it are async or not."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse


class EitherWay:
    """Subclasses say what lasts while a request is answered, and what becomes of its answer."""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if iscoroutinefunction(self):
            return self._later(request)  # type: ignore[return-value, attr-defined]
        with self.around(request):
            return self.answered(request, self.get_response(request))

    async def _later(self, request: HttpRequest) -> HttpResponse:
        with self.around(request):
            return self.answered(request, await self.get_response(request))  # type: ignore[misc]

    def around(self, request: HttpRequest) -> AbstractContextManager[None]:
        """Entered before the request is answered, left behind it."""
        raise NotImplementedError

    def answered(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        """The answer that goes on its way."""
        return response
