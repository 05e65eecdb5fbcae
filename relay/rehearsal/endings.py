"""Plays that stop where they must not, or fall silent: before, inside and behind the answer."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from .events import Role
from .scene import Scene
from .steps import SSE_TYPE, Close, Cut, End, Framing, Head, Hold, Mute, Pause, Reset, Steps, Wire

Play = Callable[[Scene], Steps]
Ending = type[End] | type[Cut] | type[Reset] | type[Hold]

ENDINGS: dict[str, Ending] = {"eof": End, "cut": Cut, "reset": Reset, "hold": Hold}


# Before the answer


def before_headers(ending: Ending) -> Play:
    """Nothing at all, then the ending; `seconds` before it."""

    def play(scene: Scene) -> Steps:
        yield Pause(scene.script.number("seconds", 0))
        yield ending()

    return play


def after_headers(ending: Ending) -> Play:
    """A good head and not a byte of the body."""

    def play(scene: Scene) -> Steps:
        yield scene.head(1000, scene.framing(Framing.CHUNKED))
        yield Pause(scene.script.number("seconds", 0))
        yield ending()

    return play


def keepalive_race(scene: Scene) -> Steps:
    """The first request of a connection is answered; the second is read whole, then it closes without a byte."""
    if scene.ordinal > 1:
        yield Reset() if scene.script.flag("reset") else Cut()
        return
    yield from scene.say(scene.healthy())


def empty_200(scene: Scene) -> Steps:
    yield Head(200, SSE_TYPE if scene.streamed else None, Framing.LENGTH, 0, scene.headers())


def comments_only(scene: Scene) -> Steps:
    pieces = [b": keep-alive\n\n"] * scene.script.count("count", 3)
    yield from scene.say(pieces)


def done_only(scene: Scene) -> Steps:
    yield from scene.say([scene.dialect.marker.encode()])


# Inside the answer


def stopping(ending: Ending, framing: Framing | None = None) -> Play:
    """`after` deltas (of a whole answer, half of it), then the ending."""

    def play(scene: Scene) -> Steps:
        pieces = scene.upto()
        yield scene.head(sum(map(len, pieces)), framing)
        yield from scene.flow(pieces)
        yield ending()

    return play


def short_length(scene: Scene) -> Steps:
    """Content-Length promises the whole answer."""
    yield scene.head(sum(map(len, scene.healthy())), Framing.LENGTH)
    yield from scene.flow(scene.upto())
    yield Cut()


def half_event(scene: Scene) -> Steps:
    """Stops in the middle of an event; `end=` says how (eof, cut, reset, hold)."""
    begun = scene.upto()
    pieces = begun
    if scene.streamed:
        following = scene.healthy()[len(begun)]
        pieces = [*begun, following[: len(following) // 2]]
    yield scene.head(sum(map(len, pieces)), scene.framing(Framing.CHUNKED))
    yield from scene.flow(pieces)
    yield ENDINGS.get(scene.script.text("end"), End)()


def tool_cut(scene: Scene) -> Steps:
    """Stops inside the arguments of a tool call; `end=` says how."""
    pieces = scene.upto(answer=scene.calling())
    yield scene.head(sum(map(len, pieces)), scene.framing(Framing.CHUNKED))
    yield from scene.flow(pieces)
    yield ENDINGS.get(scene.script.text("end"), Cut)()


def bad_chunk(scene: Scene) -> Steps:
    """A chunk whose size is no number."""
    yield scene.head(framing=Framing.CHUNKED)
    yield from scene.flow(scene.upto())
    yield Wire(b"zz\r\nnot a chunk\r\n")
    if scene.script.flag("hold"):
        yield Hold()
    yield Cut()


def idle(scene: Scene) -> Steps:
    """Silence after `after` deltas: for ever, or for `seconds` and then a clean end of the body."""
    pieces = scene.upto()
    yield scene.head(sum(map(len, scene.healthy())))
    yield from scene.flow(pieces)
    if "seconds" not in scene.script.parameters:
        yield Hold()
    yield Pause(scene.script.number("seconds", 0))
    yield Cut() if scene.head().framing is Framing.LENGTH else End()


def pings(scene: Scene) -> Steps:
    """After `after` deltas nothing but keep-alives, for ever."""
    yield scene.head(1_000_000)
    yield from scene.flow(scene.upto())
    every = scene.script.number("every", 1)
    while True:
        yield Pause(every)
        yield scene.dialect.ping if scene.streamed else b" "


def comments_forever(scene: Scene) -> Steps:
    """Comments from the first byte on, never an event."""
    yield scene.head(1_000_000)
    every = scene.script.number("every", 1)
    for number in itertools.count():
        if number:
            yield Pause(every)
        yield b": waiting\n\n" if scene.streamed else b" "


def trickle(scene: Scene) -> Steps:
    """After `after` deltas a line that grows by a byte every `every` seconds and never ends."""
    yield scene.head(1_000_000)
    yield from scene.flow(scene.upto())
    every = scene.script.number("every", 0.1)
    for byte in itertools.chain(b"data: ", itertools.repeat(ord("x"))):
        yield Pause(every)
        yield bytes((byte,))


def ws_close(scene: Scene) -> Steps:
    """`after` deltas, then a WebSocket close with `code` and `reason`; 1006 is the lack of a close frame."""
    yield scene.head(framing=scene.framing(Framing.CHUNKED))
    yield from scene.flow(scene.upto())
    code = scene.script.count("code", 1011)
    yield Cut() if code == 1006 else Close(code, scene.script.text("reason"))


def no_pong(scene: Scene) -> Steps:
    """After `after` deltas silence for ever, and a WebSocket's pings are not answered either."""
    yield scene.head(1_000_000)
    yield from scene.flow(scene.upto())
    yield Mute()
    yield Hold()


# Behind or without the terminal event


def lacking(roles: tuple[Role, ...], ending: Ending) -> Play:
    """The answer without the events of these roles."""

    def play(scene: Scene) -> Steps:
        pieces = scene.encode(scene.without(*roles)) if scene.streamed else scene.healthy()
        yield scene.head(sum(map(len, pieces)))
        yield from scene.flow(pieces)
        yield ending()

    return play


def half_last(scene: Scene) -> Steps:
    """Everything but the second half of the terminal event."""
    *rest, last = scene.healthy()
    yield from scene.say([*rest, last[: len(last) // 2]])


def after_terminal(ending: Ending) -> Play:
    """The whole answer, but its HTTP body does not end; then, `seconds` later, the ending."""

    def play(scene: Scene) -> Steps:
        yield scene.head(framing=scene.framing(Framing.CHUNKED))
        yield from scene.flow(scene.healthy())
        if "seconds" in scene.script.parameters:
            yield Pause(scene.script.number("seconds", 0))
            yield End() if ending is Hold else ending()
        else:
            yield ending()

    return play
