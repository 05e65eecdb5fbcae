"""The bench's client: a process that asks over bare sockets, as the official SDK does, and checks every answer's end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import uvloop

KEY = "bench-client-key-0001"
QUESTION = "Tell me, in a few plain words, what a gateway between clients and language models is good for. " * 5
HEAD = (
    "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: identity\r\nConnection: keep-alive\r\n"
    "Accept: application/json\r\nContent-Type: application/json\r\nUser-Agent: OpenAI/Python 2.8.1\r\n"
    "X-Stainless-Lang: python\r\nX-Stainless-Package-Version: 2.8.1\r\nX-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\n"
    "X-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.11.9\r\nX-Stainless-Async: false\r\n"
    "x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\n"
    f"Authorization: Bearer {KEY}\r\nContent-Length: %d\r\n\r\n"
)
# What a protocol is asked at, what its body says besides, and how an answer ends.
PROTOCOLS = {
    "chat": ("/v1/chat/completions", b"", b"data: [DONE]\n\n\r\n0\r\n\r\n"),
    "messages": ("/v1/messages", b'"max_tokens":999,', b'data: {"type":"message_stop"}\n\n\r\n0\r\n\r\n'),
}
SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Load:
    """`requests` for `model`, `at_once` of them at a time; `hold`: until the answer begins, and then kept open."""

    port: int
    model: str
    requests: int
    at_once: int
    hold: bool = False
    protocol: str = "chat"


def request(model: str, protocol: str) -> bytes:
    path, more, _ = PROTOCOLS[protocol]
    said = b'"messages":[{"role":"user","content":"%s"}]' % QUESTION.encode()
    body = b'{"model":"%s","stream":true,%b%b}' % (model.encode(), more, said)
    return (HEAD % (path, len(body))).encode() + body


class Asking(asyncio.Protocol):
    """One connection, which asks again as soon as it was answered, until `left` is used up."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tail = b""
        self.held = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.tail = b""
        if self.run.left:
            self.run.left -= 1
            self.transport.write(self.run.request)
        else:
            self.run.connection_done(self.transport)

    def data_received(self, data: bytes) -> None:
        self.run.reads += 1
        if not self.tail and not data.startswith(b"HTTP/1.1 200"):
            self.run.fail(f"answered with {data[:300]!r}")
        self.tail = (self.tail + data)[-64:]
        if self.run.load.hold:
            if not self.held and b"word" in data:
                self.held = True
                self.run.connection_done(self.transport)
        elif self.tail.endswith(self.run.end):
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.run.finished.done():
            self.run.fail(f"the connection closed in the middle of an answer: {exc!r}")


class Run:
    """One slice of load."""

    def __init__(self, load: Load, finished: asyncio.Future[None]) -> None:
        self.load = load
        self.finished = finished
        self.left = load.requests
        self.open = load.at_once
        self.reads = 0
        self.request = request(load.model, load.protocol)
        self.end = PROTOCOLS[load.protocol][2]
        self.transports: list[Any] = []

    def connection_done(self, transport: Any) -> None:
        self.transports.append(transport)
        self.open -= 1
        if not self.open and not self.finished.done():
            self.finished.set_result(None)

    def fail(self, why: str) -> None:
        if not self.finished.done():
            self.finished.set_exception(RuntimeError(why))

    async def play(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(self.load.at_once):
            await loop.create_connection(lambda: Asking(self), "127.0.0.1", self.load.port)
        await asyncio.wait_for(self.finished, SECONDS)

    def close(self) -> None:
        for transport in self.transports:
            transport.abort()


def serve(told: Connection) -> None:
    """The life of the client's process: takes a `Load`, answers with the number of reads, or with what went wrong.

    A load that holds is kept open until anything else comes; that is answered with its reads.
    """

    async def forever() -> None:
        loop = asyncio.get_running_loop()
        while True:
            load: Load = await loop.run_in_executor(None, told.recv)
            run = Run(load, loop.create_future())
            try:
                await run.play()
                told.send(run.reads)
                if load.hold:
                    await loop.run_in_executor(None, told.recv)
                    run.close()
                    told.send(run.reads)
                else:
                    run.close()
            except Exception as error:
                told.send(f"{type(error).__name__}: {error}")

    uvloop.run(forever())
