"""How a model is read as a script."""

from __future__ import annotations

import pytest

from relay.rehearsal.script import Script, read_script

KNOWN = ("ok", "eof", "status")


@pytest.mark.parametrize(
    ("model", "script"),
    [
        ("eof", Script("eof")),
        ("eof,after=3", Script("eof", {"after": "3"})),
        ("demo/eof,after=3", Script("eof", {"after": "3"})),
        ("status,code=429, retry_after = 7,flag", Script("status", {"code": "429", "retry_after": "7", "flag": "1"})),
        ("gpt-5", Script("ok")),
        ("gpt-5,after=3", Script("ok")),
        ("", Script("ok")),
    ],
)
def test_a_model_names_a_script(model: str, script: Script) -> None:
    assert read_script(model, KNOWN) == script


def test_values_that_are_no_numbers_fall_back() -> None:
    script = Script("eof", {"after": "many", "seconds": "0.5", "on": "1", "off": "0"})
    assert (script.count("after", 3), script.number("seconds", 9), script.count("absent", 4)) == (3, 0.5, 4)
    assert (script.flag("on"), script.flag("off"), script.flag("absent")) == (True, False, False)
