"""The pure look-ups: which route a model takes, which key is known, what a key may ask for."""

import pytest

from relay import vault
from relay.snapshot import ClientKeySpec, CredentialSpec, RouteSpec, Snapshot, glob


def snapshot(*models: str, **keys: ClientKeySpec) -> Snapshot:
    routes = tuple(RouteSpec(number, model, ()) for number, model in enumerate(models, 1))
    return Snapshot(1, routes, (), {vault.digest(key.replace("_", " ")): spec for key, spec in keys.items()})


@pytest.mark.parametrize(
    ("model", "taken"),
    [
        ("gpt-5", "gpt-5"),  # the exact name, though a glob stands before it
        ("gpt-5-mini", "gpt-5*"),  # the longest literal prefix
        ("gpt-4o-mini", "gpt-*"),  # of two alike the first in the file
        ("GPT-5", "*"),  # case counts
        ("anything at all,even=this", "*"),
        ("o1", "o[1-9]"),
        ("o0", "*"),
    ],
)
def test_exact_name_first_then_the_longest_prefix_then_file_order(model: str, taken: str) -> None:
    route = snapshot("*", "gpt-*", "gpt-*-mini", "gpt-5*", "gpt-5", "o[1-9]").route_for(model)
    assert route is not None and route.model == taken


def test_a_model_that_nothing_fits_has_no_route() -> None:
    assert snapshot("gpt-*", "claude-3").route_for("claude-4") is None
    assert Snapshot().route_for("") is None


@pytest.mark.parametrize(("text", "model"), [("a.c", "abc"), ("a+", "aa"), ("gpt-*", "my-gpt-5"), ("m?", "m"), ("m", "m\n")])
def test_a_glob_is_no_regular_expression_and_fits_the_whole_name(text: str, model: str) -> None:
    assert not glob(text).matches(model)


def test_a_key_is_found_by_text_by_bytes_and_as_a_server_decodes_it() -> None:
    key = ClientKeySpec(1, "laptop")
    known = snapshot(ключ_от_дома=key)
    assert known.key_for("ключ от дома") is key
    assert known.key_for("ключ от дома".encode()) is key
    assert known.key_for("ключ от дома".encode().decode("latin-1")) is key
    assert known.key_for(" ключ от дома ") is key
    assert known.key_for("ключ") is None
    assert known.key_for("") is None
    assert known.key_for("caf\xe9") is None


def test_a_key_that_is_off_or_over_is_not_known() -> None:
    known = snapshot(off=ClientKeySpec(1, "off", enabled=False), over=ClientKeySpec(2, "over", expires_at=100.0))
    assert known.key_for("off") is None
    assert known.key_for("over", now=99.9) is not None
    assert known.key_for("over", now=100.0) is None
    assert known.key_for("over") is None


def test_a_key_may_ask_for_what_it_names_and_for_everything_when_it_names_nothing() -> None:
    assert ClientKeySpec(1, "a").allows("anything")
    some = ClientKeySpec(1, "a", ("gpt-*", "claude-4"))
    assert [some.allows(model) for model in ("gpt-5", "claude-4", "claude-4-1", "o1")] == [True, True, False, False]


def test_models_are_listed_as_far_as_the_key_may_ask_for_them() -> None:
    known = snapshot("gpt-*", "claude-4", "*")
    assert known.models_for(ClientKeySpec(1, "all")) == ["claude-4"]  # a glob is no model's name
    assert known.models_for(ClientKeySpec(1, "some", ("claude-*", "gpt-5"))) == ["claude-4", "gpt-5"]
    assert snapshot("gpt-*").models_for(ClientKeySpec(1, "none", ("claude-4",))) == []


def test_no_text_of_a_snapshot_shows_a_secret() -> None:
    assert "sk-secret" not in repr(CredentialSpec(1, "team", "sk-secret"))
    assert "laptop" not in repr(snapshot(key=ClientKeySpec(1, "laptop")))
