"""RELAY_CONFIG: what it makes of rows, and the sentence that each mistake gets while the rows stay as they were."""

import os
import subprocess
import sys
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from relay import config, vault
from relay.models import ClientKey, ConfigVersion, Credential, Price, Route, Upstream
from tests.gateways import ROOT
from tests.relay.rows import make_key, make_route, make_upstream

WHOLE = """
[[upstream]]
name = "openai"
protocol = "openai-chat"
base_url = "https://api.openai.com/v1"
connect_timeout = 10
idle_timeout = 12.5
commit_after = 0
ask_for_usage = false
proxy = "http://proxy.example:3128"
[[upstream.credential]]
label = "team-a"
secret_env = "TEAM_A"
[[upstream.credential]]
label = "team-b"
secret = "sk-b"
enabled = false
max_concurrency = 8
proxy = "http://other.example:3128"

[[upstream]]
name = "local"
protocol = "ollama"
base_url = "http://127.0.0.1:11434"

[[route]]
model = "gpt-*"
upstreams = ["openai", "local"]
max_attempts = 2
strategy = "round-robin"
weights = {openai = 3}
defaults = {temperature = 0.2, metadata = {team = "a"}}
overrides = {store = false}

[[route]]
model = "small"
upstreams = ["local"]
upstream_model = "llama3.2"

[[client_key]]
label = "laptop"
key_env = "LAPTOP_KEY"
allowed_models = ["gpt-*", "small"]
expires_at = 2031-01-31T00:00:00Z
max_concurrency = 4
tokens_per_day = 100_000

[[price]]
model = "gpt-*"
input = 1.25
cached_input = 0.125
output = 10

[[price]]
model = "gpt-*"
upstream = "local"
input = 0
output = 1e-6
"""
ENVIRONMENT = {"TEAM_A": "sk-a", "LAPTOP_KEY": "key of the laptop"}
UPSTREAM = '[[upstream]]\nname = "a"\nprotocol = "openai-chat"\nbase_url = "http://a/v1"\n'


PRICE = '[[price]]\nmodel = "m"\ninput = 1\noutput = 1\n'
ROUTE = UPSTREAM + '[[route]]\nmodel = "m"\nupstreams = ["a"]\n'


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> config.Configuration:
    path = tmp_path / "relay.toml"
    path.write_text(text)
    return config.read(path, ENVIRONMENT if environment is None else environment)


def all_rows() -> list[Any]:
    rows: list[Any] = []
    with connection.cursor() as cursor:
        for table in ("upstream", "credential", "route", "routeupstream", "clientkey", "price", "configversion"):
            cursor.execute(f"SELECT * FROM relay_{table} ORDER BY 1")
            rows.append(cursor.fetchall())
    return rows


@pytest.mark.django_db
def test_a_whole_file_becomes_rows(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    openai = Upstream.objects.get(name="openai")
    assert (openai.idle_timeout, openai.commit_after, openai.first_byte_timeout) == (12.5, 0, 300)
    assert openai.proxy == "http://proxy.example:3128"
    assert [(row.label, row.reveal(), row.enabled) for row in openai.credentials.all()] == [
        ("team-a", "sk-a", True),
        ("team-b", "sk-b", False),
    ]
    gpt, small = Route.objects.all()
    assert [step.upstream.name for step in gpt.steps.all()] == ["openai", "local"]
    assert (gpt.max_attempts, small.max_attempts, small.upstream_model) == (2, 3, "llama3.2")
    key = ClientKey.objects.get()
    assert key == ClientKey.known("key of the laptop")
    assert key.allowed_globs == ("gpt-*", "small")
    assert key.expires_at is not None and key.expires_at.year == 2031
    assert (key.max_concurrency, key.tokens_per_day) == (4, 100_000)
    assert openai.ask_for_usage is False
    assert [(row.model, row.upstream, row.position, row.input, row.cached_input, row.output) for row in Price.objects.all()] == [
        ("gpt-*", None, 1, Decimal("1.25"), Decimal("0.125"), Decimal(10)),
        ("gpt-*", Upstream.objects.get(name="local"), 2, Decimal(0), None, Decimal("0.000001")),
    ]


@pytest.mark.django_db
def test_applying_again_changes_nothing_not_even_the_version(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    before = all_rows()
    assert config.apply(read(tmp_path, WHOLE)) == []
    assert all_rows() == before


@pytest.mark.django_db
def test_rows_that_the_file_does_not_name_are_left_alone(tmp_path: Path) -> None:
    mine = make_upstream("mine", ("k",), idle_timeout=7)
    make_route("gpt-*-mini", mine, max_attempts=9)
    make_key("desktop", "key of the desktop")
    config.apply(read(tmp_path, WHOLE))
    mine.refresh_from_db()
    assert mine.idle_timeout == 7 and mine.credentials.get().reveal() == "k"
    assert Route.objects.get(model="gpt-*-mini").max_attempts == 9
    assert ClientKey.known("key of the desktop") is not None


@pytest.mark.django_db
def test_a_named_row_takes_its_settings_from_the_file_and_keeps_its_switch(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    Upstream.objects.filter(name="openai").update(idle_timeout=1, total_timeout=5, enabled=False)
    changes = config.apply(read(tmp_path, WHOLE))
    openai = Upstream.objects.get(name="openai")
    assert (openai.idle_timeout, openai.total_timeout, openai.enabled) == (12.5, None, False)
    assert [str(change) for change in changes] == ["~ upstream openai: idle_timeout: 1.0 → 12.5, total_timeout: 5.0 → None"]


@pytest.mark.django_db
def test_a_price_is_known_by_model_and_upstream_and_its_change_is_told_in_plain_figures(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    Price.objects.filter(upstream=None).update(input=100, cached_input=None)
    changes = config.apply(read(tmp_path, WHOLE))
    assert [str(change) for change in changes] == ["~ price gpt-*: input: 100 → 1.25, cached_input: None → 0.125"]
    assert Price.objects.count() == 2


@pytest.mark.django_db
def test_a_changed_secret_and_a_changed_order_are_applied_and_told_without_the_secret(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    text = WHOLE.replace('["openai", "local"]', '["local", "openai"]')
    changes = config.apply(read(tmp_path, text, {**ENVIRONMENT, "TEAM_A": "sk-new"}))
    assert Credential.objects.get(label="team-a").reveal() == "sk-new"
    assert [step.upstream.name for step in Route.objects.get(model="gpt-*").steps.all()] == ["local", "openai"]
    told = "\n".join(map(str, changes))
    assert told == "~ credential openai / team-a: secret\n~ route gpt-*: upstreams: local, openai × 3"


@pytest.mark.django_db
def test_a_secret_that_cannot_be_read_any_more_is_set_again(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    Credential.objects.update(sealed_secret="sealed under another key")
    config.apply(read(tmp_path, WHOLE))
    assert Credential.objects.get(label="team-a").reveal() == "sk-a"


@pytest.mark.django_db
def test_a_key_that_was_rotated_away_does_not_come_back(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    row = ClientKey.objects.get()
    fresh = row.rotate()
    row.save()
    assert config.apply(read(tmp_path, WHOLE)) == []
    assert ClientKey.objects.get().digest == vault.digest(fresh).hex()


@pytest.mark.django_db
def test_a_dry_run_tells_all_and_changes_nothing(tmp_path: Path) -> None:
    before = all_rows()
    changes = config.apply(read(tmp_path, WHOLE), dry_run=True)
    assert [str(change).split(":")[0] for change in changes] == [
        "+ upstream openai",
        "+ credential openai / team-a",
        "+ credential openai / team-b",
        "+ upstream local",
        "+ route gpt-*",
        "+ route small",
        "+ client key laptop",
        "+ price gpt-*",
        "+ price gpt-* at local",
    ]
    assert all_rows() == before


def credential(lines: str) -> str:
    return f"{UPSTREAM}[[upstream.credential]]\n{lines}\n"


MISTAKES = [
    ('[[upstreams]]\nname = "a"', "unknown table 'upstreams'; expected 'upstream'"),
    ('upstream = "a"', "upstream is not an array of tables; expected [[upstream]]"),
    ('[upstream]\nname = "a"', "upstream is not an array of tables; expected [[upstream]]"),
    ("[[upstream]", "is not TOML: "),
    (UPSTREAM.replace('name = "a"\n', ""), "[[upstream]] number 1, field name: is missing; expected a text that is not empty"),
    (UPSTREAM.replace('"a"', '""'), "[[upstream]] number 1 (), field name: is ''; expected a text that is not empty"),
    (UPSTREAM.replace('"a"', '"a b"'), "field name: is 'a b'; expected letters, digits, dot, hyphen"),
    (UPSTREAM.replace('"a"', f'"{"a" * 65}"'), "field name: has 65 characters; expected at most 64"),
    (UPSTREAM.replace("openai-chat", "openai"), "field protocol: is 'openai'; expected one of openai-chat, openai-r"),
    (UPSTREAM.replace("http://a/v1", "ftp://a"), "field base_url: is 'ftp://a'; expected an http:// or https:// URL"),
    (UPSTREAM + 'idle_timeout = "5"', "(a), field idle_timeout: is '5'; expected a number of seconds"),
    (UPSTREAM + "idle_timeout = true", "(a), field idle_timeout: is True; expected a number of seconds"),
    (UPSTREAM + "idle_timeout = inf", "(a), field idle_timeout: is inf; expected a number of seconds"),
    (UPSTREAM + "idle_timeout = 0", "(a), field idle_timeout: is 0; expected seconds, more than 0"),
    (UPSTREAM + "commit_after = -1", "(a), field commit_after: is -1; expected seconds from 0 (never)"),
    (UPSTREAM + "enabled = 1", "(a), field enabled: is 1; expected true or false"),
    (UPSTREAM + "idle_timout = 5", "(a), field idle_timout: is not known; expected 'idle_timeout'"),
    (UPSTREAM + 'ca_bundle = "/absent.pem"', "field ca_bundle: is '/absent.pem'; expected a readable PEM file"),
    (UPSTREAM + UPSTREAM, "[[upstream]] number 2 (a), field name: is also that of number 1"),
    (credential('label = "x"'), "[[upstream.credential]] number 1 (x), field secret: is missing, and no such"),
    ('[[client_key]]\nlabel = "l"\nkey = "k"\ntokens_per_day = 0', "field tokens_per_day: is 0; expected a whole number"),
    (credential('label = "x"\nsecret = "s"\nmax_concurrency = 0'), "field max_concurrency: is 0; expected a whole number"),
    (credential('label = "x"\nsecret = "s"\nsecret_env = "TEAM_A"'), "field secret: expected either secret or"),
    (credential('label = "x"\nsecret_env = "NOWHERE"'), "field secret_env: the environment variable NOWHERE is not"),
    (credential('label = "x"\nsecret = 5'), "field secret: is not a text; expected a printable text"),
    (credential('secret = "s"'), "[[upstream]] number 1 (a) [[upstream.credential]] number 1, field label: is missing"),
    ('[[route]]\nmodel = "m"', "[[route]] number 1 (m), field upstreams: is missing or empty; expected a list"),
    ('[[route]]\nmodel = "m"\nupstreams = "a"', "field upstreams: is 'a'; expected a list of upstreams' names"),
    ('[[route]]\nmodel = "m"\nupstreams = ["a", "a"]', "field upstreams: names an upstream twice"),
    ('[[route]]\nmodel = "m"\nupstreams = ["nowhere"]', "field upstreams: names 'nowhere'; expected an upstream of"),
    ('[[route]]\nmodel = " m"\nupstreams = ["a"]', "field model: is ' m'; expected a model's name, or a glob"),
    (UPSTREAM + '[[route]]\nmodel = "m"\nupstreams = ["a"]\nmax_attempts = 11', "is 11; expected a whole number from"),
    (UPSTREAM + '[[route]]\nmodel = "m"\nupstreams = ["a"]\nmax_attempts = 1.5', "is 1.5; expected a whole number"),
    (ROUTE + 'strategy = "random"', "field strategy: is 'random'; expected one of in-order, round-robin, least-busy, sticky"),
    (ROUTE.replace('model = "m"', 'model = ""'), "field model: is ''; expected a text that is not empty"),
    (ROUTE + "weights = 3", "field weights: is 3; expected a table of upstreams"),
    (ROUTE + "weights = {b = 3}", "field weights: names 'b', which is no upstream of this route; expected one of a."),
    (ROUTE + "weights = {a = 0}", "field weights.a: is 0; expected a whole number from 1 to 1000"),
    (ROUTE + "weights = {a = 1.5}", "field weights.a: is 1.5; expected a whole number"),
    (ROUTE + "defaults = 3", "field defaults: is 3; expected a table of parameters"),
    (ROUTE + 'overrides = {model = "x"}', "expected parameters alone; model is not the route's to set"),
    (ROUTE + "overrides = {from = 2031-01-01}", "expected texts, numbers, true, false, lists and tables, and no null"),
    ('[[client_key]]\nlabel = "l"', "[[client_key]] number 1 (l), field key: is missing, and no such client key exists"),
    ('[[client_key]]\nlabel = "l"\nkey = " "', "[[client_key]] number 1 (l), field key: expected a printable text"),
    ('[[client_key]]\nlabel = "l"\nkey = "k"\nexpires_at = 2031-01-01', "expected a date and time with its offset"),
    (
        '[[client_key]]\nlabel = "l"\nkey = "k"\n[[client_key]]\nlabel = "m"\nkey = "k"',
        "(m), field key: is also the key",
    ),
    ("[[price]]\ninput = 1\noutput = 1", "[[price]] number 1, field model: is missing; expected a text"),
    ('[[price]]\nmodel = " m"\ninput = 1\noutput = 1', "field model: is ' m'; expected a model's name, or a glob"),
    (PRICE.replace("input = 1\n", ""), "[[price]] number 1 (m), field input: is missing; expected a number, such as 2.5"),
    (PRICE.replace("output = 1", ""), "[[price]] number 1 (m), field output: is missing; expected a number, such as 2.5"),
    (PRICE.replace("output = 1", 'output = "1"'), "field output: is '1'; expected a number, such as 2.5"),
    (PRICE.replace("output = 1", "output = true"), "field output: is True; expected a number, such as 2.5"),
    (PRICE.replace("output = 1", "output = nan"), "field output: is nan; expected a number, such as 2.5"),
    (PRICE + "cached_input = -0.5", "field cached_input: is -0.5; expected the price of a million tokens, from 0 to"),
    (PRICE + "cached_input = 1e8", "field cached_input: is 100000000.0; expected the price of a million tokens, from 0 to"),
    (PRICE + "cached_input = 1e-7", "field cached_input: is 0.0000001; Ensure that there are no more than 6 decimal places"),
    (PRICE + "cached = 1", "field cached: is not known; expected 'cached_input'"),
    (PRICE + "upstream = 3", "field upstream: is 3; expected an upstream's name"),
    (PRICE + 'upstream = ""', "field upstream: is ''; expected letters, digits"),
    (PRICE + 'upstream = "nowhere"', "field upstream: names 'nowhere'; expected an upstream of this file or of the database"),
    (PRICE + PRICE, "[[price]] number 2 (m), field model: is also that of number 1"),
    ('[[client_key]]\nlabel = "m"\nkey = "taken"', "field key: is that of the client key desktop; expected a key of"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("text", "sentence"), MISTAKES)
def test_a_mistake_is_named_and_leaves_the_rows_as_they_were(tmp_path: Path, text: str, sentence: str) -> None:
    make_upstream("mine", ("k",))
    make_key("desktop", "taken")
    before = all_rows()
    good_first = '[[upstream]]\nname = "good"\nprotocol = "gemini"\nbase_url = "http://good"\n'
    with pytest.raises(config.ConfigError) as mistake:
        config.apply(read(tmp_path, text if "upstream" in text.split("]")[0] else good_first + text))
    assert sentence in str(mistake.value)
    assert len(str(mistake.value).splitlines()) == 1  # nothing that only follows from it
    assert str(mistake.value).startswith(str(tmp_path / "relay.toml"))
    assert all_rows() == before


MANY = """
[[upstreams]]
[[upstream]]
name = "a b"
protocol = "openai"
idle_timeout = 0
idle_timout = 5
[[upstream.credential]]
secret_env = "NOWHERE"
[[upstream.credential]]
label = "x"
secret = 5
max_concurrency = 0
[[route]]
model = "m"
upstreams = "a"
weights = {a = 0, b = 2}
max_attempts = 11
[[route]]
model = "m"
[[client_key]]
label = "l"
key = "k"
expires_at = 2031-01-01
allowed_models = ["ok", " a", " b"]
"""
FOUND = [
    "unknown table 'upstreams'",
    "[[upstream]] number 1 (a b), field idle_timout: is not known; expected 'idle_timeout'.",
    "[[upstream]] number 1 (a b), field name: is 'a b'",
    "[[upstream]] number 1 (a b), field protocol: is 'openai'",
    "[[upstream]] number 1 (a b), field base_url: is missing",
    "[[upstream]] number 1 (a b), field idle_timeout: is 0",
    "[[upstream]] number 1 (a b) [[upstream.credential]] number 1, field label: is missing",
    "[[upstream]] number 1 (a b) [[upstream.credential]] number 1, field secret_env: the environment variable NOWHERE",
    "[[upstream]] number 1 (a b) [[upstream.credential]] number 2 (x), field secret: is not a text",
    "[[upstream]] number 1 (a b) [[upstream.credential]] number 2 (x), field max_concurrency: is 0",
    "[[route]] number 1 (m), field upstreams: is 'a'",
    "[[route]] number 1 (m), field weights.a: is 0",
    "[[route]] number 1 (m), field max_attempts: is 11",
    "[[route]] number 2 (m), field model: is also that of number 1",
    "[[route]] number 2 (m), field upstreams: is missing or empty",
    "[[client_key]] number 1 (l), field expires_at: is ",
    "[[client_key]] number 1 (l), field allowed_models: is ' a'",
    "[[client_key]] number 1 (l), field allowed_models: is ' b'",
]


def test_all_mistakes_of_a_file_are_told_in_one_go_each_on_its_line(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError) as told:
        read(tmp_path, MANY)
    lines = str(told.value).splitlines()
    for line, found in zip(lines, FOUND, strict=True):
        assert line.startswith(f"{tmp_path / 'relay.toml'}: {found}") and line.endswith(".")


def test_no_more_than_twenty_mistakes_are_told(tmp_path: Path) -> None:
    twenty = "".join(f"wrong_{number} = 1\n" for number in range(20))
    with pytest.raises(config.ConfigError) as told:
        read(tmp_path, UPSTREAM + twenty)
    assert len(str(told.value).splitlines()) == 20
    with pytest.raises(config.ConfigError) as told:
        read(tmp_path, UPSTREAM + twenty + "a = 1\nb = 1\n")
    assert len(str(told.value).splitlines()) == 21
    assert str(told.value).endswith("relay.toml: 2 more like these are not shown.")


@pytest.mark.django_db
def test_all_mistakes_that_show_against_the_rows_are_told_and_none_of_the_file_is_applied(tmp_path: Path) -> None:
    make_key("desktop", "taken")
    before = all_rows()
    text = (
        credential('label = "x"') + '[[upstream.credential]]\nlabel = "y"\n[[upstream.credential]]\nlabel = "z"\nsecret = "s"\n'
    )
    text += '[[route]]\nmodel = "m"\nupstreams = ["nowhere", "a", "elsewhere"]\n[[route]]\nmodel = "n"\nupstreams = ["a"]\n'
    text += '[[client_key]]\nlabel = "l"\n[[client_key]]\nlabel = "m"\nkey = "taken"\n'
    with pytest.raises(config.ConfigError) as told:
        config.apply(read(tmp_path, text))
    assert [line.partition("]] number ")[2].split(";")[0] for line in str(told.value).splitlines()] == [
        "1 (a) [[upstream.credential]] number 1 (x), field secret: is missing, and no such credential exists yet",
        "1 (a) [[upstream.credential]] number 2 (y), field secret: is missing, and no such credential exists yet",
        "1 (m), field upstreams: names 'nowhere'",
        "1 (m), field upstreams: names 'elsewhere'",
        "1 (l), field key: is missing, and no such client key exists yet",
        "2 (m), field key: is that of the client key desktop",
    ]
    assert all_rows() == before


@pytest.mark.parametrize(
    "text",
    [
        UPSTREAM.replace("http://a/v1", "http://user:hunter2@a/v1"),
        credential('label = "x"\nsecret = "hunter2\\u0007"'),
        '[[client_key]]\nlabel = "l"\nkey = "hunter2\\u0007"',
        '[[client_key]]\nlabel = "l"\nkey = "hunter2"\n[[client_key]]\nlabel = "m"\nkey = "hunter2"',
    ],
)
def test_no_mistake_repeats_a_secret(tmp_path: Path, text: str) -> None:
    with pytest.raises(config.ConfigError) as mistake:
        read(tmp_path, text)
    assert "hunter2" not in str(mistake.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match=r"absent\.toml: cannot be read: No such file"):
        config.read(tmp_path / "absent.toml")
    (tmp_path / "latin.toml").write_bytes(b'[[upstream]]\nname = "caf\xe9"')
    with pytest.raises(config.ConfigError, match="is not UTF-8"):
        config.read(tmp_path / "latin.toml")


def test_the_variables_that_a_file_takes_secrets_from_are_known(tmp_path: Path) -> None:
    assert read(tmp_path, WHOLE).variables == {"TEAM_A", "LAPTOP_KEY"}


@pytest.mark.django_db
def test_the_command_applies_a_file_and_tells_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(UPSTREAM)
    out = StringIO()
    call_command("apply_config", str(path), "--dry-run", stdout=out)
    assert "+ upstream a" in out.getvalue() and "nothing was changed" in out.getvalue()
    assert not Upstream.objects.exists() and ConfigVersion.present() == 0
    call_command("apply_config", str(path), stdout=out)
    assert Upstream.objects.get().name == "a"
    out = StringIO()
    call_command("apply_config", str(path), stdout=out)
    assert out.getvalue() == "Nothing to change.\n"


@pytest.mark.django_db
def test_the_command_fails_with_the_sentence(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(UPSTREAM + "idle_timeout = 0")
    with pytest.raises(CommandError, match="field idle_timeout: is 0; expected seconds"):
        call_command("apply_config", str(path))


def test_the_process_tells_them_all_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    path.write_text(MANY)
    environment = {**os.environ, "DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "manage.py", "apply_config", str(path)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("relay.toml: ") == len(FOUND)
    assert "Traceback" not in done.stderr


@pytest.mark.django_db
def test_an_export_holds_no_secret_and_changes_nothing_when_it_is_applied(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    out = StringIO()
    call_command("export_config", stdout=out)
    text = out.getvalue()
    assert not any(secret in text for secret in ("sk-a", "sk-b", "key of the laptop"))
    assert config.apply(read(tmp_path, text)) == []
    target = tmp_path / "export.toml"
    call_command("export_config", str(target), stdout=StringIO())
    assert target.read_text() == text


@pytest.mark.django_db
def test_an_export_brings_back_what_was_changed_meanwhile(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    text, before = config.export(1), all_rows()[:-1]  # the last is the version, which goes on
    Upstream.objects.update(enabled=False, idle_timeout=1)
    Credential.objects.update(max_concurrency=1)
    Route.objects.update(strategy="sticky", defaults={})
    ClientKey.objects.update(allowed_models="")
    assert config.apply(read(tmp_path, text))
    assert all_rows()[:-1] == before


@pytest.mark.django_db
def test_an_export_applied_elsewhere_asks_for_the_secrets(tmp_path: Path) -> None:
    config.apply(read(tmp_path, WHOLE))
    text = config.export(1)
    Upstream.objects.all().delete()
    with pytest.raises(config.ConfigError, match=r"\(team-a\), field secret: is missing, and no such credential exists yet"):
        config.apply(read(tmp_path, text))


@pytest.mark.django_db
def test_the_built_in_demo_is_no_part_of_an_export(tmp_path: Path) -> None:
    demo = make_upstream("demo", built_in=True)
    make_route("demo-*", demo)
    make_route("gpt-*", demo, make_upstream("openai"))
    text = config.export(1)
    assert "# The route demo-* leads to no upstream" in text
    (upstream,), (route,) = read(tmp_path, text).upstreams, read(tmp_path, text).routes
    assert upstream.name == "openai" and route.upstreams == ("openai",)
