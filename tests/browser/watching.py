"""A page that is watched: what a good page never does is collected while a test uses it.

Invariant: a console error, an uncaught script error, a violation of the Content Security Policy, a request to another
host and an answer of 500 and above fail the test that met them, whatever it asserted.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

# An init script of every profile: what the policy refuses is told on the console.
POLICY = """addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy: ${event.violatedDirective} refused ${event.blockedURI} in ${event.sourceFile}:${event.lineNumber}`))"""
HARMLESS_SCHEMES = {"data", "blob", "about"}


class Watch:
    """What went wrong in one browser context until the end of the watch. `forgiven`: texts that a test expects in an entry."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.home = urlsplit(url).netloc
        self.seen: list[str] = []
        self.forgiven: list[str] = []
        self._context = context
        self._handlers = {
            "request": self._request,
            "response": self._response,
            "console": self._console,
            "weberror": self._weberror,
        }
        for event, handler in self._handlers.items():
            context.on(event, handler)  # type: ignore[call-overload]

    def end(self) -> None:
        """What happens from now on concerns somebody else."""
        for event, handler in self._handlers.items():
            self._context.remove_listener(event, handler)

    def complaints(self) -> list[str]:
        """What nobody forgave."""
        return [entry for entry in self.seen if not any(text in entry for text in self.forgiven)]

    def _weberror(self, thrown: WebError) -> None:
        self.seen.append(f"script error: {thrown.error} ({thrown.page.url if thrown.page else '?'})")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.seen.append(f"console {message.type}: {message.text} ({message.location.get('url', '')})")

    def _request(self, request: Request) -> None:
        address = urlsplit(request.url)
        if address.scheme not in HARMLESS_SCHEMES and address.netloc != self.home:
            self.seen.append(f"another host was asked: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.seen.append(f"{response.status} from {response.url}")
