"""Starts, first and later: what is made, what is kept, what is printed, and that instances take turns."""

import os
import re
import shlex
import stat
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.contrib.auth import get_user_model

from proxy_project.environment import SettingError
from relay import bootstrap
from relay.models import ClientKey, ConfigVersion, Credential, Route, Upstream
from tests.relay.rows import make_key, make_route, make_upstream

VARIABLES = ["ADMIN_USERNAME", "ADMIN_PASSWORD", "CLIENT_KEY", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY"]
ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.timeout(400)  # a busy machine takes a minute to start one process


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    settings.DATA_DIR = tmp_path
    settings.RELAY_CONFIG = ""


def start(demo_port: int | None = 4321) -> tuple[bool, str]:
    out = StringIO()
    prepared = bootstrap.prepare(demo_port, out)
    return prepared.demo, out.getvalue()


def upstreams_of(model: str) -> list[str]:
    return [step.upstream.name for step in Route.objects.get(model=model).steps.select_related("upstream")]


@pytest.mark.django_db
def test_a_first_start_makes_all_that_is_needed_and_prints_it_once(tmp_path: Path) -> None:
    demo, printed = start()
    assert demo
    (password,) = re.findall(r"password +(\S+)", printed)
    (key,) = re.findall(r"client key +(\S+)", printed)
    user = get_user_model()._default_manager.get(username="admin")
    assert user.is_superuser and user.check_password(password)
    assert ClientKey.known(key) is not None
    kept = tmp_path / "first-run.txt"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert password in kept.read_text() and key in kept.read_text()
    version = ConfigVersion.present()
    assert start() == (True, "")
    assert ConfigVersion.present() == version
    assert kept.read_text().count(key) == 2  # the key, and the line to paste


@pytest.mark.django_db
def test_the_line_to_paste_asks_the_demo_with_the_key() -> None:
    _, printed = start()
    (line,) = re.findall(r"^ +(curl .*)$", printed, re.M)
    words = shlex.split(line)
    assert words[:2] == ["curl", "-N"] and words[2] == f"http://127.0.0.1:{project.PORT}/v1/chat/completions"
    assert '"model": "demo"' in words[-1] and '"stream": true' in words[-1]
    assert re.fullmatch(r"Authorization: Bearer epk_\S{40}", words[4])


@pytest.mark.django_db
def test_the_line_to_paste_asks_for_no_glob(settings: Any, tmp_path: Path) -> None:
    settings.RELAY_CONFIG = str(tmp_path / "relay.toml")
    (tmp_path / "relay.toml").write_text(
        '[[upstream]]\nname = "mine"\nprotocol = "openai-chat"\nbase_url = "http://mine/v1"\n'
        '[[route]]\nmodel = "*"\nupstreams = ["mine"]\n'
    )
    assert '"model": "your-model"' in start()[1]


@pytest.mark.django_db
def test_what_was_given_is_used_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_USERNAME", "ines")
    monkeypatch.setenv("ADMIN_PASSWORD", "correct horse")
    monkeypatch.setenv("CLIENT_KEY", "any printable 'string' ✓")
    _, printed = start()
    user = get_user_model()._default_manager.get(username="ines")
    assert user.is_superuser and user.check_password("correct horse")
    assert ClientKey.known("any printable 'string' ✓") is not None
    assert "correct horse" not in printed and "printable" not in printed
    assert "$CLIENT_KEY" in printed


@pytest.mark.django_db
def test_what_is_there_is_never_overwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", "the first")
    monkeypatch.setenv("CLIENT_KEY", "k1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    start()
    ClientKey.objects.update(enabled=False)
    Upstream.objects.filter(name="openai").update(idle_timeout=5)
    monkeypatch.setenv("ADMIN_PASSWORD", "the second")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-2")
    _, printed = start()
    assert printed == ""
    assert get_user_model()._default_manager.get().check_password("the first")
    assert not ClientKey.objects.get().enabled
    assert Upstream.objects.get(name="openai").idle_timeout == 5
    assert {row.reveal() for row in Credential.objects.all()} == {"sk-1"}


@pytest.mark.django_db
def test_a_key_that_is_given_later_is_added_beside_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    monkeypatch.setenv("CLIENT_KEY", "later")
    start()
    assert sorted(row.label for row in ClientKey.objects.all()) == ["first", "first-2"]
    row = ClientKey.known("later")
    assert row is not None
    row.rotate()
    row.save()
    start()
    assert ClientKey.objects.count() == 2  # rotated away, and it stays so


@pytest.mark.django_db
def test_nothing_is_generated_where_there_is_an_administrator_and_a_key_already() -> None:
    get_user_model()._default_manager.create_superuser("someone", "", "pw")  # type: ignore[attr-defined]
    make_key()
    make_upstream("mine")
    assert start() == (False, "")


@pytest.mark.django_db
def test_each_api_key_makes_its_upstream_and_routes_and_no_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI", "ANTHROPIC", "GEMINI"):
        monkeypatch.setenv(f"{name}_API_KEY", f"key of {name}")
    demo, printed = start()
    assert not demo
    assert upstreams_of("gpt-*") == upstreams_of("o*") == ["openai", "openai-responses"]
    assert upstreams_of("claude-*") == ["anthropic"] and upstreams_of("gemini-*") == ["gemini"]
    assert Credential.objects.get(upstream__name="anthropic").reveal() == "key of ANTHROPIC"
    assert not Route.objects.filter(model="*").exists()
    for row in Upstream.objects.all():
        row.full_clean()
    assert "key of" not in printed


@pytest.mark.django_db
def test_the_demo_serves_each_protocol_and_follows_its_port() -> None:
    start(1111)
    start(2222)
    assert {(row.protocol, row.base_url) for row in Upstream.objects.all()} == {
        (protocol, "http://127.0.0.1:2222/v1") for protocol in ("openai-chat", "openai-responses", "anthropic")
    }
    assert upstreams_of("*") == upstreams_of("demo") == ["demo", "demo-responses", "demo-messages"]


@pytest.mark.django_db
def test_the_demo_leaves_when_a_real_upstream_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    start()
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    demo, _ = start()
    assert not demo
    assert [row.name for row in Upstream.objects.all()] == ["anthropic"]
    assert [row.model for row in Route.objects.all()] == ["claude-*"]


@pytest.mark.django_db
def test_an_upstream_of_ones_own_named_demo_is_left_alone() -> None:
    make_route("*", make_upstream("demo", base_url="http://mine/v1"))
    demo, _ = start()
    assert not demo
    assert Upstream.objects.get().base_url == "http://mine/v1"


@pytest.mark.django_db
def test_relay_config_is_applied_and_its_variables_make_no_upstream_of_their_own(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.RELAY_CONFIG = str(tmp_path / "relay.toml")
    (tmp_path / "relay.toml").write_text(
        '[[upstream]]\nname = "mine"\nprotocol = "openai-chat"\nbase_url = "http://mine/v1"\n'
        '[[upstream.credential]]\nlabel = "a"\nsecret_env = "OPENAI_API_KEY"\n'
        '[[client_key]]\nlabel = "laptop"\nkey = "k"\n'
    )
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    demo, printed = start()
    assert not demo
    assert [row.name for row in Upstream.objects.all()] == ["mine"]
    assert [row.label for row in ClientKey.objects.all()] == ["laptop"]
    assert "client key" not in printed and "password" in printed


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("CLIENT_KEY", "two\nlines", "CLIENT_KEY cannot be used: expected a printable text"),
        ("CLIENT_KEY", "  ", "CLIENT_KEY cannot be used"),
        ("GEMINI_API_KEY", "a\tb", "GEMINI_API_KEY cannot be used"),
        ("ADMIN_USERNAME", "no spaces please", "ADMIN_USERNAME is 'no spaces please'"),
        ("RELAY_CONFIG", "/absent/relay.toml", "/absent/relay.toml: cannot be read"),
    ],
)
def test_a_bad_setting_is_one_sentence_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(name, value)
    settings.RELAY_CONFIG = value if name == "RELAY_CONFIG" else ""
    with pytest.raises(SettingError, match=re.escape(sentence)) as refused:
        start()
    assert "two" not in str(refused.value)
    assert not get_user_model()._default_manager.exists() and not (tmp_path / "first-run.txt").exists()


START = "import django; django.setup(); from relay import bootstrap; print(bootstrap.prepare(4321).demo)"


def start_at_once(number: int, environment: dict[str, str]) -> list[str]:
    """So many processes, each a first start on the same empty database."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "proxy_project.settings",
        "LOG_LEVEL": "ERROR",
        **environment,
    }
    started = [
        subprocess.Popen([sys.executable, "-c", START], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(number)
    ]
    outputs = [process.communicate(timeout=180)[0] for process in started]
    assert [process.returncode for process in started] == [0] * number
    return outputs


def test_instances_that_start_at_once_on_sqlite_make_one_of_everything(tmp_path: Path) -> None:
    outputs = start_at_once(3, {"DATA_DIR": str(tmp_path), "DATABASE_URL": ""})
    assert sum("password" in output for output in outputs) == 1
    assert all(output.endswith("True\n") for output in outputs)
    assert (tmp_path / "first-run.txt").read_text().count("client key") == 1


@pytest.mark.skipif("postgres" not in os.environ.get("DATABASE_URL", ""), reason="needs PostgreSQL")
def test_instances_that_start_at_once_on_postgresql_make_one_of_everything(tmp_path: Path) -> None:
    import psycopg

    url = os.environ["DATABASE_URL"]
    name = f"epitaph_first_start_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            secret = {"SECRET_KEY": "one that all instances share", "DATABASE_URL": url.rsplit("/", 1)[0] + f"/{name}"}
            outputs = start_at_once(3, {**secret, "DATA_DIR": str(tmp_path)})
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert sum("password" in output for output in outputs) == 1


def test_a_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "proxy_project.settings",
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgres://nobody:hunter2@127.0.0.1:9/none",
    }
    code = (
        "import django; django.setup(); from relay import bootstrap\n"
        "from proxy_project.environment import SettingError\n"
        "try: bootstrap.prepare(1)\nexcept SettingError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180)
    assert done.stdout.startswith("DATABASE_URL: the database cannot be used: ") and done.stdout.count("\n") == 1
    assert "hunter2" not in done.stdout
