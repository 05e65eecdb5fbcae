"""What the rehearsed model says, before any protocol dresses it: text, reasoning, tool calls, finish and usage.

The figures are fixed by the request (12 tokens in, 4 of them cached, one token a delta), so that a test can say what
must be on record.
"""

from __future__ import annotations

from dataclasses import dataclass, field

SENTENCES = (
    "A good ending is told in full. This answer came in small pieces, one word after the other, "
    "as a model would send it. "
    "Each piece was counted on its way, and the last one says that nothing is missing. "
    "Should the line break first, you would read here what broke it, and when."
)
THOUGHTS = "The question is short, so a short answer will do."


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call; `arguments` is its JSON in the pieces in which it is streamed."""

    id: str
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of an answer."""

    input: int = 12
    cached: int = 4
    output: int = 0
    reasoning: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


@dataclass(frozen=True, slots=True)
class Failure:
    """What an upstream says when it failed: the status it stands for, its type and code, and its words."""

    status: int
    type: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer.

    `finish` is one of `stop`, `tools`, `length`, `filter`, `refusal`, which each dialect translates, or any other text,
    which it repeats verbatim. `choices` above one exists in chat completions alone.
    """

    id: str
    model: str
    created: int
    text: tuple[str, ...] = ()
    reasoning: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    refusal: str = ""
    finish: str = "stop"
    choices: int = 1
    with_usage: bool = False  # the request asked for usage in the stream, where a protocol sends it on request only
    usage: Usage = field(default_factory=Usage)


def words(count: int, text: str = SENTENCES) -> tuple[str, ...]:
    """`count` deltas of a word each, repeating the text when it is shorter."""
    parts = split_words(text)
    return tuple(parts[index % len(parts)] for index in range(count))


def split_words(text: str) -> tuple[str, ...]:
    """The text as deltas; joined they are the text again."""
    first, *rest = text.split(" ")
    return (first, *(f" {word}" for word in rest))


def weather_calls(count: int, answer_id: str) -> tuple[Call, ...]:
    """`count` calls of one tool, whose arguments arrive in three pieces that are no JSON by themselves."""
    cities = ("Oslo", "Łódź", "Quito", "Hà Nội")
    return tuple(
        Call(f"call_{answer_id[-6:]}_{index}", "get_weather", ('{"city": "', cities[index % len(cities)], '"}'))
        for index in range(count)
    )
