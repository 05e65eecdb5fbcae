"""Settings that are read from the environment, and the sentence for a mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy_project import environment
from proxy_project.environment import SettingError


@pytest.mark.parametrize(("given", "currency"), [("", "USD"), ("EUR", "EUR"), ("chf", "CHF")])
def test_a_currency_is_three_letters(monkeypatch: pytest.MonkeyPatch, given: str, currency: str) -> None:
    monkeypatch.setenv("CURRENCY", given)
    assert environment.currency() == currency


@pytest.mark.parametrize("given", ["$", "euro", "E R", "US1", "ÄÖÜ"])
def test_what_is_no_currency_is_refused_with_what_was_expected(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("CURRENCY", given)
    with pytest.raises(SettingError) as refused:
        environment.currency()
    assert str(refused.value) == f"CURRENCY is {given!r}; expected three letters, such as USD or EUR."


def refused_start(folder: Path, name: str, given: str) -> str:
    """What a command says to this setting on the first start; it must end with exit code 2 and leave nothing behind."""
    setting = {"DATA_DIR": str(folder / "data"), "DATABASE_URL": "", name: given}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=environment.BASE_DIR,
        env={**os.environ, **setting},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stderr
    assert not any(folder.iterdir())
    return done.stderr


@pytest.mark.parametrize("url", ["mysql://x", "oracle://u:hunter2@h/x", "postgres://host", "nonsense"])
def test_a_database_of_another_kind_is_one_sentence_before_anything_is_made(tmp_path: Path, url: str) -> None:
    sentence = "epitaph: DATABASE_URL cannot be used; expected sqlite:///file or postgres://user@host/name.\n"
    assert refused_start(tmp_path, "DATABASE_URL", url) == sentence


def test_a_short_secret_key_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    assert refused_start(tmp_path, "SECRET_KEY", "short").startswith("epitaph: SECRET_KEY is shorter than 16 characters")


@pytest.mark.parametrize(
    "url",
    ["", "sqlite:////srv/x.sqlite3", "sqlite://:memory:", "postgresql:///name", "postgres://u@h/n", "postgres://?service=x"],
)
def test_a_database_that_we_serve_from_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    assert environment.database(tmp_path)["ENGINE"] in environment.ENGINES


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("TRUSTED_PROXIES", "127.0.0.1, foo", "TRUSTED_PROXIES has 'foo'; expected IP addresses"),
        ("TRUSTED_PROXIES", "10.0.0.0/80", "TRUSTED_PROXIES has '10.0.0.0/80'; expected IP addresses or networks"),
        ("ALLOWED_HOSTS", "http://x", "ALLOWED_HOSTS has 'http://x'; expected host names without scheme and port"),
        ("ALLOWED_HOSTS", "x:8000", "ALLOWED_HOSTS has 'x:8000'; expected host names without scheme and port"),
        ("CORS_ORIGINS", "foo", "CORS_ORIGINS has 'foo'; expected origins with a scheme"),
        ("CORS_ORIGINS", "https://x/path", "CORS_ORIGINS has 'https://x/path'; expected origins with a scheme"),
        ("CSRF_TRUSTED_ORIGINS", "foo", "CSRF_TRUSTED_ORIGINS has 'foo'; expected origins with a scheme"),
        ("CSRF_TRUSTED_ORIGINS", "*", "CSRF_TRUSTED_ORIGINS has '*'; expected origins with a scheme"),
        ("REDIS_URL", "foo", "REDIS_URL cannot be used; expected redis://host:6379/0"),
        ("REDIS_URL", "redis://:hunter2@host:port", "REDIS_URL cannot be used; expected redis://host:6379/0"),
    ],
)
def test_what_would_never_match_is_refused_in_one_sentence(tmp_path: Path, name: str, given: str, expected: str) -> None:
    said = refused_start(tmp_path, name, given)
    assert said.startswith(f"epitaph: {expected}") and said.count("\n") == 1 and "hunter2" not in said


def test_what_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, given in {
        "TRUSTED_PROXIES": "127.0.0.1, ::1,fe80::1%eth0, ::ffff:10.0.0.1",
        "ALLOWED_HOSTS": "*, app.example,.example.com, [::1], xn--bcher-kva.example, my_service",
        "CORS_ORIGINS": "*, null, file://, https://app.example:8443, capacitor://localhost, http://[::1]:3000",
        "CSRF_TRUSTED_ORIGINS": "https://*.example.com, http://localhost:8000/",
    }.items():
        monkeypatch.setenv(name, given)
    words = environment.words
    assert list(environment.addresses("TRUSTED_PROXIES").given) == words("TRUSTED_PROXIES")
    assert environment.hosts("ALLOWED_HOSTS") == words("ALLOWED_HOSTS")
    assert environment.origins("CORS_ORIGINS", everyone=True) == words("CORS_ORIGINS")
    assert environment.origins("CSRF_TRUSTED_ORIGINS") == ["https://*.example.com", "http://localhost:8000"]
    for url in ("", "redis://127.0.0.1:6379/0", "rediss://:secret@host/1", "unix:///run/redis.sock?db=1", "redis://"):
        monkeypatch.setenv("REDIS_URL", url)
        assert environment.redis_url() == url


@pytest.mark.parametrize(
    ("trusted", "peer", "among"),
    [
        ("", "127.0.0.1", False),
        ("10.0.0.7", "10.0.0.7", True),
        ("10.0.0.7", "10.0.0.8", False),
        ("10.0.0.0/8,192.0.2.1", "10.255.0.1", True),
        ("10.0.0.0/8,192.0.2.1", "11.0.0.1", False),
        ("10.0.0.3/8", "10.1.1.1", True),
        ("10.0.0.0/8", "::ffff:10.0.0.7", True),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "10.0.0.1", False),
        ("fe80::1%eth0", "fe80::1%eth0", True),
        ("fe80::1%eth0", "fe80::1%eth1", False),
        ("10.0.0.0/8", "", False),
    ],
)
def test_a_proxy_is_trusted_by_its_address_or_its_network(
    monkeypatch: pytest.MonkeyPatch, trusted: str, peer: str, among: bool
) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", trusted)
    assert (peer in environment.addresses("TRUSTED_PROXIES")) is among
