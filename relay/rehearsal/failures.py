"""Plays in which the upstream says that it failed, or says something that nobody can read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import orjson

from . import responses
from .events import Event, Role
from .scene import Scene
from .steps import JSON_TYPE, SSE_TYPE, Cut, Framing, Head, Pause, Steps, Wire

Play = Callable[[Scene], Steps]

MEGABYTES = 2_000_000
LOST_PAGE = b"<!doctype html><title>502 Bad Gateway</title><h1>Bad Gateway</h1><p>The server is away.</p>"


# By status


def status(scene: Scene) -> Steps:
    """An error status; `body=` json, html, empty, text, big, endless, echo-key."""
    code = scene.script.count("code", 500)
    headers = scene.headers()
    if after := scene.script.text("retry_after"):
        headers = (*headers, ("Retry-After", after))
    kind = scene.script.text("body", "json")
    if kind == "endless":
        yield Head(code, "text/html", Framing.CHUNKED, headers=headers)
        while True:
            yield b"<p>still going</p>" * 50
            yield Pause(0.05)
    content_type, body = _status_body(scene, code, kind)
    yield Head(code, content_type, Framing.LENGTH, len(body), headers)
    yield body


def _status_body(scene: Scene, code: int, kind: str) -> tuple[str | None, bytes]:
    if kind == "html":
        return "text/html", LOST_PAGE
    if kind == "big":
        return "text/html", LOST_PAGE + b"<!-- padding -->" * (scene.script.count("bytes", MEGABYTES) // 16)
    if kind == "empty":
        return None, b""
    if kind == "text":
        return "text/plain", b"upstream connect error"
    failure = scene.failure(code)
    if kind == "echo-key":
        sent = scene.request.headers
        key = sent.get("authorization") or sent.get("x-api-key") or sent.get("x-goog-api-key", "")
        failure = replace(failure, message=f"Incorrect API key provided: {key} ({scene.request.target})")
    return JSON_TYPE, orjson.dumps(scene.dialect.failure_body(failure))


def redirect(scene: Scene) -> Steps:
    target = scene.script.text("to", "/elsewhere/v1/chat/completions")
    yield Head(scene.script.count("code", 307), None, Framing.LENGTH, 0, (("Location", target),))


# In band


def error_after(scene: Scene) -> Steps:
    """An error event after `after` deltas, then the clean end of the body."""
    yield from _in_band(scene, scene.first(), [])


def error_first(scene: Scene) -> Steps:
    """An error event where the first event should be; `opened=1` puts it behind the opening events."""
    yield from _in_band(scene, scene.first(0) if scene.script.flag("opened") else [], [])


def error_then_done(scene: Scene) -> Steps:
    """An error event and the terminal marker behind it."""
    yield from _in_band(scene, scene.first(), [scene.dialect.marker])


def overloaded(scene: Scene) -> Steps:
    """The overload that providers tell after the 200, before any content."""
    yield from _in_band(scene, scene.first(scene.script.count("after", 0)), [], 529)


def nul_in_error(scene: Scene) -> Steps:
    """An error text with what databases refuse: NUL and a lone surrogate, both as JSON escapes."""
    event = _error(scene, len(scene.first()), 500)
    odd = event.data.replace(b"rehearsed failure", b"rehearsed \\u0000 failure \\ud800")
    if not scene.streamed:
        yield Head(500, JSON_TYPE, Framing.LENGTH, len(odd), scene.headers())
        yield odd
        return
    yield from scene.say([*scene.upto(), replace(event, data=odd).encode()])


def error_with_choices(scene: Scene) -> Steps:
    """Chat: the error lies beside an empty `choices`. Other dialects: their error event."""
    event = _error(scene, len(scene.first()), scene.script.count("code", 500))
    if scene.dialect.name == "openai-chat":
        event = replace(event, data=orjson.dumps({**orjson.loads(event.data), "choices": []}))
    yield from _pieces(scene, scene.first(), event, [])


def error_field(scene: Scene) -> Steps:
    """llama.cpp's spelling: a line `error: {…}` instead of `data:`."""
    event = _error(scene, len(scene.first()), scene.script.count("code", 500))
    if not scene.streamed:
        yield from _pieces(scene, [], event, [])
        return
    inner = orjson.loads(event.data)
    yield from scene.say([*scene.upto(), b"error: " + orjson.dumps(inner.get("error", inner)) + b"\n\n"])


def error_string(scene: Scene) -> Steps:
    """`{"error": "words"}`, as many self-hosted servers say it."""
    event = Event(Role.ERROR, orjson.dumps({"error": scene.failure().message}))
    yield from _pieces(scene, scene.first(), event, [])


def response_failed(scene: Scene) -> Steps:
    """Responses: `response.failed`. Other dialects: their error event."""
    begun = scene.first()
    event = _error(scene, len(begun), scene.script.count("code", 500))
    if scene.dialect.name == "openai-responses" and scene.streamed:
        event = responses.failed_event(scene.failure(scene.script.count("code", 500)), scene.answer, len(begun))
    if scene.dialect.name == "openai-responses" and not scene.streamed:
        failed = {**responses.response(scene.answer), "status": "failed", "output": [], "usage": None}
        failure = scene.failure(scene.script.count("code", 500))
        yield from scene.say([orjson.dumps({**failed, "error": {"code": failure.code, "message": failure.message}})])
        return
    yield from _pieces(scene, begun, event, [])


def json_error_200(scene: Scene) -> Steps:
    """A whole JSON error under a 200."""
    body = orjson.dumps(scene.dialect.failure_body(scene.failure(scene.script.count("code", 500))))
    yield Head(200, JSON_TYPE, Framing.LENGTH, len(body), scene.headers())
    yield body


def _in_band(scene: Scene, begun: list[Event], behind: list[Event], code: int = 500) -> Steps:
    event = _error(scene, len(begun), scene.script.count("code", code))
    yield from _pieces(scene, begun, event, behind)


def _error(scene: Scene, sequence: int, code: int) -> Event:
    """The error event; `nested=1` gives Responses the error object that some servers put into it."""
    failure = scene.failure(code)
    if not scene.streamed:
        return Event(Role.ERROR, orjson.dumps(scene.dialect.failure_body(failure)))
    if scene.dialect.name == "openai-responses" and scene.script.flag("nested"):
        body = scene.dialect.failure_body(failure)
        return responses.numbered((Role.ERROR, "error", body), sequence)
    return scene.dialect.failure_event(failure, sequence)


def _pieces(scene: Scene, begun: list[Event], event: Event, behind: list[Event]) -> Steps:
    """A whole answer has no events before its error: it is the error object, under a 200."""
    if scene.streamed:
        yield from scene.say(scene.encode([*begun, event, *behind]))
    else:
        yield from scene.say([event.data])


# Unreadable


def malformed(scene: Scene) -> Steps:
    """After `after` deltas one event that is no JSON, then the rest; a whole answer is no JSON throughout."""
    yield from _spoilt(scene, b'data: {"id": "oops", "choices": [\n\n', b'{"id": "oops", "choices": [')


def bad_utf8(scene: Scene) -> Steps:
    """After `after` deltas a delta with bytes that are no UTF-8, then the rest."""
    if not scene.streamed:
        whole = b"".join(scene.healthy())
        yield from scene.say([whole.replace(b"good", b"g\xff\xfed", 1)])
        return
    begun = len(scene.first())
    pieces = scene.healthy()
    delta = next(item for item in scene.dialect.events(scene.answer) if item.role is Role.CONTENT).encode()
    odd = delta.replace(scene.answer.text[0].encode(), b"\xff\xfe", 1)
    yield from scene.say([*pieces[:begun], odd, *pieces[begun:]])


def _spoilt(scene: Scene, piece: bytes, whole: bytes) -> Steps:
    if not scene.streamed:
        yield from scene.say([whole])
        return
    begun = len(scene.first())
    pieces = scene.healthy()
    yield from scene.say([*pieces[:begun], piece, *pieces[begun:]])


def oversized(scene: Scene) -> Steps:
    """After `after` deltas a line that does not end within `bytes`."""
    yield scene.head(framing=Framing.CHUNKED)
    yield from scene.upto()
    piece = b"x" * (64 * 1024)
    yield b"data: "
    for _ in range(scene.script.count("bytes", 70_000_000) // len(piece)):
        yield piece


def html(scene: Scene) -> Steps:
    """A page under a 200, as captive portals and broken balancers send it; `labelled=0` calls it what was asked for."""
    usual = SSE_TYPE if scene.streamed else JSON_TYPE
    content_type = usual if scene.script.text("labelled") == "0" else "text/html; charset=utf-8"
    yield Head(200, content_type, Framing.LENGTH, len(LOST_PAGE))
    yield LOST_PAGE


def text(scene: Scene) -> Steps:
    """Bare words under a 200, as proxies say that nobody is behind them."""
    words = b"upstream connect error or disconnect/reset before headers. reset reason: connection failure"
    usual = SSE_TYPE if scene.streamed else JSON_TYPE
    yield Head(200, usual, Framing.LENGTH, len(words))
    yield words


def bad_header(scene: Scene) -> Steps:
    """A header with a control character in its value."""
    for step in scene.say(scene.healthy()):
        odd = ("X-Odd", "one\x01two")
        yield replace(step, headers=(*step.headers, odd)) if isinstance(step, Head) else step


def bad_status_line(scene: Scene) -> Steps:
    """What answers is no HTTP server."""
    yield Wire(b"220 mail.example ESMTP ready\r\n\r\n")
    yield Cut()
