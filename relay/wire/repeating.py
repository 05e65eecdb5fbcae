"""Events that differ from an earlier one only in their text: told by their bytes, without decoding them.

Nearly all events of an answer repeat one JSON object with another piece of text in it. What the object means was learnt
from the first of them; a later one means the same when the bytes around its text are the same and its text is a JSON
string that is not empty. Anything else is for the reader. Besides the text, a sequence number and OpenAI's padding
(`obfuscation`) may differ.
"""

from __future__ import annotations

import re

import orjson

from relay.wire.events import Mark

# Possessive: a text that is no JSON string must not be tried in every split. Halves of surrogate pairs are the reader's.
_CHARACTER = rb'(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4}))'
TEXT = re.compile(_CHARACTER + rb"++")
PADDING = re.compile(_CHARACTER + rb"*+")
NUMBER = re.compile(rb"(?:0|[1-9][0-9]{0,17})(?![0-9.eE])")
_SEQUENCE, _PADDED = rb'"sequence_number":', rb'"obfuscation":"'
LARGEST = 4096  # bytes of an event that is worth learning
TRIES = 16  # events of one stream from which a shape is learnt; one that keeps changing repeats nothing


class Shape:
    """The bytes of an event, with holes. `mark` is what it means, `number` the sequence number of the last that fitted."""

    __slots__ = ("_first", "_holes", "_size", "mark", "number")

    def __init__(self, mark: Mark, first: bytes, holes: tuple[tuple[re.Pattern[bytes], bytes], ...]) -> None:
        self.mark = mark
        self.number = -1
        self._first = first
        self._size = len(first)
        self._holes = holes  # each with the bytes behind it

    def fits(self, raw: bytes) -> bool:
        """Whether this is one event, whole and of this shape."""
        if not raw.startswith(self._first):
            return False
        at = self._size
        number = b""
        for pattern, literal in self._holes:
            found = pattern.match(raw, at)
            if found is None:
                return False
            at = found.end()
            if pattern is NUMBER:
                number = found[0]
            if not raw.startswith(literal, at):
                return False
            at += len(literal)
        if at != len(raw) or not (raw.isascii() or _is_utf8(raw)):
            return False
        if number:
            self.number = int(number)
        return True


def learnt(raw: bytes, name: str, text: str, mark: Mark) -> Shape | None:
    """The shape of the event `raw`, whose text is the member `name`; None when its bytes alone cannot tell enough."""
    key = b'"%b":' % name.encode()
    one_event = raw.find(b"\n\n") == len(raw) - 2 and b"\r" not in raw
    if not one_event or len(raw) > LARGEST or raw.count(key) != 1 or not _is_utf8(raw):
        return None
    start = raw.index(key) + len(key)
    start += raw[start : start + 1] == b" "
    if raw[start : start + 1] != b'"':
        return None
    start += 1
    found = TEXT.match(raw, start)
    if found is None or raw[found.end() : found.end() + 1] != b'"' or orjson.loads(b'"%b"' % found[0]) != text:
        return None
    before, after = raw[:start], raw[found.end() :]
    holes: list[tuple[re.Pattern[bytes], bytes]] = [(TEXT, after)]
    if after.count(_PADDED) == 1:
        at = after.index(_PADDED) + len(_PADDED)
        padding = PADDING.match(after, at)
        assert padding is not None  # it may be empty
        holes = [(TEXT, after[:at]), (PADDING, after[padding.end() :])]
    if before.count(_SEQUENCE) == 1:
        at = before.index(_SEQUENCE) + len(_SEQUENCE)
        number = NUMBER.match(before, at)
        if number is not None:
            return Shape(mark, before[:at], ((NUMBER, before[number.end() :]), *holes))
    return Shape(mark, before, tuple(holes))


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
