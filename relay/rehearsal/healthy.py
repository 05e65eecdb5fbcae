"""Plays that end properly: ordinary answers, shortened ones, and every odd spelling that still means a whole answer."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace

import orjson

from . import chat, messages, responses
from .answers import Answer, Usage, words
from .events import Event, Role, Style
from .scene import Scene
from .steps import JSON_TYPE, SSE_TYPE, Framing, Head, Pause, Steps

Play = Callable[[Scene], Steps]


def ok(scene: Scene) -> Steps:
    yield from scene.say(scene.healthy())


def tools(scene: Scene) -> Steps:
    yield from scene.say(scene.healthy(scene.calling()))


def reasoning(scene: Scene) -> Steps:
    yield from scene.say(scene.healthy(scene.thoughtful()))


def structured(scene: Scene) -> Steps:
    """JSON in pieces that are none by themselves."""
    yield from scene.say(scene.healthy(replace(scene.answer, text=('{"city"', ': "Łó', 'dź"', "}"))))


def multi_choice(scene: Scene) -> Steps:
    yield from scene.say(scene.healthy(replace(scene.answer, choices=scene.script.count("n", 2))))


def finishing(reason: str) -> Play:
    """An answer that ends with this finish (see `Answer.finish`)."""

    def play(scene: Scene) -> Steps:
        yield from scene.say(scene.healthy(replace(scene.answer, finish=reason)))

    return play


def unknown_finish(scene: Scene) -> Steps:
    reason = scene.script.text("reason", "mystery")
    yield from scene.say(scene.healthy(replace(scene.answer, finish=reason)))


def refusal(scene: Scene) -> Steps:
    refused = replace(scene.answer, text=(), refusal="I cannot help with that.", finish="refusal")
    yield from scene.say(scene.healthy(replace(refused, usage=replace(refused.usage, output=7))))


def empty(scene: Scene) -> Steps:
    yield from scene.say(scene.healthy(replace(scene.answer, text=(), usage=replace(scene.answer.usage, output=0))))


def tool_half(scene: Scene) -> Steps:
    """Everything ends properly, but the last call's arguments are half a JSON."""
    answer = scene.calling()
    *whole, last = answer.calls
    yield from scene.say(scene.healthy(replace(answer, calls=(*whole, replace(last, arguments=last.arguments[:2])))))


# Spelling


def styled(style: Style) -> Play:
    """The ordinary answer with its events spelt another way."""

    def play(scene: Scene) -> Steps:
        scene.style = style
        yield from scene.say(scene.healthy())

    return play


def bom(scene: Scene) -> Steps:
    first, *rest = scene.healthy()
    yield from scene.say([b"\xef\xbb\xbf" + first, *rest])


def split(scene: Scene) -> Steps:
    """One byte of the body per write, so that every place is a cut."""
    body = b"".join(scene.healthy())
    yield scene.head(len(body), scene.framing(Framing.CLOSE if scene.streamed else Framing.LENGTH))
    for at in range(len(body)):
        if scene.gap:
            yield Pause(scene.gap)
        yield body[at : at + 1]


def multi_line(scene: Scene) -> Steps:
    """Each event's JSON spread over two `data:` lines, which a reader joins with a line feed."""
    if not scene.streamed:
        yield from scene.say(scene.healthy())
        return
    spread = [_spread(item) for item in scene.dialect.events(scene.answer)]
    yield from scene.say(spread)


def _spread(item: Event) -> bytes:
    head, comma, tail = item.data.partition(b",")
    data = head + comma + (b"\ndata: " + tail if comma else b"")
    return replace(item, data=data).encode()


def odd_lines(scene: Scene) -> Steps:
    """Comments, `id:`, `retry:` and unknown fields between and inside the events, and an event type nobody knows."""
    if not scene.streamed:
        yield from scene.say(scene.healthy())
        return
    pieces = [b": hello\n\n", b"retry: 3000\n\n"]
    for number, piece in enumerate(scene.healthy()):
        pieces.append(b"id: %d\nflavour: plain\n: aside\n" % number + piece)
    if scene.dialect.name != "openai-chat":
        pieces.insert(-1, b'event: vendor.novelty\ndata: {"type": "vendor.novelty"}\n\n')
    yield from scene.say(pieces)


def unterminated_last(scene: Scene) -> Steps:
    """The terminal event lacks its empty line."""
    *rest, last = scene.healthy()
    yield from scene.say([*rest, last.rstrip(b"\n")])


# Usage and ids


def usage_late(scene: Scene) -> Steps:
    """The usage comes by itself, a while after the finish reason."""
    yield scene.head(sum(map(len, scene.healthy())))
    if not scene.streamed:
        yield from scene.flow(scene.healthy())
        return
    before, after = _around_usage(scene)
    yield from scene.flow(scene.encode(before))
    yield Pause(scene.script.number("seconds", 0.3))
    yield from scene.flow(scene.encode(after))


def _around_usage(scene: Scene) -> tuple[list[Event], list[Event]]:
    answer, marker = scene.answer, scene.dialect.marker
    if scene.dialect.name == "openai-chat":
        return scene.without(Role.USAGE, Role.MARKER), [chat.usage_chunk(answer), marker]
    if scene.dialect.name == "anthropic":
        early = messages.finish_event(answer, replace(answer.usage, output=1))
        return [*scene.without(Role.FINISH, Role.MARKER), early], [messages.usage_event(answer), marker]
    whole = scene.dialect.events(answer)
    return whole[:-1], whole[-1:]


def usage_preview(scene: Scene) -> Steps:
    """Figures that are wrong so far, before the content; the last ones count."""
    if not scene.streamed:
        yield from scene.say(scene.healthy())
        return
    answer = replace(scene.answer, with_usage=True)
    opening = scene.first(0, answer)
    early = replace(answer, usage=Usage(input=1, cached=0, output=1))
    preview = _preview(scene, early, len(opening))
    rest = scene.dialect.events(answer)[len(opening) :]
    yield from scene.say(scene.encode([*opening, preview, *rest]))


def _preview(scene: Scene, early: Answer, number: int) -> Event:
    if scene.dialect.name == "openai-chat":
        return chat.usage_chunk(early)
    if scene.dialect.name == "anthropic":
        return messages.usage_event(early)
    begun = {**responses.response(early), "status": "in_progress", "output": []}
    return responses.numbered((Role.USAGE, "response.in_progress", {"response": begun}), number)


def duplicate_id(scene: Scene) -> Steps:
    """Every answer has the same id, and so has every request."""
    scene.identity = "0000same"
    yield from scene.say(scene.healthy())


def after_terminal(scene: Scene) -> Steps:
    """More events behind the terminal one."""
    pieces = scene.healthy()
    if scene.streamed:
        deltas = [item for item in scene.dialect.events(scene.answer) if item.role is Role.CONTENT]
        pieces += scene.encode(deltas[:2])
    yield from scene.say(pieces)


# Size and time


def big_event(scene: Scene) -> Steps:
    """One huge delta, in writes of 16 KiB that have nothing to do with events."""
    size = scene.script.count("bytes", 4_000_000)
    body = b"".join(scene.healthy(replace(scene.answer, text=("x" * size, " end"))))
    yield scene.head(len(body))
    for at in range(0, len(body), 16 * 1024):
        yield body[at : at + 16 * 1024]


def flood(scene: Scene) -> Steps:
    """As many bytes as the other side takes, up to `bytes`, then the proper end."""
    size = scene.script.count("bytes", 200_000_000)
    delta = scene.script.count("size", 64 * 1024)
    if not scene.streamed:
        yield from scene.say(scene.healthy(replace(scene.answer, text=("x" * size,))))
        return
    events = scene.dialect.events(replace(scene.answer, text=("x" * delta,)))
    first = next(index for index, item in enumerate(events) if item.role is Role.CONTENT)
    content = events[first].encode()
    yield scene.head(framing=scene.framing(Framing.CHUNKED))
    yield from scene.encode(events[:first])
    for _ in range(max(1, size // len(content))):
        yield content
    yield from scene.encode(events[first + 1 :])


def slow_then_content(scene: Scene) -> Steps:
    """The opening events, silence, then the answer."""
    if not scene.streamed:
        pieces = scene.healthy()
        yield scene.head(sum(map(len, pieces)))
        yield Pause(scene.script.number("seconds", 60))
        yield from pieces
        return
    opening = scene.upto(0)
    yield scene.head(sum(map(len, scene.healthy())))
    yield from opening
    yield Pause(scene.script.number("seconds", 60))
    yield from scene.flow(scene.healthy()[len(opening) :])


def late(scene: Scene) -> Steps:
    """Silence before the headers, then the answer."""
    yield Pause(scene.script.number("seconds", 1))
    yield from scene.say(scene.healthy())


def mid_silence(scene: Scene) -> Steps:
    """The answer with one silence after `after` deltas."""
    pieces = scene.healthy()
    begun = len(scene.upto()) if scene.streamed else 0
    yield scene.head(sum(map(len, pieces)))
    yield from pieces[:begun]
    yield Pause(scene.script.number("seconds", 1))
    yield from pieces[begun:]


# Body and header disagree


def json_for_stream(scene: Scene) -> Steps:
    """The whole JSON, whatever was asked for."""
    body = orjson.dumps(scene.dialect.whole(scene.answer))
    yield Head(200, JSON_TYPE, Framing.LENGTH, len(body), scene.headers())
    yield body


def stream_for_json(scene: Scene) -> Steps:
    """Events, whatever was asked for."""
    yield Head(200, SSE_TYPE, Framing.CHUNKED, headers=scene.headers())
    yield from scene.encode(scene.dialect.events(replace(scene.answer, with_usage=True)))


def content_type(value: str | None) -> Play:
    """The ordinary answer under this content type, or none."""

    def play(scene: Scene) -> Steps:
        for step in ok(scene):
            yield replace(step, content_type=value) if isinstance(step, Head) else step

    return play


def echo(scene: Scene) -> Steps:
    """The request as it arrived, as the text of the answer; of a whole answer also as `received`."""
    received = {
        "method": scene.request.method,
        "target": scene.request.target,
        "headers": scene.request.headers,
        "body": scene.request.body.decode("utf-8", "replace"),
    }
    answer = replace(scene.answer, text=(orjson.dumps(received).decode(),))
    if scene.streamed:
        yield from scene.say(scene.healthy(answer))
        return
    body = orjson.dumps({**scene.dialect.whole(answer), "received": received})
    yield from scene.say([body])


def long_unicode(scene: Scene) -> Steps:
    """Text of two to four bytes a character, and what JSON must escape."""
    text = words(scene.script.count("events", 12), 'Ünïcödé 漢字 😀 "quoted" \\back\\ <b>&amp;</b> e\u0301 \u2028')
    yield from scene.say(scene.healthy(replace(scene.answer, text=text)))


def image(scene: Scene) -> Steps:
    """A delta of base64, as image models send: long, and without a single space."""
    data = base64.b64encode(bytes(range(256)) * max(1, scene.script.count("bytes", 65_536) // 256)).decode()
    yield from scene.say(scene.healthy(replace(scene.answer, text=(f"data:image/png;base64,{data}",))))
