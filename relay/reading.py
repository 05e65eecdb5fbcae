"""What one attempt's upstream answers: its body decoded, and what has been learnt of the answer.

Whatever ended the upstream's side is noted on the exchange; what it means is decided in relay.ending alone.
"""

from __future__ import annotations

from typing import Any

import httpx
import orjson

from relay import chains
from relay.balancing import Candidate
from relay.ending import Cause, Outcome, Phase
from relay.exchange import Exchange
from relay.exchange_state import Attempt
from relay.transport import Sink, TransportFailure, value_of
from relay.wire.compression import KNOWN, BadCompression, Decoder, TooLarge
from relay.wire.events import Answer, ClientError, MalformedBody
from relay.wire.passage import Passage
from relay.wire.question import Question

DECODED_LIMIT = 1 << 40  # a stream has no length; events and whole bodies have limits of their own


class AttemptFailed(Exception):
    """One attempt gave nothing that the client could have been sent."""

    def __init__(self, cause: Cause, detail: str, again: bool = True) -> None:
        super().__init__(detail)
        self.cause = cause
        self.detail = detail
        self.again = again
        self.status: int | None = None  # what the client is told, when not the cause's own
        self.body: bytes | None = None  # the upstream's own error, passed on as it came
        self.headers: list[tuple[str, str]] = []
        self.wait: float | None = None  # seconds for which the upstream asked to be left alone
        self.at: float | None = None


class Reading:
    """The answer of one attempt. The credential's secret is in no text of ours, though upstreams are known to repeat it."""

    def __init__(self, exchange: Exchange, record: Attempt, question: Question, passage: Passage, candidate: Candidate) -> None:
        self.exchange = exchange
        self.record = record
        self.question = question
        self.dialect = question.dialect
        self.passage = passage
        self.candidate = candidate
        self.secret = candidate.credential.secret
        self.body: Any = None  # relay.transport.body.UpstreamBody, once there are headers
        self.decoder: Decoder | None = None
        self.coding = ""  # a content coding that nobody here can undo
        self.ended = False  # the answer's end, or its failure, was seen
        self.said = False  # something of the answer itself came
        self._spoilt: TransportFailure | None = None  # raised once what was good before it has been read

    def begin(self, response: httpx.Response) -> None:
        """The headers came."""
        self.body = response.stream
        coding = value_of(response.headers, b"content-encoding").strip().lower()
        self.decoder = Decoder(coding, DECODED_LIMIT) if coding in KNOWN else None
        self.coding = coding[:40] if self.decoder is None and coding != "identity" else ""

    async def close(self) -> None:
        """Nothing more is read; a body that was not read whole closes its connection."""
        if self.body is not None:
            await self.body.aclose()

    async def read(self) -> bytes:
        """What the upstream sent next, decoded; empty at its proper end."""
        while True:
            if self._spoilt is not None:
                raise self._spoilt
            self.exchange.begin_read()
            chunk = await self.body.read()
            self.exchange.upstream_sent(len(chunk))
            if self.decoder is None:
                return chunk
            if not chunk:
                if not self.decoder.finished:
                    raise TransportFailure(Cause.TRUNCATED_BODY, f"the {self.decoder.coding} body was cut")
                return chunk
            try:
                decoded = self.decoder.feed(chunk)
            except (BadCompression, TooLarge) as error:
                self._spoilt = TransportFailure(Cause.BAD_COMPRESSION, str(error) or "the body inflates without end")
                decoded = error.decoded if isinstance(error, BadCompression) else b""
            if decoded:
                return decoded

    async def flow(self, sink: Sink) -> None:
        """Hands what comes to `sink` as long as it may go on so; then `read` tells what comes next."""
        if self.decoder is None and self._spoilt is None and sink.ready():
            self.exchange.begin_read()
            await self.body.flow(sink)

    def read_nowait(self) -> bytes:
        """What had come and nobody has read, decoded as far as it can be."""
        rest = self.body.read_nowait()
        if not rest:
            return b""
        self.exchange.upstream_sent(len(rest))
        try:
            return rest if self.decoder is None else self.decoder.feed(rest)
        except (BadCompression, TooLarge) as error:
            return getattr(error, "decoded", b"")

    def read_whole(self, body: bytes) -> bytes:
        """The whole answer, read, as the client is to have it."""
        exchange, answer = self.exchange, self.passage.answer
        try:
            told = self.passage.read_whole(body)
        except MalformedBody as error:
            raise AttemptFailed(Cause.MALFORMED_EVENT, str(error) or "the answer is not JSON", again=False) from None
        if answer.failure is not None:
            raise self.in_band(answer)
        exchange.first_event = exchange.loop.time()
        exchange.terminal_event = exchange.first_event
        self.learn_finish()
        # nothing but a count of what was written tells of a whole answer's content
        self.said = answer.usage is None or answer.usage.output is None
        self.note_emptiness()
        exchange.enter(Phase.FINISHING)
        return told

    def in_band(self, answer: Answer) -> AttemptFailed:
        """The failure of which the answer itself told."""
        said = answer.failure
        assert said is not None
        self.record.error_code = said.code or said.type
        message = self.scrubbed(said.message)
        failure = AttemptFailed(Cause.ERROR_EVENT, message)
        failure.status = said.status
        kind = None if self.passage.translates else said.type
        told = ClientError(said.status or 502, said.code or said.type or "error_event", message, kind)
        failure.body = orjson.dumps(self.dialect.error_body(told))
        return failure

    def scrubbed(self, text: str) -> str:
        """The text without the credential's secret, which upstreams are known to repeat."""
        return text.replace(self.secret, "[redacted]") if self.secret else text

    def learn_finish(self) -> None:
        """How the answer says that it ended."""
        answer = self.passage.answer
        if answer.finish is not None:
            self.exchange.finish = Outcome(answer.finish)
        elif answer.terminal:
            self.exchange.finish = Outcome.COMPLETED
        self.exchange.finish_reason = answer.finish_reason or ""
        upstream = self.candidate.upstream
        if answer.response_id and upstream.protocol == "openai-responses":
            chains.remember(answer.response_id, upstream.id, self.candidate.credential.id)

    def terminal(self, now: float) -> None:
        """The answer is over: nothing of it follows."""
        exchange = self.exchange
        self.ended = True
        exchange.terminal_event = now
        exchange.enter(Phase.FINISHING)
        self.learn_finish()
        exchange.block_terminal = self.passage.answer.failure is None
        self.note_emptiness()

    def note_emptiness(self) -> None:
        """An answer that ended properly without a word of content, and whose usage, if there is one, says so too."""
        usage = self.passage.answer.usage
        if self.question.main and not self.said and not (usage and usage.output):
            self.exchange.notes.add("empty-answer")

    def note_in_band(self) -> None:
        """Notes the failure of which the answer told, if it did."""
        failure = self.passage.answer.failure
        if failure is not None:
            self.record.error_code = failure.code or failure.type
            self.exchange.note(Cause.ERROR_EVENT, self.scrubbed(failure.message))
