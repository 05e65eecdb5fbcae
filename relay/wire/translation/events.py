"""The vocabulary of answers: what any stream says, event by event, in words of no protocol.

`choice` counts alternatives (`n`), `call` the tool calls within one choice, in the order in which they began; the pieces
of parallel calls may interleave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from relay.wire.events import Usage
from relay.wire.translation.prompt import Part, Refusal, Text, Thought, ToolCall


class Stop(StrEnum):
    """Why an answer ended."""

    STOP = "stop"
    SEQUENCE = "sequence"  # at one of the client's stop sequences
    TOOLS = "tools"
    LENGTH = "length"
    FILTER = "filter"
    REFUSAL = "refusal"
    PAUSE = "pause"  # of a long task: to be gone on with
    OTHER = "other"  # a reason that no table knows


@dataclass(frozen=True, slots=True)
class Began:
    id: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Refused:
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Thinking:
    text: str
    choice: int = 0
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Signed:
    """What `vendor` must be given back with the reasoning just told. `redacted`: in its place.

    With `call`: with that tool call, which begins after it.
    """

    value: str
    vendor: str
    choice: int = 0
    redacted: bool = False
    call: int | None = None


@dataclass(frozen=True, slots=True)
class CallBegan:
    call: int
    id: str
    name: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class CallPiece:
    """More of a call's arguments, a piece of JSON text."""

    call: int
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class CallEnded:
    call: int
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """`raw` is the upstream's own word for it; `sequence` the stop sequence, where it was told."""

    stop: Stop
    raw: str
    choice: int = 0
    sequence: str | None = None


@dataclass(frozen=True, slots=True)
class Used:
    """Tokens so far."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Lost:
    """Something in the answer that the vocabulary has no word for."""

    what: str


Event = Began | Said | Refused | Thinking | Signed | CallBegan | CallPiece | CallEnded | Finished | Used | Lost


@dataclass(slots=True)
class Spoken:
    """One choice of a whole answer."""

    parts: list[Part] = field(default_factory=list)
    finished: Finished | None = None


@dataclass(slots=True)
class Reply:
    """A whole answer, put together from its events."""

    id: str = ""
    model: str = ""
    choices: list[Spoken] = field(default_factory=list)
    used: Used | None = None

    def choice(self, index: int) -> Spoken:
        while len(self.choices) <= index:
            self.choices.append(Spoken())
        return self.choices[index]


def assembled(events: Iterable[Event]) -> Reply:
    """The answer that these events tell."""
    reply = Reply()
    reply.choice(0)
    calls: dict[tuple[int, int], int] = {}  # where in the parts a call lies
    signs: dict[tuple[int, int], Signed] = {}
    for event in events:
        match event:
            case Began(id, model):
                reply.id, reply.model = id or reply.id, model or reply.model
            case Used():
                reply.used = event
            case Finished(choice=choice):
                reply.choice(choice).finished = event
            case Lost() | CallEnded():
                pass
            case CallBegan(call, id, name, choice):
                parts = reply.choice(choice).parts
                calls[choice, call] = len(parts)
                sign = signs.get((choice, call))
                parts.append(ToolCall(id, name, "", sign.value if sign else "", sign.vendor if sign else ""))
            case CallPiece(call, text, choice):
                _grow(reply.choice(choice).parts, calls.get((choice, call)), text)
            case Signed(call=int(call), choice=choice):
                signs[choice, call] = event
            case Said() | Refused() | Thinking() | Signed():
                _append(reply.choice(event.choice).parts, event)
    return reply


def _grow(parts: list[Part], at: int | None, text: str) -> None:
    call = parts[at] if at is not None else None
    if at is not None and isinstance(call, ToolCall):
        parts[at] = ToolCall(call.id, call.name, call.arguments + text, call.signature, call.vendor)


def _append(parts: list[Part], event: Said | Refused | Thinking | Signed) -> None:
    last = parts[-1] if parts else None
    match event:
        case Said(text):
            if isinstance(last, Text):
                parts[-1] = Text(last.text + text)
            else:
                parts.append(Text(text))
        case Refused(text):
            if isinstance(last, Refusal):
                parts[-1] = Refusal(last.text + text)
            else:
                parts.append(Refusal(text))
        case Thinking(text, summary=summary):
            if isinstance(last, Thought) and not last.signature:
                parts[-1] = Thought(last.text + text, summary=summary)
            else:
                parts.append(Thought(text, summary=summary))
        case Signed(value, vendor, redacted=redacted):
            if isinstance(last, Thought) and not last.signature and not redacted:
                parts[-1] = Thought(last.text, value, vendor, summary=last.summary)
            else:
                parts.append(Thought("", value, vendor, redacted))
