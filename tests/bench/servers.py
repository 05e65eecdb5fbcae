"""The servers that are compared: each a process, or a tree of them, between the bench's client and its upstream."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from tests import gateways
from tests.bench.client import KEY
from tests.bench.processes import children, tree
from tests.gateways import free_port

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS, SETTLE_SECONDS = 60.0, 60.0


class Server:
    """One server that runs. `worker` are the processes that carry the streams, `whole` all of its processes."""

    name = ""
    root = ROOT

    def __init__(self, folder: Path, command: list[str], environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.output = folder / f"{self.name.replace(' ', '-')}.log"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [item.replace("{port}", str(self.port)) for item in command],
                cwd=self.root,
                env={**os.environ, **{k: v.replace("{port}", str(self.port)) for k, v in (environment or {}).items()}},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start:\n{self.output.read_text()[-3000:]}")
            time.sleep(0.05)
        self.whole = tree(self.process.pid)
        self.worker = self.workers()

    def answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def workers(self) -> list[int]:
        return [self.process.pid]

    def settle(self, requests: int) -> None:
        """Returns when all that the `requests` so far left to do is done."""

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)


class Bare(Server):
    name = "bare"

    def __init__(self, folder: Path, upstream: int) -> None:
        super().__init__(folder, [sys.executable, "-m", "tests.bench.bare", "{port}", str(upstream)])


class Nginx(Server):
    name = "nginx"
    CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    keepalive_requests 1000000;
    upstream answers {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://answers; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffering off; proxy_read_timeout 600s;
        }}
    }}
}}
"""

    def __init__(self, folder: Path, upstream: int) -> None:
        self.upstream = upstream
        path = folder / "nginx.conf"
        port = free_port()
        path.write_text(self.CONFIG.format(folder=folder, upstream=upstream, port=port))
        self.given = port
        super().__init__(folder, [self.program() or "nginx", "-p", str(folder), "-c", str(path)])

    @staticmethod
    def program() -> str | None:
        return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")

    def answers(self) -> bool:
        self.port = self.given
        return super().answers() and bool(children(self.process.pid))

    def workers(self) -> list[int]:
        return children(self.process.pid)


class Gateway(Server):
    """`manage.py serve` with one worker, on a database of its own."""

    name = "epitaph"

    def __init__(self, folder: Path, upstream: int, root: Path = ROOT) -> None:
        if root != ROOT:
            self.root, self.name = root, root.name
        self.data = folder / f"data-{self.name}"
        patient = {"first_byte_timeout": 600, "idle_timeout": 600, "stalled_timeout": 600}
        bench = gateways.upstream("bench", f"http://127.0.0.1:{upstream}/v1", **patient)
        (folder / "bench.toml").write_text(gateways.configuration([bench], [gateways.route("*", "bench")]))
        settings = {
            "DATA_DIR": str(self.data),
            "PORT": "{port}",
            "WORKERS": "1",
            "CLIENT_KEY": KEY,
            "ADMIN_PASSWORD": "a-password-for-the-bench",
            "RELAY_CONFIG": str(folder / "bench.toml"),
            "DRAIN_SECONDS": "1",
            "DATABASE_URL": f"sqlite:///{self.data / 'epitaph.sqlite3'}",
        }
        super().__init__(folder, [sys.executable, "manage.py", "serve"], settings)
        self.before = self.rows()

    def answers(self) -> bool:
        # the parent listens before it has prepared the database, so that only an answer says that a worker is there
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.settimeout(5)
                sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                return sock.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def workers(self) -> list[int]:
        """The parent's first child; the shipper is its second."""
        return children(self.process.pid)[:1]

    def rows(self) -> int:
        with sqlite3.connect(f"file:{self.data / 'epitaph.sqlite3'}?mode=ro", uri=True, timeout=20) as connection:
            return connection.execute("SELECT count(*) FROM auditlog_auditentry WHERE outcome IS NOT NULL").fetchone()[0]

    def settle(self, requests: int) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.rows() - self.before < requests:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{requests} requests were made, and only {self.rows() - self.before} have their row")
            time.sleep(0.05)
