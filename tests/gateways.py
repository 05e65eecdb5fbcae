"""A whole gateway as processes, the configurations that tests give it, and the management API to ask what it recorded."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import tomli_w

from tests import prepared

ROOT = Path(__file__).resolve().parents[1]
KEY, TOKEN = "test-client-key-0001", "test-admin-token-0001"
CLOSED = "http://127.0.0.1:1"  # where nobody listens
# Each protocol's upstream in the usual configuration, and what its address ends with.
PROTOCOLS = {
    "chat": ("openai-chat", "/v1"),
    "responses": ("openai-responses", "/v1"),
    "messages": ("anthropic", "/v1"),
    "gemini": ("gemini", "/v1beta"),
    "ollama": ("ollama", ""),
}
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)
Table = dict[str, Any]


def upstream(
    name: str, base_url: str, protocol: str = "openai-chat", credentials: Iterable[Table] | None = None, **more: Any
) -> Table:
    """An upstream, with one credential of its own name unless others are given."""
    given = [credential(name)] if credentials is None else list(credentials)
    return {"name": name, "protocol": protocol, "base_url": base_url, **more} | ({"credential": given} if given else {})


def credential(label: str, **more: Any) -> Table:
    return {"label": label, "secret": f"upstream-secret-{label}", **more}


def route(model: str, *upstreams: str, **more: Any) -> Table:
    return {"model": model, "upstreams": list(upstreams), **more}


def configuration(
    upstreams: Iterable[Table], routes: Iterable[Table], client_keys: Iterable[Table] = (), prices: Iterable[Table] = ()
) -> str:
    """The text of a RELAY_CONFIG."""
    tables = {"upstream": upstreams, "route": routes, "client_key": client_keys, "price": prices}
    return tomli_w.dumps({name: rows for name, given in tables.items() if (rows := list(given))})


def usual(
    url: str,
    patience: int = 4,
    write_timeout: int = 3,
    upstreams: Iterable[Table] = (),
    routes: Iterable[Table] = (),
    client_keys: Iterable[Table] = (),
) -> str:
    """The configuration of most tests: an upstream of every protocol at `url`, which is waited for `patience` seconds, and more.

    What is refused cools, and what cools is asked last: so refusals have upstreams of their own, and no test meets another's.
    """
    waits = {"first_byte_timeout": patience, "idle_timeout": patience, "write_timeout": write_timeout}
    every = {name: (url + path, protocol) for name, (protocol, path) in PROTOCOLS.items()}
    keyless: Table = {"ollama": ()}
    usual_ones = [upstream(name, *of, keyless.get(name), **waits) for name, of in every.items()]
    usual_ones += [upstream(f"refusing-{name}", *of, keyless.get(name)) for name, of in every.items()]
    usual_ones += [
        upstream("socket", url.replace("http", "ws") + "/v1", "openai-responses", **waits),
        upstream("closed", f"{CLOSED}/v1"),
        upstream("pair", f"{url}/v1", credentials=[credential("pair-a"), credential("pair-b")]),
    ]
    # One attempt: the client's own protocol comes first; the others would be asked in translation.
    usual_routes = [
        route("status*,pair", "pair"),
        route("status*", *(f"refusing-{name}" for name in every), max_attempts=1),
        route("*,pair", "pair"),
        route("*", *every, max_attempts=1),
        route("closed-port", "closed"),
    ]
    return configuration([*usual_ones, *upstreams], [*routes, *usual_routes], client_keys)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


class Gateway:
    """One `manage.py serve`, and what the tests ask of it."""

    program = "manage.py"

    def __init__(self, folder: Path, config: str, first_start: bool = False, **settings: str) -> None:
        """With `first_start` it makes its database itself."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = folder / "data"
        (folder / "relay.toml").write_text(config)
        self.output = folder / "output.log"
        names = ("PATH", "HOME", "LANG", "DATABASE_URL")
        self.environment = {name: os.environ[name] for name in names if name in os.environ} | {
            "DATA_DIR": str(self.data),
            "PORT": str(self.port),
            "CLIENT_KEY": KEY,
            "ADMIN_TOKEN": TOKEN,
            "ADMIN_PASSWORD": prepared.PASSWORD,
            "RELAY_CONFIG": str(folder / "relay.toml"),
            "DRAIN_SECONDS": "1",
            "CORS_ORIGINS": "https://app.example",
            "TRUSTED_PROXIES": "127.0.0.1",
            **settings,
        }
        self.api = httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {TOKEN}"}, timeout=10)
        if not (first_start or "DATABASE_URL" in self.environment or self.data.exists()):
            prepared.copy_into(self.data)
        self.start()

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, self.program, "serve"],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_die_with_the_tests,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                if self.api.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """`kill -9` of everything."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def stop(self, seconds: float = 20) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self) -> None:
        """Nothing of it is left, whatever its test did to it."""
        if self.process.poll() is None:
            self.kill()
        self.api.close()

    def entry(self, request_id: str, seconds: float = 30.0) -> dict[str, Any]:
        """The audit entry of a request, as soon as it has ended."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.api.get(f"/api/audit/entries/{request_id}")
            if answer.status_code == 200 and answer.json()["outcome"]:
                return answer.json()
            assert time.monotonic() < deadline, f"{answer.status_code}: {answer.text}"
            time.sleep(0.05)

    def events(self, request_id: str) -> list[dict[str, Any]]:
        return self.api.get("/api/errors/events", params={"request_id": request_id}).json()["items"]


def _die_with_the_tests() -> None:
    """In the gateway's process before it begins: however pytest ends, the kernel ends this too, and its children with it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
