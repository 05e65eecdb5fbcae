"""`prune_auditlog` and `prune_errorlog` read alike and speak alike."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

COMMANDS = ("prune_auditlog", "prune_errorlog")


def pruned(command: str, *arguments: str) -> str:
    out = StringIO()
    call_command(command, *arguments, stdout=out)
    return out.getvalue()


@pytest.mark.django_db
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("age", ["90m", "12h", "30d", "4w", "5200w"])
def test_an_age_may_be_written_in_any_unit(command: str, age: str) -> None:
    told = pruned(command, "--older-than", age, "--dry-run")
    assert told.partition(".")[0].removeprefix("0 ").partition(" ")[2] == "would be deleted; nothing was"
    assert " deleted." in pruned(command, "--older-than", age)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("age", ["30", "d", "-1d", "30y", "٣d", "5300w", "999999w"])
def test_an_age_that_is_none_is_refused_in_the_same_words(command: str, age: str) -> None:
    with pytest.raises(CommandError, match="expected a number and m, h, d or w, such as 30d, and at most 100 years"):
        pruned(command, f"--older-than={age}")


def test_what_they_share_is_explained_in_the_same_words(capsys: pytest.CaptureFixture[str]) -> None:
    explained = []
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            call_command(command, "--help")
        lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        explained.append([line for line in lines if line.startswith(("--older-than AGE ", "--dry-run "))])
    assert (
        explained[0]
        == explained[1]
        == [
            "--older-than AGE 90m, 12h, 30d or 4w (30d)",
            "--dry-run only say how many would be deleted",
        ]
    )
