"""What the crash test asks: every kind of request, in every kind of way that a client behaves."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum

import orjson

from tests.gateways import KEY

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"
ALL = (CHAT, RESPONSES, MESSAGES)


class Leaves(StrEnum):
    """When and how the client goes."""

    NEVER = "reads to the end"
    FIN = "closes in the middle"
    RESET = "resets in the middle"
    EARLY = "closes as soon as it has asked"
    SENDING = "closes while it sends"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of request. `model` is what the scripted upstream plays."""

    model: str
    weight: int = 1
    paths: tuple[str, ...] = ALL
    streamed: bool | None = None  # None: either
    leaves: Leaves = Leaves.NEVER
    key: str = KEY
    method: str = "POST"
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it is sent. `name` is the id that it gives itself."""

    name: str
    kind: Kind
    path: str
    streamed: bool
    body: bytes

    @property
    def key(self) -> str:
        return self.kind.key


KINDS = (
    Kind("ok", 30),
    Kind("ok,events=30,gap_ms=30", 12, streamed=True),
    Kind("tools", 3),
    Kind("reasoning", 3),
    Kind("length", 3),
    Kind("gzip", 2),
    Kind("big-event,bytes=300000", 2),
    Kind("usage-late", 2, streamed=True),
    Kind("late,seconds=0.5", 3),
    Kind("eof", 3),
    Kind("cut", 3),
    Kind("reset", 3),
    Kind("close-before-headers", 2),
    Kind("error-first", 2),
    Kind("error-later", 3, streamed=True),
    Kind("status,code=500", 2),
    Kind("status,code=429,retry_after=1", 2),
    Kind("html", 2),
    Kind("silent", 1),
    Kind("idle", 1, streamed=True),
    Kind("terminal-then-open,seconds=1", 2, streamed=True),
    Kind("closed-port", 2, (CHAT,)),
    Kind("ok,events=60,gap_ms=50", 6, streamed=True, leaves=Leaves.FIN),
    Kind("ok,events=60,gap_ms=50", 4, streamed=True, leaves=Leaves.RESET),
    Kind("late,seconds=1", 3, leaves=Leaves.EARLY),
    Kind("ok", 2, leaves=Leaves.SENDING),
    Kind("ok", 2, key="not-a-key"),
    Kind("ok", 1, body=b'{"model": '),
    Kind("ok", 2, ("/v1/embeddings", "/v1/messages/count_tokens"), streamed=False),
    Kind("", 2, ("/v1/models",), streamed=False, method="GET", body=b""),
)


def requests(count: int, dice: random.Random) -> list[Request]:
    """So many requests, the same for the same dice."""
    weights = [kind.weight for kind in KINDS]
    run = f"{dice.getrandbits(32):08x}"
    return [_request(f"crash-{run}-{number}", kind, dice) for number, kind in enumerate(dice.choices(KINDS, weights, k=count))]


def _request(name: str, kind: Kind, dice: random.Random) -> Request:
    streamed = dice.random() < 0.7 if kind.streamed is None else kind.streamed
    body = {"model": kind.model, "stream": streamed, "max_tokens": 9, "input": "Hi."}
    body["messages"] = [{"role": "user", "content": "Hi. " * dice.randrange(1, 400)}]
    return Request(name, kind, dice.choice(kind.paths), streamed, orjson.dumps(body) if kind.body is None else kind.body)
