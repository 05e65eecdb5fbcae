"""The snapshots of all processes as Prometheus text: added up, named and explained."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from relay.metrics import DURATION_BUCKETS, FIRST_BYTE_BUCKETS, SEPARATOR

COUNTERS = {
    "endings": ("Requests that ended, by how.", ("outcome", "cause", "fault")),
    "attempts": ("Attempts at upstreams; an empty cause is a good one.", ("upstream", "cause")),
    "journal_dropped": ("Endings that the journal left out over its quota.", ()),
    "journal_refused": ("Journal writes that the disk refused; they wait in memory.", ()),
    "journal_lost": ("Journal lines that are gone: the disk refused them and the memory was full.", ()),
    "records_degraded": ("Records written as a poorer line.", ()),
    "records_lost": ("Records that could not be written at all.", ()),
    "shipped": ("Journal lines that became rows.", ()),
    "shipper_refused": ("Records that the database refused and that were set aside.", ()),
    "shipper_damaged": ("Journal lines and segments that could not be read.", ()),
    "shipper_adopted": ("Journals of dead processes that were shipped.", ()),
}
HISTOGRAMS = {
    "request_seconds": ("From a request's receipt to its ending.", "outcome", DURATION_BUCKETS),
    "first_byte_seconds": ("From an attempt's start to the first byte of the answer's body.", "upstream", FIRST_BYTE_BUCKETS),
}
SUMMED = {
    "in_flight": "Requests that have not ended.",
    "journal_backlog_bytes": "Journal lines that wait in memory because the disk refuses them.",
    "draining": "Processes that drain.",
    "tasks": "Tasks of the workers' event loops; at rest a few for each open connection.",
}
HIGHEST = {"journal_bytes": "What all journals take on this instance's disk."}
CAUGHT_UP = "caught_up_at"  # when the shipper had last shipped all there was, seconds since 1970


class Snapshots(Collector):
    """What the processes have published, as families of metrics."""

    def __init__(self, snapshots: Iterable[dict[str, Any]], now: float) -> None:
        self.snapshots = list(snapshots)
        self.now = now

    def collect(self) -> Iterator[Metric]:
        for name, (text, labels) in COUNTERS.items():
            yield self._counter(name, text, labels)
        for name, (text, label, buckets) in HISTOGRAMS.items():
            yield self._histogram(name, text, label, buckets)
        living = [found["gauges"] for found in self.snapshots if _alive(found.get("pid", 0))]
        for name, text in SUMMED.items():
            yield GaugeMetricFamily(f"epitaph_{name}", text, sum(gauges.get(name, 0) for gauges in living))
        for name, text in HIGHEST.items():
            yield GaugeMetricFamily(f"epitaph_{name}", text, max((gauges.get(name, 0) for gauges in living), default=0))
        caught_up = max((found["gauges"].get(CAUGHT_UP, 0) for found in self.snapshots), default=0)
        if caught_up:
            lag = max(self.now - caught_up, 0)
            yield GaugeMetricFamily("epitaph_journal_lag_seconds", "Since the shipper had last shipped all there was.", lag)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Metric:
        family = CounterMetricFamily(f"epitaph_{name}", text, labels=labels)
        total: Counter[str] = Counter()
        for found in self.snapshots:
            total.update(found["counters"].get(name, {}))
        if not labels and not total:
            total[""] = 0
        for series, value in sorted(total.items()):
            family.add_metric(series.split(SEPARATOR) if labels else [], value)
        return family

    def _histogram(self, name: str, text: str, label: str, bounds: tuple[float, ...]) -> Metric:
        family = HistogramMetricFamily(f"epitaph_{name}", text, labels=[label])
        total: dict[str, list[float]] = {}
        for found in self.snapshots:
            for series, figures in found["histograms"].get(name, {}).items():
                known = total.setdefault(series, [0.0] * len(figures))
                total[series] = [one + other for one, other in zip(known, figures, strict=True)]
        for series, (*figures, seconds) in sorted(total.items()):
            counts = [sum(figures[: position + 1]) for position in range(len(figures))]
            names = [*(str(bound) for bound in bounds), "+Inf"]
            family.add_metric([series], list(zip(names, counts, strict=True)), seconds)
        return family


def text_of(snapshots: Iterable[dict[str, Any]]) -> bytes:
    """Prometheus text, in the format of version 0.0.4."""
    registry = CollectorRegistry()
    registry.register(Snapshots(snapshots, time.time()))
    return generate_latest(registry)


def _alive(pid: int) -> bool:
    """Whether a process lives: the gauges of one that was killed are no more."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return pid > 0
