"""The targets that serving is held to, each a ratio within the run where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.loads import cache, closed, memory, overload, start, swap, urgent
from benchmarks.measure import Metric, ratio
from benchmarks.report import Row, Table, TargetResult, number
from benchmarks.systems import AGENT, ECHO

Tables = Mapping[str, Table]


def judge(
    tables: Tables, small: str, large: str, peers: tuple[str, ...]
) -> tuple[TargetResult, ...]:
    """Compare a run with the targets; `peers` are the names of the other systems."""
    judged = _Judge(tables, small, large, peers)
    return (*judged.lone(), *judged.many(), *judged.resources(), *judged.pressure())


class _Judge:
    """Looks figures up and compares them."""

    def __init__(self, tables: Tables, small: str, large: str, peers: tuple[str, ...]) -> None:
        self._tables = tables
        self._small = small
        self._large = large
        self._peers = peers

    def lone(self) -> list[TargetResult]:
        """Judge the lone client of the small model."""
        ours = self._closed(AGENT, self._small, 1, "p50")
        tail = self._closed(AGENT, self._small, 1, "p99")
        echo = self._closed(ECHO, self._small, 1, "p50")
        peer = self._best_peer(self._small, 1, "p50", min)
        what = f"lone client, {self._small}"
        return [
            _at_most(f"{what}: p50 / best peer", 0.5, ours, peer),
            _at_most(f"{what}: p50 / raw echo", 1.8, ours, echo),
            _at_most(f"{what}: p99 / p50", 2.0, tail, ours),
        ]

    def many(self) -> list[TargetResult]:
        """Judge throughput."""
        ours = self._closed(AGENT, self._small, 32, "rate")
        peer = self._best_peer(self._small, 32, "rate", max)
        median = self._closed(AGENT, self._small, 32, "p50")
        tail = self._closed(AGENT, self._small, 32, "p99")
        bare = self._get(closed.NAME, closed.BARE, "rate", model=self._large)
        ideal = self._get(closed.NAME, closed.IDEAL, "rate", model=self._large)
        one = self._closed(AGENT, self._large, 1, "rate")
        all_ = self._closed(AGENT, self._large, 32, "rate")
        what = f"32 clients, {self._small}"
        return [
            _at_least(f"{what}: rate / best peer (aim 1.5)", 1.0, ours, peer),
            _at_most(f"{what}: p99 / p50", 2.0, tail, median),
            _at_least(f"1 client, {self._large}: rate / bare", 0.97, one, bare),
            _at_least(f"32 clients, {self._large}: rate / best batch", 0.95, all_, ideal),
        ]

    def resources(self) -> list[TargetResult]:
        """Judge memory and start; the memory targets are on USS."""
        took = self._get(start.NAME, AGENT, start.TOOK)
        results = []
        for label, limit, system in (
            ("supervisor idle, USS", 45.0, memory.SUPERVISOR),
            ("worker idle, USS", 60.0, memory.WORKER),
        ):
            uss = self._get(memory.NAME, system, "USS")
            rss = self._get(memory.NAME, system, "RSS")
            beside = f" (RSS {number(rss.value)})" if rss else ""
            results.append(_limit(label, limit, "MiB", uss, beside))
        return [*results, _limit("start → first answer", 0.6, "s", took)]

    def pressure(self) -> list[TargetResult]:
        """Judge cache, overload, priorities and swap."""
        hit = self._get(cache.NAME, cache.HITS, "p50", model=self._small)
        echo = self._get(cache.NAME, ECHO, "p50", model=self._small)
        share = self._get(overload.NAME, AGENT, overload.SHARE)
        refused = self._get(overload.NAME, AGENT, "refused p99")
        p99 = self._get(urgent.NAME, AGENT, "urgent p99")
        bare = self._get(urgent.NAME, urgent.BARE, "urgent p50")
        low = self._get(urgent.NAME, AGENT, urgent.LOW_SHARE)
        failed = self._get(swap.NAME, AGENT, swap.FAILED)
        return [
            _at_most(f"cache hit, {self._small}: p50 / raw echo", 1.3, hit, echo),
            _floor("overload: of capacity answered in time", 95.0, "%", share),
            _limit("overload: refusals, p99", 5.0, "ms", refused),
            _at_most("urgent: p99 / bare p50", 2.5, p99, bare),
            _floor("urgent: low class kept", 80.0, "%", low),
            _limit("swap: failed", 0.0, "", failed),
        ]

    def _get(self, table: str, system: str, key: str, **setting: str) -> Metric | None:
        if table not in self._tables:
            return None
        row: Row | None = self._tables[table].find(system, **setting)
        return row.metrics.get(key) if row else None

    def _closed(self, system: str, model: str, clients: int, key: str) -> Metric | None:
        return self._get(closed.NAME, system, key, model=model, clients=str(clients))

    def _best_peer(
        self, model: str, clients: int, key: str, best: Callable[[float, float], float]
    ) -> Metric | None:
        """Return the best peer's figure, in whichever of its modes is best."""
        if closed.NAME not in self._tables:
            return None
        setting = {"model": model, "clients": str(clients)}
        found: Metric | None = None
        for row in self._tables[closed.NAME].rows:
            metric = row.metrics.get(key)
            name = row.system.partition(",")[0]
            if metric is None or name not in self._peers or row.setting != setting:
                continue
            if found is None or best(metric.value, found.value) == metric.value:
                found = metric
        return found


_UNKNOWN: Final = "–"


def _at_most(name: str, limit: float, one: Metric | None, other: Metric | None) -> TargetResult:
    text, value = _ratio_text(one, other)
    return TargetResult(name, f"≤ {limit:g}", text, None if value is None else value <= limit)


def _at_least(name: str, limit: float, one: Metric | None, other: Metric | None) -> TargetResult:
    text, value = _ratio_text(one, other)
    return TargetResult(name, f"≥ {limit:g}", text, None if value is None else value >= limit)


def _limit(
    name: str, limit: float, unit: str, metric: Metric | None, beside: str = ""
) -> TargetResult:
    text = f"≤ {limit:g} {unit}".strip()
    if metric is None:
        return TargetResult(name, text, _UNKNOWN, None)
    return TargetResult(name, text, number(metric.value) + beside, metric.value <= limit)


def _floor(name: str, limit: float, unit: str, metric: Metric | None) -> TargetResult:
    text = f"≥ {limit:g} {unit}"
    if metric is None:
        return TargetResult(name, text, _UNKNOWN, None)
    return TargetResult(name, text, number(metric.value), metric.value >= limit)


def _ratio_text(one: Metric | None, other: Metric | None) -> tuple[str, float | None]:
    if one is None or other is None or other.value == 0:
        return _UNKNOWN, None
    found = ratio(one, other)
    text = f"{number(found.value)} ({number(found.low)}–{number(found.high)})"
    return text, found.value
