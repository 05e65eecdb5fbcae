"""From one upstream's answer to one client's: which of its bytes are sent, and in whose words the relay itself speaks.

One passage is made for each attempt. This one is for an upstream that speaks the client's own protocol: its bytes pass
as they came, and the reader only taps them. `Opaque` is for what no reader knows (files, audio, images): every event is
content, and the proper end of the body is the end. relay.wire.translation has the one that translates.
"""

from __future__ import annotations

from typing import Any

from relay.wire.events import Answer, ClientError, Kind, Mark, Usage, count, decoded, failure_of
from relay.wire.registry import Dialect, Reader, Scanner
from relay.wire.repeating import TRIES, Shape, learnt
from relay.wire.sse import Frame, SSEScanner

SPOKEN = frozenset({Kind.CONTENT, Kind.REASONING})
ERROR_KEYS = frozenset({"error", "type", "request_id"})  # an answer with nothing else is an error, whatever its status


class Passage:
    """An upstream of the client's own protocol. `withholds_usage`: the usage chunk was our wish, not the client's."""

    translates = False
    _shape: Shape | None = None  # of the event that was learnt last; none where each event has to be decoded
    _tries = 0

    def __init__(self, dialect: Dialect, withholds_usage: bool = False) -> None:
        self.dialect = dialect
        self.reader: Reader = dialect.reader()
        self.scanner: Scanner = dialect.scanner()
        self._withholds_usage = withholds_usage
        self._tries = TRIES if dialect.spoken is not None else 0

    @property
    def expects_marker(self) -> bool:
        """Whether an end without a marker is worth a note."""
        return self.dialect.marked

    @property
    def evidence_ends(self) -> bool:
        """Whether the client knows by finish evidence alone that it has the whole answer."""
        return not self.translates and not self.dialect.marked and not self.dialect.end

    @property
    def answer(self) -> Answer:
        """What was learnt of the upstream's answer."""
        return self.reader.answer

    def repeated(self, raw: bytes) -> Mark | None:
        """What these bytes mean when they are one whole event that differs from an earlier one only in its text; else None."""
        shape = self._shape
        if shape is None or not shape.fits(raw):
            return None
        answer = self.reader.answer
        answer.event_count += 1
        if shape.number > answer.sequence_number:
            answer.sequence_number = shape.number
        return shape.mark

    def take(self, frame: Frame, mark: Mark) -> bytes:
        """What the client is sent for this event."""
        if mark.kind is Kind.ERROR:
            return frame.raw + self.dialect.after_error  # nothing of the upstream's follows
        if self._tries and mark.kind in SPOKEN:
            self._learn(frame, mark)
        if mark.kind is Kind.PING and getattr(self.scanner, "closed", False) and self.answer.finish is None:
            return b""  # the array's end, before the answer's: behind it the client could not be told that it broke
        return b"" if self._withholds_usage and mark.kind is Kind.USAGE else frame.raw

    def _learn(self, frame: Frame, mark: Mark) -> None:
        """What comes next is likely to differ from this event only in its text."""
        body, spoken = self.reader.body, self.dialect.spoken
        said = spoken(body) if spoken is not None and body is not None else None
        if said is not None:
            self._tries -= 1
            self._shape = learnt(frame.raw, *said, mark) or self._shape

    def name_sent(self, sent: bytes, mark: Mark) -> str:
        """What evidence calls the last event in what the client is sent."""
        return mark.name

    def ends_cleanly(self) -> bool:
        """Whether the answer is whole if the body properly ends here, without a marker."""
        return self.answer.finish is not None

    def end(self) -> bytes:
        """What ends the client's stream when the upstream sent no marker; may be empty."""
        return b"" if getattr(self.scanner, "closed", False) else self.dialect.end

    def error_frame(self, error: ClientError) -> bytes:
        """Tells the client, inside the stream, that it broke."""
        return self.dialect.error_frame(error, self.answer)

    def error_body(self, body: bytes, error: ClientError) -> bytes:
        """The upstream's own error answer, as the client is to have it."""
        return body

    def read_whole(self, body: bytes) -> bytes:
        """The client's body for a whole answer, which `answer` learns from. Raises MalformedBody."""
        self.dialect.read_whole(body, self.answer)
        return body

    def whole_to_stream(self, body: bytes) -> bytes:
        """A whole answer, that was read already, as the stream that the client asked for."""
        return self.dialect.whole_to_stream(body)

    def is_stream(self, first: bytes) -> bool:
        """Whether a body that begins so is the stream that was asked for, and no page or whole answer."""
        return self.dialect.is_stream(first)


class OpaqueReader:
    """Taps events that no protocol's reader knows."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.body: dict[str, Any] | None = None

    def read(self, frame: Frame) -> Mark:
        if frame.comment_only:
            return Mark(Kind.PING, "comment")
        self.answer.counts_event()
        body = decoded(frame.data)
        if frame.event == "error" or (body is not None and body.get("error")):
            self.answer.failure = failure_of((body or {}).get("error") or body or frame.data.decode("utf-8", "replace"))
            return Mark(Kind.ERROR, "error")
        name = body.get("type") if body is not None else None
        return Mark(Kind.CONTENT, name[:100] if isinstance(name, str) else frame.event[:100] or "event")


class Opaque(Passage):
    """A neighbouring path: nothing is read but the end of the body, and an error event where one comes."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        self.reader = OpaqueReader()
        self.scanner = SSEScanner()

    @property
    def expects_marker(self) -> bool:
        return False

    def ends_cleanly(self) -> bool:
        return True

    def end(self) -> bytes:
        return b""

    def read_whole(self, body: bytes) -> bytes:
        answer, value = self.answer, decoded(body)
        answer.event_count = 1
        if value is not None and value.get("error") and value.keys() <= ERROR_KEYS:
            answer.failure = failure_of(value["error"])
            return body
        usage = value.get("usage") if value is not None else None
        if isinstance(usage, dict):
            first = count(usage, "prompt_tokens"), count(usage, "input_tokens")
            answer.usage = Usage(next((item for item in first if item is not None), None), total=count(usage, "total_tokens"))
        answer.terminal = True
        return body

    def whole_to_stream(self, body: bytes) -> bytes:
        return body
