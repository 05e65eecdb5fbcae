"""`manage.py faultserver`, as it is run by hand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

from django.core.management import call_command

from relay.rehearsal.scenarios import SCENARIOS

from .raw_client import ask


def test_the_list_names_every_scenario_and_the_common_parameters(capsys) -> None:
    call_command("faultserver", "--list")
    printed = capsys.readouterr().out
    assert all(f"\n{name} " in f"\n{printed}" for name in SCENARIOS)
    assert "\ngap_ms " in printed


def test_it_says_where_it_listens_and_leaves_on_its_signal() -> None:
    arguments = [sys.executable, "manage.py", "faultserver", "--protocol", "anthropic"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = re.search(r"http://127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert port and ask(int(port[1]), "ok", "anthropic").ended == "proper"
        finally:
            os.kill(process.pid, signal.SIGTERM)
        assert process.wait(5) == 0
