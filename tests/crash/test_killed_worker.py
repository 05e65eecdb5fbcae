"""`kill -9` of one worker of two: its streams alone are lost, seconds later, while the others' go on and the gate is open."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.crash.conftest import Caller, entry_named, processes, served_by, until
from tests.faults.conftest import Gateway

pytestmark = pytest.mark.gateway


def test_the_streams_of_a_killed_worker_alone_are_lost_while_the_others_live(start: Callable[..., Gateway]) -> None:
    gateway = start(WORKERS="2")
    workers = {name: pid for name, pid in processes(gateway).items() if name.startswith("worker")}
    assert set(workers) == {"worker 1", "worker 2"}
    callers: list[Caller] = []
    while min(served_by(pid, gateway.port) for pid in workers.values()) < 2:
        callers.append(Caller(gateway, "ok,events=60,gap_ms=100", f"long-{len(callers)}"))
        callers[-1].wait_for(b"data:")
        assert len(callers) < 60, "one worker takes all connections"
    victim = workers["worker 1"]
    os.kill(victim, signal.SIGKILL)
    broken = until(lambda: [caller for caller in callers if not caller.thread.is_alive()])
    lost = [entry_named(gateway, caller.name, 6) for caller in broken]
    living = [caller for caller in callers if caller.thread.is_alive()]
    assert living, "the survivors' streams were to outlive the discovery"

    for entry in lost:
        assert (entry["outcome"], entry["cause"], entry["fault"]) == ("relay-lost", "crash", "relay")
        assert entry["evidence"]["relay"]["process"] == victim
        assert [event["name"] for event in gateway.events(entry["request_id"])] == ["StreamRelayLost"]
    for caller in living:
        caller.wait()
        assert caller.done
        entry = entry_named(gateway, caller.name)
        assert (entry["outcome"], entry["evidence"]["relay"]["process"]) == ("completed", workers["worker 2"])
    assert len(lost) + len(living) == len(callers)

    again = until(lambda: processes(gateway).get("worker 1"))
    assert again != victim
    fresh = Caller(gateway, "ok", "after")
    fresh.wait()
    assert fresh.done


def test_kill_9_of_all_is_found_at_the_next_start_and_only_what_was_open_is_lost(start: Callable[..., Gateway]) -> None:
    gateway = start(WORKERS="2")
    before = [Caller(gateway, "ok", f"before-{number}") for number in range(4)]
    for caller in before:
        caller.wait()
    running = [Caller(gateway, "idle,after=2,seconds=1.9", f"open-{number}") for number in range(6)]
    for caller in running:
        caller.wait_for(b"data:")
    gateway.kill()
    for caller in running:
        caller.wait()
        assert not caller.done
    gateway.start()
    for caller in running:
        entry = entry_named(gateway, caller.name)
        assert (entry["outcome"], entry["cause"], entry["fault"]) == ("relay-lost", "crash", "relay")
        assert len(gateway.events(entry["request_id"])) == 1
    assert [entry_named(gateway, caller.name)["outcome"] for caller in before] == ["completed"] * 4


def test_a_killed_shipper_is_started_again_and_ships_what_came_meanwhile(start: Callable[..., Gateway]) -> None:
    gateway = start()
    os.kill(processes(gateway)["shipper"], signal.SIGKILL)
    caller = Caller(gateway, "ok", "meanwhile")
    caller.wait()
    assert entry_named(gateway, "meanwhile")["outcome"] == "completed"


def test_nothing_outlives_the_parent(start: Callable[..., Gateway]) -> None:
    gateway = start(WORKERS="2")
    children = processes(gateway).values()
    gateway.process.kill()
    gateway.process.wait(10)
    until(lambda: not any(alive(pid) for pid in children))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
