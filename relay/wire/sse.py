"""Server-sent events: bytes as the network cut them, into frames whose bytes are untouched.

Invariants: the raws of the frames, joined, are the input, byte for byte; the same input gives the same frames however it
was cut; every byte is looked at a bounded number of times, so that one 40 MB event in small pieces costs what it weighs.
Lines, fields and the byte order mark follow the WHATWG rules, with two departures that real senders force. A field named
`error` (llama.cpp) is read as an event of that name. And `close` accepts a last event whose blank line is missing when
its data is whole.
"""

from __future__ import annotations

import orjson

LIMIT = 64 * 1024 * 1024  # bytes of one event, beyond which the upstream is not believed any more
BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13


class Frame:
    """One event, comment or stray blank line.

    `raw` holds exactly its bytes, line ends included. `event` is "" when no such field came. `comment_only` says that
    there is no data in it, so that a client would dispatch nothing. `complete` is False for a tail that `close` mended.
    """

    __slots__ = ("comment_only", "complete", "data", "event", "raw")

    def __init__(self, raw: bytes, event: str = "", data: bytes = b"", comment_only: bool = False, complete: bool = True) -> None:
        self.raw = raw
        self.event = event
        self.data = data
        self.comment_only = comment_only
        self.complete = complete

    def __repr__(self) -> str:
        return f"Frame({self.raw!r}, event={self.event!r}, data={self.data!r}, complete={self.complete})"


class OversizedEvent(Exception):
    """One event is larger than the limit. `frames` are those that came whole before it: they belong to the client."""

    def __init__(self, size: int, frames: list[Frame]) -> None:
        super().__init__(f"an event of more than {size} bytes")
        self.size = size
        self.frames = frames


class SSEScanner:
    """Cuts a byte stream into frames. After `OversizedEvent` it is dead: what follows cannot be told apart any more."""

    __slots__ = ("_bare_cr", "_buffer", "_first", "_limit", "_line", "_may_skip_lf", "_scanned", "_seen_cr")

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()  # the unfinished frame
        self._first = True  # no frame was parsed yet: a byte order mark may lead
        self._seen_cr = False  # once a CR came, every line is walked; before, "\n\n" is all there is to find
        # The rest is for walked lines alone, as offsets into the buffer.
        self._scanned = 0  # no line end lies before this
        self._line = 0  # where the current line begins
        self._bare_cr = False  # the last line end was a CR without LF
        self._may_skip_lf = False  # the last frame was let go at a CR: an LF right after it belongs to that line end

    @property
    def pending(self) -> int:
        """Bytes of an event that has not ended."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete, in order."""
        if self._seen_cr or b"\r" in data:
            return self._feed_walking(data)
        if self._buffer:
            return self._feed_pending(data)
        end = data.find(b"\n\n") + 2
        if end == len(data) and end > 2 and data[0] != _LF and end <= self._limit:
            return [self._frame(data)]  # the usual case: one read, one event, and its bytes are not copied
        frames: list[Frame] = []
        rest = self._cut(data, 0, frames)
        if rest < len(data):
            self._buffer += data[rest:] if rest else data
            self._check_pending(frames)
        return frames

    def close(self) -> Frame | None:
        """The last event when its blank line is missing, and it is whole: with the line ends that it lacks.

        To be called at a clean end of the stream only. A half event gives None, and stays `pending`.
        """
        tail = bytes(self._buffer)
        if not tail:
            return None
        if self._line == len(tail) - 1 and tail[-1] == _CR:  # a blank line whose LF never came is a blank line
            self._buffer.clear()
            return self._frame(tail)
        frame = self._frame(tail)
        if frame.comment_only or not is_whole(frame.data):
            return None
        self._buffer.clear()
        newline = b"\r\n" if b"\r\n" in tail else b"\r" if b"\r" in tail else b"\n"
        frame.raw = tail + (newline if tail.endswith((b"\n", b"\r")) else newline * 2)
        frame.complete = False
        return frame

    # -- streams of plain LF, as nearly all are ------------------------------------------------------------------

    def _feed_pending(self, data: bytes) -> list[Frame]:
        buffer = self._buffer
        searched = max(len(buffer) - 1, 0)  # the last byte may be the first half of the blank line
        buffer += data
        frames: list[Frame] = []
        if len(buffer) > 1 or buffer[0] == _LF:
            end = buffer.find(b"\n\n", searched) + 2
            if end > 1:
                self._emit(bytes(memoryview(buffer)[:end]), frames)
                whole = bytes(memoryview(buffer)[end:])
                buffer.clear()
                rest = self._cut(whole, 0, frames)
                buffer += whole[rest:]
        self._check_pending(frames)
        return frames

    def _cut(self, data: bytes, start: int, frames: list[Frame]) -> int:
        """Append the frames of `data` from `start`; return where the unfinished rest begins."""
        size = len(data)
        while start < size:
            if data[start] == _LF:
                end = start + 1
            else:
                end = data.find(b"\n\n", start) + 2
                if end == 1:
                    break
            self._emit(data[start:end], frames)
            start = end
        return start

    # -- streams with CR or CRLF ---------------------------------------------------------------------------------

    def _feed_walking(self, data: bytes) -> list[Frame]:
        """Line by line, since a CR may be a line end or half of one.

        A blank line that ends in a CR lets its frame go at once when the line before ended in a bare CR too (the sender
        does not use CRLF, and the next byte may be minutes away); an LF that follows all the same then opens the next
        frame. Otherwise the LF is waited for. Both depend on earlier bytes only, never on where the network cut.
        """
        self._seen_cr = True
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        start, line, position = 0, self._line, max(self._scanned, self._line)
        lf = cr = -1  # the next of each at or after `position`; `size` when there is none
        frames: list[Frame] = []
        while True:
            if self._may_skip_lf and line < size:
                self._may_skip_lf = False
                if buffer[line] == _LF:
                    line += 1
            position = max(position, line)
            if lf < position:
                lf = _find(buffer, b"\n", position, size)
            if cr < position:
                cr = _find(buffer, b"\r", position, size)
            end = min(lf, cr)
            if end == size:
                position = size
                break
            blank = end == line
            if end == lf:
                after, bare = end + 1, False
            elif blank and self._bare_cr:
                after, bare, self._may_skip_lf = end + 1, True, True
            elif end + 1 == size:
                position = end  # CR is the last byte: CRLF or not, the next byte tells
                break
            else:
                bare = buffer[end + 1] != _LF
                after = end + (1 if bare else 2)
            self._bare_cr = bare
            line = position = after
            if blank:
                self._emit(bytes(memoryview(buffer)[start:after]), frames)
                start = after
        del buffer[:start]
        self._line, self._scanned = line - start, position - start
        self._check_pending(frames)
        return frames

    # -- frames --------------------------------------------------------------------------------------------------

    def _emit(self, raw: bytes, frames: list[Frame]) -> None:
        if len(raw) > self._limit:
            raise OversizedEvent(self._limit, frames)
        frames.append(self._frame(raw))

    def _check_pending(self, frames: list[Frame]) -> None:
        if len(self._buffer) > self._limit:
            raise OversizedEvent(self._limit, frames)

    def _frame(self, raw: bytes) -> Frame:
        if self._first:
            self._first = False
            if raw.startswith(BOM):
                return parse(raw, len(BOM))
        # Two shapes make up nearly all traffic: one data line, or an event line and a data line, ended by LF.
        newline = raw.find(b"\n")
        last = len(raw) - 2
        if newline == last:
            if raw.startswith(b"data: ") and b"\r" not in raw:
                return Frame(raw, "", raw[6:last])
        elif raw.startswith(b"event: ") and raw.startswith(b"data: ", newline + 1) and b"\r" not in raw:
            if raw.find(b"\n", newline + 1) == last:
                return Frame(raw, raw[7:newline].decode("utf-8", "replace"), raw[newline + 7 : last])
        return parse(raw)


def parse(raw: bytes, skip: int = 0) -> Frame:
    """The fields of one frame's bytes, by the rules."""
    event = ""
    data: list[bytes] = []
    failure: list[bytes] = []
    for line in raw[skip:].splitlines():  # on bytes: CR, LF and CRLF, nothing else
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
        elif name == b"event":
            event = (value[1:] if value.startswith(b" ") else value).decode("utf-8", "replace")
        elif name == b"error":
            failure.append(value[1:] if value.startswith(b" ") else value)
    if failure and not data:
        event, data = "error", failure
    return Frame(raw, event, b"\n".join(data), comment_only=not data)


def is_whole(data: bytes) -> bool:
    """Whether the data of an event lacks nothing: an object that parses (it says itself where it ends), or `[DONE]`."""
    data = data.strip()
    if data == b"[DONE]":
        return True
    return data.startswith(b"{") and is_json(data)


def is_json(text: str | bytes) -> bool:
    """Whether it is one whole JSON value."""
    try:
        orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        return False
    return True


def _find(buffer: bytearray, what: bytes, start: int, size: int) -> int:
    found = buffer.find(what, start)
    return size if found < 0 else found
