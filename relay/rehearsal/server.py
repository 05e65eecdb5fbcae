"""The scripted upstream as a server: in an event loop, in a thread for tests, or on a ready-bound socket for the demo.

`GET /__log` tells what reached it, `POST /__log/clear` forgets that. A path part `~<script>` overrides the model's
script, so that two upstreams of one route, which are asked for the same model, can behave differently: `http://host:port/~status,code=503/v1`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
import signal
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict
from urllib.parse import unquote

import orjson

from .blob import PATH as BLOB
from .blob import blob
from .chat import Chat
from .connection import Connection
from .dialect import Dialect
from .gemini import Gemini, GeminiArray
from .http1 import Request
from .ledger import Ended, Ledger, Record
from .messages import Messages
from .ollama import OllamaChat, OllamaGenerate
from .responses import Responses
from .scenarios import SCENARIOS
from .scene import Scene
from .script import PLAIN, Script, read_script
from .steps import JSON_TYPE, Framing, Head, Steps
from .websocket import METHOD

DIALECTS: tuple[Dialect, ...] = (
    Chat(),
    Responses(),
    Messages(),
    Gemini(),
    GeminiArray(),
    OllamaChat(),
    OllamaGenerate(),
)

COUNTS: dict[str, tuple[str, dict[str, object]]] = {  # by the ending of the path
    ":countTokens": ("gemini", {"totalTokens": 7}),
    "/messages/count_tokens": ("anthropic", {"input_tokens": 7}),
    "/responses/input_tokens": ("openai-responses", {"object": "response.input_tokens", "input_tokens": 7}),
}
KEY_HEADERS = ("authorization", "x-api-key", "x-goog-api-key")


class FaultServer:
    """Listens on `host`:`port` (0: any free one). `protocol` limits it to one; the demo is slow and forgetful."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        protocol: str | None = None,
        demo: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.host, self.port = host, port
        self._dialects = [item for item in DIALECTS if protocol in (None, item.name)]
        self._demo = demo
        self._tls = tls
        self._ledger = Ledger(contents=not demo)
        self._numbers = itertools.count(1)
        self._identities = itertools.count(1)
        self._run = secrets.token_hex(3)
        self._played: Counter[str] = Counter()  # how often a script with `times=` was played
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    def log(self) -> list[Record]:
        """What reached it so far, oldest first; from any thread."""
        return self._ledger.records()

    def clear_log(self) -> None:
        self._ledger.clear()
        self._played.clear()

    def wait_log(self, condition: Callable[[list[Record]], bool], seconds: float = 3.0) -> list[Record]:
        """The log as soon as it fulfils `condition`; from another thread than the server's."""
        deadline = time.monotonic() + seconds
        while not condition(found := self.log()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds} s: {found}")
            time.sleep(0.005)
        return found

    # Running

    async def start(self, sock: socket.socket | None = None) -> int:
        """Begins to listen, on `sock` when there is one, and returns the port."""
        loop = asyncio.get_running_loop()
        if sock is not None:
            self._server = await loop.create_server(self._connect, sock=sock, ssl=self._tls)
        else:
            self._server = await loop.create_server(self._connect, self.host, self.port, ssl=self._tls)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        return self.port

    async def stop(self) -> None:
        """Stops listening and aborts what is open."""
        if self._server is not None:
            self._server.close()
        open_now = [connection for connection in self._connections if connection.made]
        for connection in open_now:
            connection.abort()
        await asyncio.gather(*(connection.task for connection in open_now), return_exceptions=True)

    @contextlib.contextmanager
    def run_in_thread(self) -> Iterator[FaultServer]:
        """Runs in an event loop and thread of its own for the time of the `with` block."""
        started = threading.Event()
        loop = asyncio.new_event_loop()

        def run() -> None:
            asyncio.set_event_loop(loop)
            loop.run_until_complete(self.start())
            started.set()
            loop.run_forever()
            loop.run_until_complete(self.stop())
            loop.close()

        thread = threading.Thread(target=run, name="fault-server", daemon=True)
        thread.start()
        if not started.wait(10):
            raise RuntimeError("the fault server did not start")
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)

    @classmethod
    def serve_socket(cls, sock: socket.socket, *, protocol: str | None = None, demo: bool = True) -> None:
        """Serves on a socket that is bound already until SIGTERM or SIGINT: the whole life of a child process."""

        async def serve() -> None:
            server = cls(protocol=protocol, demo=demo)
            await server.start(sock)
            await server.until_signal()

        asyncio.run(serve())

    async def until_signal(self) -> None:
        """Serves until SIGTERM or SIGINT, then stops."""
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        await stopped.wait()
        await self.stop()

    # Requests

    def _connect(self) -> Connection:
        connection = Connection(next(self._numbers), self._answer, self._connections.discard)
        self._connections.add(connection)
        return connection

    def _answer(self, request: Request, connection: Connection) -> tuple[Record | None, Steps]:
        if request.path.endswith("/__log"):
            return None, _json([asdict(record) for record in self.log()])
        if request.path.endswith("/__log/clear"):
            self.clear_log()
            return None, _json({"cleared": True})
        record = self._ledger.open(request, connection.fate, connection.ordinal)
        if request.method == "GET" and request.path.rstrip("/").endswith("/models"):
            return record, _json(_models())
        counted = next((answer for ending, answer in COUNTS.items() if request.path.endswith(ending)), None)
        if counted is not None and counted[0] in (item.name for item in self._dialects):
            return record, self._count(request, *counted)
        if request.path.endswith(BLOB):
            return record, blob(request)
        dialect = next((item for item in self._dialects if item.serves(request)), None)
        if request.method not in ("POST", METHOD) or dialect is None:
            return record, _echo(request)
        return record, self._play(request, dialect, connection, record)

    def _count(self, request: Request, protocol: str, answer: dict[str, object]) -> Steps:
        """A count of seven tokens; or the error status that the model's script names."""
        dialect = next(item for item in self._dialects if item.name == protocol)
        body = _object(request.body)
        script = self._script(request, dialect.model(request, body))
        if script.scenario != "status":
            return _json(answer)
        return SCENARIOS["status"].play(Scene(script, dialect, request, body, identity="count", now=int(time.time())))

    def _play(self, request: Request, dialect: Dialect, connection: Connection, record: Record) -> Steps:
        body = _object(request.body)
        record.model = dialect.model(request, body)
        script = self._script(request, record.model)
        record.scenario = script.scenario
        scene = Scene(
            script,
            dialect,
            request,
            body,
            identity=f"{self._run}{next(self._identities):06x}",
            now=int(time.time()),
            ordinal=connection.ordinal,
            demo=self._demo,
        )
        record.stream = scene.streamed
        return SCENARIOS[script.scenario].play(scene)

    def _script(self, request: Request, model: str) -> Script:
        """The script of this request; `times=N` ends it after N requests, `for_key=` keeps it to one credential."""
        override = next((part[1:] for part in unquote(request.path).split("/") if part.startswith("~")), None)
        text = override if override is not None else model
        script = read_script(text, SCENARIOS)
        key = script.text("for_key")
        sent = next((request.headers[name] for name in KEY_HEADERS if name in request.headers), "")
        if key and not sent.endswith(key):
            return Script(PLAIN)
        self._played[text] += "times" in script.parameters
        if self._played[text] > script.count("times", self._played[text]):
            return Script(PLAIN)
        return script


def _object(body: bytes) -> dict[str, object]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _json(value: object, status: int = 200) -> Steps:
    data = orjson.dumps(value)
    yield Head(status, JSON_TYPE, Framing.LENGTH, len(data))
    yield data


def _models() -> dict[str, object]:
    rows = [
        {"id": name, "object": "model", "type": "model", "display_name": name, "created": 0, "owned_by": "rehearsal"}
        for name in SCENARIOS
    ]
    return {"object": "list", "data": rows, "has_more": False}


def _echo(request: Request) -> Steps:
    """What came, for paths that no scenario is about."""
    return _json(
        {
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "body": request.body.decode("utf-8", "replace"),
        }
    )


__all__ = ["DIALECTS", "Ended", "FaultServer", "Record"]
