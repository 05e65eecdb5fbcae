"""`make bench`: what the gateway costs, in units of a bare pass-through measured in the same run (docs/benchmark.md).

    PYTHONPATH=. .venv/bin/python -m tests.bench [--quick] [--rounds N] [--only one|streams|translated|memory]

A slice of each server is measured between two of the bare one, and divided by their mean; the figure is the median of
these ratios. Absolute times of a shared machine mean little, neighbouring slices much.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.bench import client, upstream
from tests.bench.client import Load
from tests.bench.processes import cpu, resident
from tests.bench.servers import ROOT, Bare, Gateway, Nginx, Server

AIMS = {("one", "worker"): 2.1, ("one", "tree"): 3.0, ("streams", "worker"): 1.25, ("streams", "tree"): 1.4}
MEMORY_AIM = 60.0
TITLES = {
    "one": "request with one chunk",
    "streams": "100 chunks, 20 ms apart, 200 at once",
    "translated": "the same for a Messages client",
}


@dataclass(frozen=True, slots=True)
class Shape:
    model: str
    requests: int
    at_once: int
    protocol: str = "chat"  # of the gateway's clients: the upstream speaks chat, and nobody else translates


STREAMS = {"streams": Shape("hundred", 200, 200), "translated": Shape("hundred", 200, 200, "messages")}
SHAPES = {"one": Shape("one", 2000, 20), **STREAMS}
QUICK = {"one": Shape("one", 800, 20), **STREAMS}


@dataclass(slots=True)
class Slice:
    """What one load on one server used: seconds of CPU, and how many reads the client needed."""

    worker: float
    tree: float
    reads: int


@dataclass(slots=True)
class Bench:
    """The processes of one run, and what was asked of each server so far."""

    bare: Server
    others: list[Server]
    ask: Callable[[Load], int]
    asked: dict[str, int] = field(default_factory=dict)

    def slice(self, server: Server, shape: Shape) -> Slice:
        worker, whole = cpu(server.worker), cpu(server.whole)
        protocol = shape.protocol if isinstance(server, Gateway) else "chat"
        reads = self.ask(Load(server.port, shape.model, shape.requests, shape.at_once, protocol=protocol))
        self.asked[server.name] = self.asked.get(server.name, 0) + shape.requests
        server.settle(self.asked[server.name])
        return Slice(cpu(server.worker) - worker, cpu(server.whole) - whole, reads)


class Progress:
    """A bar on stderr, where there is someone to see it."""

    def __init__(self, steps: int) -> None:
        self.steps, self.done, self.began = steps, 0, time.monotonic()

    def step(self, what: str) -> None:
        self.done += 1
        if sys.stderr.isatty():
            filled = round(30 * self.done / self.steps)
            left = (time.monotonic() - self.began) / self.done * (self.steps - self.done)
            bar = "#" * filled + "-" * (30 - filled)
            sys.stderr.write(f"\r[{bar}] {self.done}/{self.steps}  {what:30.30} {left:4.0f} s left ")
            if self.done == self.steps:
                sys.stderr.write("\r" + " " * 90 + "\r")
            sys.stderr.flush()


def compare(bench: Bench, name: str, shape: Shape, rounds: int, progress: Progress) -> dict[str, Any]:
    """A B A B A …: every other slice is the bare one's. The first of each server warms it up and does not count."""
    for server in (bench.bare, *bench.others):
        bench.slice(server, shape)
        progress.step(f"{name}: warming {server.name}")
    before = bench.slice(bench.bare, shape)
    progress.step(f"{name}: bare")
    bares = [before]
    ratios: dict[str, dict[str, list[float]]] = {item.name: {"worker": [], "tree": []} for item in bench.others}
    slices: dict[str, list[Slice]] = {item.name: [] for item in bench.others}
    for _ in range(rounds):
        for server in bench.others:
            found = bench.slice(server, shape)
            progress.step(f"{name}: {server.name}")
            after = bench.slice(bench.bare, shape)
            progress.step(f"{name}: bare")
            unit = (before.worker + after.worker) / 2
            ratios[server.name]["worker"].append(found.worker / unit)
            ratios[server.name]["tree"].append(found.tree / unit)
            slices[server.name].append(found)
            bares.append(after)
            before = after
    return {
        "requests_per_slice": shape.requests,
        "bare_us_per_request": round(statistics.median(item.worker for item in bares) / shape.requests * 1e6, 1),
        "bare_reads_per_request": round(statistics.median(item.reads for item in bares) / shape.requests, 1),
        "servers": {
            server: {
                "worker": spread(ratios[server]["worker"]),
                "tree": spread(ratios[server]["tree"]),
                "reads_per_request": round(statistics.median(item.reads for item in slices[server]) / shape.requests, 1),
            }
            for server in ratios
        },
    }


def spread(ratios: list[float]) -> dict[str, float]:
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else (ratios[0],) * 3
    return {"median": round(statistics.median(ratios), 3), "low": round(low, 3), "high": round(high, 3), "slices": len(ratios)}


def memory(servers: list[Server], channel: Connection, streams: int, progress: Progress) -> dict[str, float]:
    """KiB by which a worker grows for each open stream that is silent."""
    found = {}
    for server in servers:
        for count in (50, streams):  # the first time warms it up: what is loaded once is no stream's
            before = sum(resident(pid) for pid in server.worker)
            channel.send(Load(server.port, "silent", count, count, hold=True))
            answered(channel)
            time.sleep(1.5)  # longer than the second after which an open request gets its row
            grown = sum(resident(pid) for pid in server.worker) - before
            channel.send("close")
            answered(channel)
            time.sleep(0.5)
        found[server.name] = round(grown / streams / 1024, 1)
        progress.step(f"memory: {server.name}")
    return found


def answered(channel: Connection) -> int:
    answer = channel.recv()
    if isinstance(answer, str):
        raise RuntimeError(f"the client's process: {answer}")
    return answer


def start(target: Callable[[Connection], None]) -> tuple[multiprocessing.Process, Connection]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(theirs,), daemon=True)
    process.start()
    return process, ours


def report(figures: dict[str, Any]) -> str:
    """The figures as a table, in units of the bare pass-through."""
    lines = [f"{'load':40}{'server':10}{'worker':>8}{'quartiles':>14}{'tree':>8}{'quartiles':>14}{'aim':>12}{'reads':>8}"]
    for name, load in figures["loads"].items():
        bare = f"{TITLES[name]:40}{'bare':10}{1:8.2f}{'':14}{1:8.2f}{'':26}{load['bare_reads_per_request']:8.1f}"
        lines.append(f"{bare}   {load['bare_us_per_request']:.0f} µs a request")
        for server, found in load["servers"].items():
            row = f"{'':40}{server:10}"
            for what in ("worker", "tree"):
                ratio = found[what]
                row += f"{ratio['median']:8.2f}{ratio['low']:8.2f}–{ratio['high']:5.2f}"
            aims = [str(AIMS[name, what]) for what in ("worker", "tree") if (name, what) in AIMS]
            aim = " / ".join(aims) if server == Gateway.name else ""
            lines.append(f"{row}{aim:>12}{found['reads_per_request']:8.1f}")
    for server, kib in figures.get("memory_kib_per_silent_stream", {}).items():
        aim = f"   aim {MEMORY_AIM:.0f}" if server == Gateway.name else ""
        lines.append(f"{'memory of one silent stream':40}{server:10}{kib:8.1f} KiB{aim}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench", description="CPU and memory in units of a bare pass-through.")
    parser.add_argument("--quick", action="store_true", help="three short rounds and 300 silent streams: a first look")
    parser.add_argument("--rounds", type=int, help="slices of each server (9; quick: 3)")
    parser.add_argument("--only", choices=[*SHAPES, "memory"], help="this load alone")
    parser.add_argument("--against", type=Path, metavar="TREE", help="the gateway of another checkout beside this one's")
    parser.add_argument("--without-nginx", action="store_true")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "bench.json")
    options = parser.parse_args()
    rounds = options.rounds or (3 if options.quick else 9)
    shapes = {name: shape for name, shape in (QUICK if options.quick else SHAPES).items() if options.only in (None, name)}
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20000) if most > 0 else 20000, most))
    answering, told = start(upstream.serve)
    port = told.recv()
    asking, channel = start(client.serve)
    servers: list[Server] = []
    figures: dict[str, Any] = {
        "at": time.strftime("%Y-%m-%d %H:%M"),
        "python": sys.version.split()[0],
        "rounds": rounds,
        "loads": {},
    }
    with tempfile.TemporaryDirectory(prefix="epitaph-bench-") as name:
        try:
            servers.append(Bare(Path(name), port))
            servers.append(Gateway(Path(name), port))
            if options.against:
                servers.append(Gateway(Path(name), port, options.against.resolve()))
            if Nginx.program() and not options.without_nginx:
                servers.append(Nginx(Path(name), port))

            def ask(load: Load) -> int:
                channel.send(load)
                return answered(channel)

            bench = Bench(servers[0], servers[1:], ask)
            each = len(servers) + 1 + 2 * rounds * len(bench.others)
            with_memory = options.only in (None, "memory")
            progress = Progress(len(shapes) * each + with_memory * len(servers))
            if with_memory:  # first: what a load frees again would hide growth
                streams = 300 if options.quick else 1000
                figures["memory_kib_per_silent_stream"] = memory(servers, channel, streams, progress)
                for server in servers:
                    bench.asked[server.name] = 50 + streams
            for load, shape in shapes.items():
                figures["loads"][load] = compare(bench, load, shape, rounds, progress)
        finally:
            for server in servers:
                server.stop()
            answering.kill()
            asking.kill()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n")
    print(report(figures))


if __name__ == "__main__":
    main()
