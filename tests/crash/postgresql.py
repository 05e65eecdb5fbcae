"""A PostgreSQL of the test's own, which it may stop and start. PostgreSQL refuses to run as root, so then it is `nobody`'s."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from tests.gateways import free_port

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


class PostgreSQL:
    """One server below `folder`, with the database `postgres`."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"postgres://gateway@127.0.0.1:{self.port}/postgres"
        self.folder = folder
        self._user = "nobody" if os.geteuid() == 0 else None
        folder.mkdir(mode=0o700)
        if self._user:
            shutil.chown(folder, self._user)
        self._run("initdb", "--username=gateway", "--auth=trust", "--no-sync", "--no-instructions")
        self.start()

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-w", "-t", "30", "-o", options, "-l", str(self.folder / "log"), "start")

    def stop(self) -> None:
        """At once, whatever is connected."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        # Its output goes to no pipe: the server inherits it, and who reads the pipe would wait for the server's end.
        subprocess.run(
            [BINARIES[-1] / program, "-D", self.folder / "data", *arguments],
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
            cwd="/",
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=60,
        )
