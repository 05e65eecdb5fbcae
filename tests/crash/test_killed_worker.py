"""`kill -9` of one worker of two: its streams alone are lost, seconds later, while the others' go on and the gate is open."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.conftest import LISTENING, Caller, processes, recorded, served_by, sockets_of, until
from tests.gateways import Gateway

pytestmark = pytest.mark.gateway


def test_the_streams_of_a_killed_worker_alone_are_lost_while_the_others_live(start: Callable[..., Gateway]) -> None:
    gateway = start(WORKERS="2")
    workers = {name: pid for name, pid in processes(gateway).items() if name.startswith("worker")}
    assert set(workers) == {"worker 1", "worker 2"}
    callers: list[Caller] = []
    while min(len(served_by(pid, callers)) for pid in workers.values()) < 2:
        callers.append(Caller(gateway, "ok,events=120,gap_ms=100", f"long-{len(callers)}"))
        callers[-1].wait_for(b"data:")
        assert len(callers) < 60, "one worker takes all connections"
    victim = workers["worker 1"]
    broken = served_by(victim, callers)
    os.kill(victim, signal.SIGKILL)
    lost = [recorded(gateway, caller.name, 6) for caller in broken]  # in seconds
    assert any(caller.thread.is_alive() for caller in callers), "streams of the survivor were to outlive the discovery"

    for caller in broken:
        caller.wait()
        assert not caller.done
    for ending in lost:
        assert ending[:3] == ("relay-lost", "crash", "relay")
        assert ending.evidence["relay"]["process"] == victim
        assert ending.events == ["StreamRelayLost"]
    for caller in set(callers) - set(broken):
        caller.wait()
        assert caller.done
        ending = recorded(gateway, caller.name)
        assert (ending.outcome, ending.evidence["relay"]["process"]) == ("completed", workers["worker 2"])

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
    running = [Caller(gateway, "idle,after=2", f"open-{number}") for number in range(6)]
    for caller in running:
        caller.wait_for(b"data:")
    gateway.kill()
    for caller in running:
        caller.wait()
        assert not caller.done
    gateway.start()
    for caller in running:
        ending = recorded(gateway, caller.name)
        assert (*ending[:3], ending.events) == ("relay-lost", "crash", "relay", ["StreamRelayLost"])
        told = ending.evidence  # of one that died within its first second nothing is known but that it began
        assert ("written_chunks" in told) == ("client_status" in told) == (told["timeline"]["last_known"] > 0)
    assert [recorded(gateway, caller.name).outcome for caller in before] == ["completed"] * 4


def test_what_was_last_heard_of_a_stream_is_told_as_that(start: Callable[..., Gateway]) -> None:
    gateway = start()
    caller = Caller(gateway, "ok,events=100,gap_ms=50", "told-of")
    until(lambda: (found := gateway.api.get("/api/audit/entries").json()["items"]) and found[0]["chunks_out"])
    gateway.kill()
    caller.wait()
    gateway.start()
    evidence = recorded(gateway, "told-of").evidence
    assert 0 < evidence["written_chunks"] <= caller.told.count(b"data:")
    assert (evidence["client_status"], evidence["attempts"][0]["status"]) == (200, 200)
    assert {"request_sent", "first_event"} < evidence["timeline"].keys()
    assert evidence["timeline"]["last_known"] >= 1000


def test_a_killed_shipper_is_started_again_and_nothing_outlives_the_parent(start: Callable[..., Gateway]) -> None:
    gateway = start(WORKERS="2")
    os.kill(processes(gateway)["shipper"], signal.SIGKILL)
    caller = Caller(gateway, "ok", "meanwhile")
    caller.wait()
    assert recorded(gateway, "meanwhile").outcome == "completed"
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


@pytest.mark.parametrize("demo", [True, False])
def test_nobody_keeps_a_port_open_that_is_not_its_own(start: Callable[..., Gateway], tmp_path: Path, demo: bool) -> None:
    """A caller of one that nobody serves would be left waiting, and not refused."""
    gateway = Gateway(tmp_path, "") if demo else start()
    try:
        ports = {
            name: {int(row[1].split(":")[1], 16) for row in sockets_of(pid) if row[3] == LISTENING}
            for name, pid in processes(gateway).items()
        }
        of_demo = ports.pop("demo upstream", set())
        assert ports == {"worker 1": {gateway.port}, "shipper": set()}
        assert len(of_demo) == demo
    finally:
        gateway.end()
