"""Invented requests, in the order in which they were received. Pure: a seed decides all of it.

The shares are those of a busy gateway: a few models and keys have most of the requests, nights are quiet, about three in
a hundred end badly, and what fails fails in streaks of the same few ways.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from relay.ending import CAUSES, Cause, Outcome, Phase

ABNORMAL_SHARE = 0.03
DAY = 86_400.0
MODELS = (
    ("gpt-5.1", "openai", "chat", 30),
    ("claude-sonnet-4-5", "anthropic", "messages", 26),
    ("gpt-5.1-mini", "openai", "responses", 16),
    ("claude-haiku-4-5", "anthropic", "messages", 10),
    ("gemini-2.5-flash", "gemini", "gemini", 7),
    ("gpt-4.1", "azure-west", "chat", 5),
    ("llama-3.3-70b", "vllm-2", "chat", 4),
    ("qwen3-32b", "vllm-1", "chat", 2),
)
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "gemini": "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
}
AGENTS = ("OpenAI/Python 2.8.1", "Anthropic/JS 0.62.0", "claude-cli/2.0.14", "python-httpx/0.28.1", "codex_cli_rs/0.44.0")
ENDINGS: tuple[tuple[Cause, Phase, int | None, str, int], ...] = (  # cause, phase, upstream status, detail, weight
    (Cause.FIN, Phase.STREAMING, 200, "", 300),
    (Cause.CLIENT_RESET, Phase.STREAMING, 200, "", 90),
    (Cause.FIN, Phase.WAITING, None, "", 60),
    (Cause.EOF, Phase.STREAMING, 200, "the body ended", 110),
    (Cause.RESET, Phase.STREAMING, 200, "connection reset by peer", 40),
    (Cause.ERROR_EVENT, Phase.STREAMING, 200, "Overloaded", 80),
    (Cause.RATE_LIMITED, Phase.WAITING, 429, "HTTP 429: Rate limit reached", 120),
    (Cause.OVERLOADED, Phase.WAITING, 529, "HTTP 529: Overloaded", 60),
    (Cause.HTTP_STATUS, Phase.WAITING, 500, "HTTP 500: The server had an error", 50),
    (Cause.HTTP_STATUS, Phase.WAITING, 503, "HTTP 503: Service unavailable", 30),
    (Cause.IDLE_TIMEOUT, Phase.STREAMING, 200, "no byte for 120.0 s", 40),
    (Cause.FIRST_BYTE_TIMEOUT, Phase.WAITING, None, "no byte for 60.0 s", 30),
    (Cause.CONNECT_REFUSED, Phase.CONNECTING, None, "connection refused", 25),
    (Cause.CONNECT_TIMEOUT, Phase.CONNECTING, None, "no connection within 10 s", 15),
    (Cause.AUTH_REJECTED, Phase.WAITING, 401, "HTTP 401: Incorrect API key provided", 12),
    (Cause.MALFORMED_EVENT, Phase.STREAMING, 200, "an event is not JSON", 8),
    (Cause.WRITE_TIMEOUT, Phase.STREAMING, 200, "the client read nothing for 60.0 s", 12),
    (Cause.DRAIN_DEADLINE, Phase.STREAMING, 200, "still open after 30 s of draining", 6),
    (Cause.CRASH, Phase.STREAMING, 200, "the process died", 2),
)


@dataclass(slots=True)
class Request:
    """One request and how it ended."""

    id: str  # UUIDv7 as 32 hex digits
    time: float  # epoch seconds
    model: str
    provider: str
    tag: str
    credential: str
    key: str
    agent: str
    outcome: Outcome
    cause: Cause | None
    phase: Phase
    fault: str
    detail: str
    upstream_status: int | None
    ttft: float  # ms
    duration: float  # ms
    input_tokens: int
    output_tokens: int
    chunks: int
    drill: bool

    @property
    def request_id(self) -> str:
        return f"req_{self.id}"


def when(part: float, days: float, until: float) -> float:
    """The time at which this part of all requests has come, with busy days and quiet nights."""
    wave = 0.7 / (2 * math.pi * max(days, 1.0))
    # The derivative stays above zero, so that the order does.
    return min(until - days * DAY * (1.0 - part - wave * math.sin(2 * math.pi * days * part)), until)


def moments(count: int, days: float, until: float) -> Iterator[float]:
    """`count` times within `days` before `until`, ascending."""
    last = 0.0
    for number in range(count):
        last = max(when((number + 0.5) / count, days, until), last)
        yield last


def requests(count: int, days: float, until: float, seed: int) -> Iterator[Request]:
    """`count` requests."""
    chance = random.Random(seed)  # noqa: S311 - invented traffic
    models, model_weights = MODELS, list(accumulate(row[3] for row in MODELS))
    endings, ending_weights = ENDINGS, list(accumulate(row[4] for row in ENDINGS))
    keys = [f"team-{number:02d}" for number in range(1, 41)]
    key_weights = list(accumulate(1 / (number + 1) for number in range(40)))
    for at in moments(count, days, until):
        model, provider, tag, _ = chance.choices(models, cum_weights=model_weights)[0]
        ttft = chance.lognormvariate(6.4, 0.6)
        output = int(chance.lognormvariate(5.2, 1.1)) + 1
        duration = ttft + output * chance.uniform(8, 24)
        cause: Cause | None = None
        status: int | None = 200
        phase, detail = Phase.FINISHING, ""
        outcome, fault = Outcome.COMPLETED, ""
        roll = chance.random()
        if roll < ABNORMAL_SHARE:
            cause, phase, status, detail, _ = chance.choices(endings, cum_weights=ending_weights)[0]
            rule = CAUSES[cause]
            outcome, fault = rule.outcome, rule.fault.value if rule.fault else ""
            duration *= chance.random()
        elif roll < ABNORMAL_SHARE + 0.02:
            outcome, detail = Outcome.INCOMPLETE, "length"
        yield Request(
            id=_uuid7(at, chance),
            time=at,
            model=model,
            provider=provider,
            tag=tag,
            credential="primary" if chance.random() < 0.8 else "second",
            key=chance.choices(keys, cum_weights=key_weights)[0],
            agent=AGENTS[int(chance.random() * len(AGENTS))],
            outcome=outcome,
            cause=cause,
            phase=phase,
            fault=fault,
            detail=detail,
            upstream_status=status,
            ttft=round(ttft, 3),
            duration=round(duration, 3),
            input_tokens=int(chance.lognormvariate(7.5, 1.3)) + 1,
            output_tokens=output,
            chunks=output // 2 + 1,
            drill=roll > 0.9995,
        )


def _uuid7(at: float, chance: random.Random) -> str:
    noise = chance.getrandbits(74)
    return f"{int(at * 1000):012x}7{noise >> 62:03x}{0x8 | (noise >> 60 & 3):x}{noise & (1 << 60) - 1:015x}"
