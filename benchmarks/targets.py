"""The targets that serving is held to, each a ratio within the run where that is possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from benchmarks.loads import cache, closed, memory, overload, start, swap, urgent
from benchmarks.measure import Metric, ratio
from benchmarks.report import Row, Table, TargetResult, cell, number
from benchmarks.systems import AGENT, AGENT_ONE, ECHO, ONE_WORKER

Tables = Mapping[str, Table]
_SETUPS: Final = ((AGENT, "default"), (AGENT_ONE, ONE_WORKER))
"""Our agent's configurations."""


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
        echo = self._closed(ECHO, self._small, 1, "p50")
        results = []
        for system, setup in _SETUPS:
            ours = self._closed(system, self._small, 1, "p50")
            tail = self._closed(system, self._small, 1, "p99")
            peer, who = self._best_peer(system, 1, "p50", min)
            what = f"lone client, {self._small}, {setup}"
            results += [
                _at_most(f"{what}: p50 / best peer", 0.5, ours, peer, who),
                _at_most(f"{what}: p50 / raw echo", 1.8, ours, echo),
                _at_most(f"{what}: p99 / p50", 2.0, tail, ours),
            ]
        return results

    def many(self) -> list[TargetResult]:
        """Judge throughput; the bare calls are one process and one thread, so is what meets them."""
        results = []
        for system, setup in _SETUPS:
            ours = self._closed(system, self._small, 32, "rate")
            peer, who = self._best_peer(system, 32, "rate", max)
            median = self._closed(system, self._small, 32, "p50")
            tail = self._closed(system, self._small, 32, "p99")
            what = f"32 clients, {self._small}, {setup}"
            results += [
                _at_least(f"{what}: rate / best peer (aim 1.5)", 1.0, ours, peer, who),
                _at_most(f"{what}: p99 / p50", 2.0, tail, median),
            ]
        bare = self._get(closed.NAME, closed.BARE, "rate", model=self._large)
        ideal = self._get(closed.NAME, closed.IDEAL, "rate", model=self._large)
        one = self._closed(AGENT_ONE, self._large, 1, "rate")
        all_ = self._closed(AGENT_ONE, self._large, 32, "rate")
        large = f"{self._large}, {ONE_WORKER}"
        return [
            *results,
            _at_least(f"1 client, {large}: rate / bare", 0.97, one, bare),
            _at_least(f"32 clients, {large}: rate / best batch", 0.95, all_, ideal),
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
        bare = self._get(urgent.NAME, urgent.BARE, "urgent p50")
        before = self._get(swap.NAME, AGENT, swap.BEFORE)
        during = self._get(swap.NAME, AGENT, swap.DURING)
        failed = self._get(swap.NAME, AGENT, swap.FAILED)
        results = [_at_most(f"cache hit, {self._small}: p50 / raw echo", 1.3, hit, echo)]
        for system, setup in _SETUPS:
            share = self._get(overload.NAME, system, overload.SHARE)
            refused = self._get(overload.NAME, system, "refused p99")
            p99 = self._get(urgent.NAME, system, "urgent p99")
            low = self._get(urgent.NAME, system, urgent.LOW_SHARE)
            results += [
                _floor(f"overload, {setup}: of capacity answered in time", 95.0, "%", share),
                _limit(f"overload, {setup}: refusals, p99", 5.0, "ms", refused),
                _at_most(f"urgent, {setup}: p99 / bare p50", 2.5, p99, bare),
                _floor(f"urgent, {setup}: low class kept", 80.0, "%", low),
            ]
        return [
            *results,
            _limit("swap: failed", 0.0, "", failed),
            _at_most("swap: p99 during / before", 2.0, during, before),
        ]

    def _get(self, table: str, system: str, key: str, **setting: str) -> Metric | None:
        if table not in self._tables:
            return None
        row: Row | None = self._tables[table].find(system, **setting)
        return row.metrics.get(key) if row else None

    def _closed(self, system: str, model: str, clients: int, key: str) -> Metric | None:
        return self._get(closed.NAME, system, key, model=model, clients=str(clients))

    def _best_peer(
        self, system: str, clients: int, key: str, best: Callable[[float, float], float]
    ) -> tuple[Metric | None, str]:
        """Return the best peer's figure for the small model, and which peer in which mode that is.

        Only peers with as many workers as our system has count.
        """
        table = self._tables.get(closed.NAME)
        ours = table and table.find(system, model=self._small, clients=str(clients))
        if not table or not ours:
            return None, ""
        found: Metric | None = None
        who = ""
        for row in table.rows:
            metric = row.metrics.get(key)
            name = row.system.partition(",")[0]
            if metric is None or name not in self._peers or row.setting != ours.setting:
                continue
            if found is None or best(metric.value, found.value) == metric.value:
                found, who = metric, f", {row.system}"
        return found, who


_UNKNOWN: Final = "–"


def _at_most(
    name: str, limit: float, one: Metric | None, other: Metric | None, beside: str = ""
) -> TargetResult:
    text, value = _ratio_text(one, other)
    met = None if value is None else value <= limit
    return TargetResult(name, f"≤ {limit:g}", text + beside, met)


def _at_least(
    name: str, limit: float, one: Metric | None, other: Metric | None, beside: str = ""
) -> TargetResult:
    text, value = _ratio_text(one, other)
    met = None if value is None else value >= limit
    return TargetResult(name, f"≥ {limit:g}", text + beside, met)


def _limit(
    name: str, limit: float, unit: str, metric: Metric | None, beside: str = ""
) -> TargetResult:
    text = f"≤ {limit:g} {unit}".strip()
    if metric is None:
        return TargetResult(name, text, _UNKNOWN, None)
    return TargetResult(name, text, cell(metric) + beside, metric.value <= limit)


def _floor(name: str, limit: float, unit: str, metric: Metric | None) -> TargetResult:
    text = f"≥ {limit:g} {unit}"
    if metric is None:
        return TargetResult(name, text, _UNKNOWN, None)
    return TargetResult(name, text, cell(metric), metric.value >= limit)


def _ratio_text(one: Metric | None, other: Metric | None) -> tuple[str, float | None]:
    if one is None or other is None or other.value == 0:
        return _UNKNOWN, None
    found = ratio(one, other)
    text = f"{number(found.value)} ({number(found.low)}–{number(found.high)})"
    return text, found.value
