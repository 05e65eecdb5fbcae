"""`manage.py drill` against a running gateway: right verdicts are called right, its records are marked, and no figure moves."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from relay.rehearsal.server import FaultServer
from tests.gateways import Gateway, free_port, usual

pytestmark = pytest.mark.gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with FaultServer().run_in_thread() as upstream:
        folder = tmp_path_factory.mktemp("drilled")
        running = Gateway(folder, usual(upstream.url))
        yield running
        assert upstream.log() == [], "a rehearsal went to a configured upstream"
        running.stop()
        running.api.close()


def drill(gateway: Gateway, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "drill", *arguments],
        cwd=settings.BASE_DIR,
        env={**gateway.environment, **environment},
        capture_output=True,
        text=True,
        timeout=100,
    )


def rows(gateway: Gateway, query: str) -> list[Any]:
    with closing(sqlite3.connect(gateway.data / "epitaph.sqlite3", timeout=20)) as database:
        return database.execute(query).fetchall()


EXPECTED = {
    "eof": "recorded  upstream-premature / eof / upstream, answered 200",
    "port-closed": "recorded  upstream-error / connect-refused / upstream, answered 502",
    "saved-401": "recorded  completed / no cause / no fault, answered 200",
    "left-mid-stream-fin": "recorded  client-abort / fin / client, answered 200",
    "bad-key": "recorded  rejected / bad-key / client, answered 401",
    "forbidden-model": "recorded  rejected / forbidden-model / client, answered 403",
    "unknown-model": "recorded  rejected / no-route / client, answered 404",
    "switched-off": "recorded  rejected / no-upstream-available / operator, answered 503",
}


def test_rows_are_rehearsed_in_each_protocol_and_said_where_to_look(gateway: Gateway) -> None:
    done = drill(gateway, *EXPECTED)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WRONG" not in done.stdout
    found = done.stdout.split("right  ")[1:]
    for name, says in EXPECTED.items():
        mine = [text for text in found if text.startswith(f"{name} (")]
        assert len(mine) >= 3, name
        assert all(says in text for text in mine)
    address = f"http://127.0.0.1:{gateway.port}/admin/auditlog/auditentry/"
    for text in found:
        pk = text.partition(address)[2].partition("/")[0]
        assert rows(gateway, f"SELECT drill FROM auditlog_auditentry WHERE id = '{pk.replace('-', '')}'") == [(1,)]


def test_what_was_rehearsed_is_marked_and_in_no_group_and_no_figure(gateway: Gateway) -> None:
    assert drill(gateway, "reset").returncode == 0
    assert rows(gateway, "SELECT count(*) FROM auditlog_auditentry WHERE NOT drill") == [(0,)]
    assert rows(gateway, "SELECT count(*) FROM errorlog_errorevent WHERE NOT drill OR group_id IS NOT NULL") == [(0,)]
    assert rows(gateway, "SELECT count(*) FROM errorlog_errorevent") > [(0,)]
    for table in ("errorlog_errorgroup", "auditlog_hourlycount"):
        assert rows(gateway, f"SELECT count(*) FROM {table}") == [(0,)]
    assert "epitaph_endings_total{" not in gateway.api.get("/metrics").text
    assert gateway.api.get("/api/errors/count").json() == {"total": 0, "unread": 0}
    (evidence,) = rows(gateway, "SELECT evidence FROM auditlog_auditentry WHERE cause = 'reset' LIMIT 1")[0]
    assert json.loads(evidence)["provider"] == "drill"


def test_a_gateway_of_other_settings_is_not_rehearsed_on(gateway: Gateway, tmp_path: Path) -> None:
    other = drill(gateway, "eof", SECRET_KEY="another-secret-key-of-32-characters")
    assert other.returncode == 1
    assert "is not the one of these settings" in other.stderr
    assert "outcome is rejected, expected completed" in other.stderr


def test_nobody_there_and_no_such_row_are_said_in_words(gateway: Gateway) -> None:
    away = drill(gateway, "eof", "--port", str(free_port()))
    assert away.returncode == 1
    assert "no gateway at 127.0.0.1:" in away.stderr
    unknown = drill(gateway, "no-such-row")
    assert unknown.returncode == 1
    assert "there is no row 'no-such-row'" in unknown.stderr


def test_the_list_names_each_row_with_what_is_expected(gateway: Gateway) -> None:
    listed = drill(gateway, "--list").stdout
    assert "eof-bare" in listed
    assert "upstream-premature / eof / upstream, answered 200" in listed
