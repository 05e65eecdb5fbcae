"""The vocabulary of requests: what every protocol says to a model, in words of none of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

# Parts of a turn


@dataclass(frozen=True, slots=True)
class Text:
    text: str


@dataclass(frozen=True, slots=True)
class Media:
    """An image, sound or document: base64 in `data`, or where it lies in `url`. `kind`: image, audio, document."""

    kind: str
    media_type: str
    data: str = ""
    url: str = ""
    name: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Thought:
    """Reasoning of an earlier answer. `signature` is for the eyes of `vendor` alone; `redacted`: there is no text."""

    text: str = ""
    signature: str = ""
    vendor: str = ""
    redacted: bool = False
    summary: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is JSON as text, as it came; `signature` as in Thought."""

    id: str
    name: str
    arguments: str
    signature: str = ""
    vendor: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    id: str
    parts: tuple[Part, ...]
    name: str = ""
    failed: bool = False


Part = Text | Media | Thought | Refusal | ToolCall | ToolResult


@dataclass(frozen=True, slots=True)
class Turn:
    """`role`: system, developer, user or assistant. Tool results are parts of a user's turn."""

    role: str
    parts: tuple[Part, ...]


# What is asked beside the conversation


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str = ""
    schema: dict[str, Any] | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode`: auto, none, required, or tool (then `name`)."""

    mode: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Format:
    """JSON output; with a `schema` it must match that."""

    schema: dict[str, Any] | None = None
    name: str = "answer"
    strict: bool | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Reasoning:
    """How much to think: in words (none, minimal, low, medium, high, xhigh, max) or tokens, as the client said it."""

    effort: str = ""
    budget: int | None = None
    summary: str = ""


@dataclass(slots=True)
class Prompt:
    """One request. The names from `max_tokens` on are those of the features in features.py."""

    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    tool_choice: ToolChoice | None = None
    parallel: bool | None = None
    format: Format | None = None
    reasoning: Reasoning | None = None
    stop: list[str] | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    n: int | None = None
    user: str | None = None
    notes: set[str] = field(default_factory=set)  # what was lost or changed on the way

    def parts(self) -> Iterator[Part]:
        """Every part, those inside tool results too."""
        for turn in self.turns:
            for part in turn.parts:
                yield part
                if isinstance(part, ToolResult):
                    yield from part.parts


def joined_text(parts: Sequence[Part], between: str = "") -> str:
    """The text of these parts, whatever else is among them."""
    return between.join(part.text for part in parts if isinstance(part, Text | Refusal))


def split_leading(turns: list[Turn]) -> tuple[str, list[Turn]]:
    """The instructions that open the conversation, as one text, and the turns behind them."""
    count = 0
    while count < len(turns) and turns[count].role in ("system", "developer"):
        count += 1
    said = [joined_text(turn.parts, "\n") for turn in turns[:count]]
    return "\n\n".join(text for text in said if text), turns[count:]


def merged(turns: list[Turn]) -> list[Turn]:
    """Neighbouring turns of one role as one turn, for protocols in which roles alternate."""
    found: list[Turn] = []
    for turn in turns:
        if found and found[-1].role == turn.role:
            found[-1] = Turn(turn.role, found[-1].parts + turn.parts)
        else:
            found.append(turn)
    return found


def call_names(turns: list[Turn]) -> dict[str, str]:
    """Tool calls' names by their ids: some protocols name the tool in its result too."""
    return {part.id: part.name for turn in turns for part in turn.parts if isinstance(part, ToolCall)}
