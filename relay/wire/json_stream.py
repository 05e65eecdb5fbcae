"""Streams of JSON without events: a value a line (Ollama), or one array that arrives element by element (Gemini).

The invariants of relay.wire.sse hold here too: the raws of the frames, joined, are the input, and the same input gives
the same frames however it was cut.
"""

from __future__ import annotations

import re

from relay.wire.sse import LIMIT, Frame, OversizedEvent, is_whole

OUTSIDE = re.compile(rb'["\[\]{}]')
INSIDE = re.compile(rb'["\\]')


class LineScanner:
    """A JSON value on each line."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()

    @property
    def pending(self) -> int:
        """Bytes of a line that has not ended."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete, in order."""
        if b"\n" not in data:
            self._buffer += data
            self._check([])
            return []
        *lines, rest = (bytes(self._buffer) + data).split(b"\n")
        self._buffer[:] = rest
        frames: list[Frame] = []
        for line in lines:
            if len(line) > self._limit:
                raise OversizedEvent(self._limit, frames)
            frames.append(Frame(line + b"\n", data=line, comment_only=not line.strip()))
        self._check(frames)
        return frames

    def close(self) -> Frame | None:
        """The last line when only its line feed is missing."""
        tail = bytes(self._buffer)
        if not is_whole(tail):
            return None
        self._buffer.clear()
        return Frame(tail + b"\n", data=tail, complete=False)

    def _check(self, frames: list[Frame]) -> None:
        if len(self._buffer) > self._limit:
            raise OversizedEvent(self._limit, frames)


class ArrayScanner:
    """The elements of one JSON array. What stands between them (brackets, commas, blanks) goes with the next frame."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._position = 0  # nothing before it needs to be looked at again
        self._depth = 0
        self._start = -1  # where the element begins that has not ended
        self._in_string = False
        self.closed = False  # the array's own end was seen

    @property
    def pending(self) -> int:
        """Bytes of an element that has not ended."""
        return len(self._buffer) - self._start if self._start >= 0 else 0

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete, in order."""
        self._buffer += data
        frames: list[Frame] = []
        while not self.closed and (found := self._next()) is not None:
            self._step(found, frames)
        if len(self._buffer) > self._limit:
            raise OversizedEvent(self._limit, frames)
        return frames

    def close(self) -> Frame | None:
        """What lies behind the array's end, in one piece. Of an element nothing can be missing: it says itself where it ends."""
        if not (self.closed and self._buffer):
            return None
        rest = bytes(self._buffer)
        self._buffer.clear()
        return Frame(rest, comment_only=True)

    def _next(self) -> int | None:
        """Where the next byte is that means something; None when all was seen."""
        while True:
            found = (INSIDE if self._in_string else OUTSIDE).search(self._buffer, self._position)
            if found is None:
                self._position = len(self._buffer)
                return None
            at = found.start()
            if self._buffer[at] != ord("\\"):
                self._position = at + 1
                return at
            if at + 1 == len(self._buffer):  # what it escapes has not come yet
                self._position = at
                return None
            self._position = at + 2

    def _step(self, at: int, frames: list[Frame]) -> None:
        byte = self._buffer[at]
        if byte == ord('"'):
            self._in_string = not self._in_string
        elif byte in b"[{":
            if self._depth == 1:
                self._start = at
            self._depth += 1
        else:
            self._depth -= 1
            if self._depth == 1:
                self._emit(at + 1, frames)
            elif self._depth <= 0:
                self.closed = True
                self._emit(at + 1, frames)

    def _emit(self, end: int, frames: list[Frame]) -> None:
        raw = bytes(memoryview(self._buffer)[:end])
        data = raw[self._start :] if self._start >= 0 else b""
        del self._buffer[:end]
        self._position -= end
        if self._position < 0:
            self._position = 0
        self._start = -1
        if len(raw) > self._limit:
            raise OversizedEvent(self._limit, frames)
        frames.append(Frame(raw, data=data, comment_only=not data))
