"""Reads the agent's and its models' figures for a scrape; nothing is counted here a second time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from edgeconsole import __version__
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import ModelState
from edgeconsole.runtime.failsafe.route import Route
from edgeconsole.runtime.http import metrics
from edgeconsole.runtime.http.backlog_metrics import backlog_values
from edgeconsole.runtime.http.metric import Metric
from edgeconsole.runtime.http.sensor_readings import read_monitor
from edgeconsole.runtime.http.thermal_metrics import thermal_values
from edgeconsole.runtime.serving.metrics import LIMITS_US, Counts
from edgeconsole.runtime.serving.runner import ModelRunner
from edgeconsole.specs import AgentState

if TYPE_CHECKING:
    from edgeconsole.runtime.agent import EdgeIntelligentAgent

DURATION_LE_S: Final = (
    *(0.0001, 0.00025, 0.0005),
    *(0.001, 0.0025, 0.005),
    *(0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
BATCH_LE: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
# A duration in bucket i is below LIMITS_US[i] + 1 µs. A bucket that a bound cuts counts above it, so
# that `le` never claims a request it may not have; the buckets are at most 3 % wide.
_FOLD: Final = np.searchsorted(LIMITS_US + 1, np.array(DURATION_LE_S) * 1e6 + 1e-3, side="right")


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram's content: cumulative counts by `le` (without +Inf), all, and the sum."""

    le: tuple[float, ...]
    cumulative: tuple[int, ...]
    count: int
    total: float


Labels = tuple[str, ...]
Reading = float | Distribution


@dataclass(slots=True)
class Snapshot:
    """The readings of one scrape by metric."""

    readings: dict[Metric, list[tuple[Labels, Reading]]] = field(
        default_factory=lambda: {metric: [] for metric in metrics.METRICS}
    )

    def add(self, metric: Metric, labels: Labels, reading: Reading) -> None:
        """Note one reading; `labels` are the values of `metric.labels`."""
        self.readings[metric].append((labels, reading))


async def take_snapshot(agent: EdgeIntelligentAgent) -> Snapshot:
    """Read everything; other work goes on between two models."""
    snapshot = Snapshot()
    _read_agent(agent, snapshot)
    _read_cache(agent, snapshot)
    read_monitor(agent.monitor, snapshot)
    for route in agent.failsafe.routes():
        read_route(route, snapshot)
    # Two loaded bundles of one name, version and variant would give a series twice: active first.
    runners: dict[str, ModelRunner] = {}
    for digest, runner in agent.engine.loaded().items():
        if agent.engine.is_active(digest) or runner.manifest.key not in runners:
            runners[runner.manifest.key] = runner
    for runner in runners.values():
        read_model(runner, snapshot, time.monotonic())
        await asyncio.sleep(0)
    return snapshot


def fold_durations(counts: Counts, sum_ms: float) -> Distribution:
    """Fold a log-linear histogram into the documented bounds."""
    ranks = np.concatenate(([0], np.cumsum(counts)))
    cumulative = tuple(int(count) for count in ranks[_FOLD])
    return Distribution(DURATION_LE_S, cumulative, int(ranks[-1]), sum_ms / 1e3)


def fold_sizes(sizes: Counter[int]) -> Distribution:
    """Fold counts by size into the documented bounds."""
    return Distribution(
        tuple(float(le) for le in BATCH_LE),
        tuple(sum(count for size, count in sizes.items() if size <= le) for le in BATCH_LE),
        sizes.total(),
        float(sum(size * count for size, count in sizes.items())),
    )


def read_model(runner: ModelRunner, snapshot: Snapshot, now_s: float) -> None:
    """Read one loaded model."""
    manifest, figures = runner.manifest, runner.metrics
    labels = (manifest.model, manifest.version, manifest.variant)
    sample = runner.sample(now_s, active=True)
    for metric, value in (
        (metrics.MODEL_READY, sample.state is ModelState.READY),
        (metrics.REQUESTS, figures.requests_total),
        (metrics.LATE, figures.late_total),
        (metrics.CACHED, figures.cached_total),
        (metrics.COALESCED, figures.coalesced_total),
        (metrics.QUEUE_DEPTH, sample.queue_depth),
        (metrics.IN_FLIGHT, sample.in_flight),
        (metrics.WORKERS_READY, runner.workers_ready),
        (metrics.WORKER_RESTARTS, sample.restarts),
    ):
        snapshot.add(metric, labels, float(value))
    if sample.rss_bytes is not None:
        snapshot.add(metrics.WORKER_BYTES, labels, float(sample.rss_bytes))
    for priority, count in figures.answered.items():
        snapshot.add(metrics.ANSWERS, (*labels, priority.value), float(count))
    for reason, count in figures.refused.items():
        snapshot.add(metrics.REFUSALS, (*labels, reason.value), float(count))
    for code, count in figures.failed.items():
        snapshot.add(metrics.FAILURES, (*labels, code.value), float(count))
    for (phase, priority), histogram in figures.phases.items():
        durations = fold_durations(histogram.counts_since_start(), histogram.sum_ms)
        snapshot.add(metrics.DURATION, (*labels, priority.value, phase.value), durations)
    snapshot.add(metrics.BATCH_SIZE, labels, fold_sizes(figures.batch_sizes))


def read_route(route: Route, snapshot: Snapshot) -> None:
    """Read one model's route."""
    counts = route.counts
    for rung in Rung:
        snapshot.add(metrics.RUNG, (route.model, rung.value), float(rung is route.rung))
        if rung.depth > Rung.SHED.depth and rung is not Rung.STOP:
            labels = (route.model, rung.value)
            snapshot.add(metrics.DEGRADED, labels, float(counts.answers[rung]))
    snapshot.add(metrics.HEDGED, (route.model,), float(counts.hedged))
    snapshot.add(metrics.SHADOWS, (route.model,), float(counts.shadows))
    for reason, count in counts.refused.items():
        snapshot.add(metrics.LADDER_REFUSALS, (route.model, reason.value), float(count))


def _read_agent(agent: EdgeIntelligentAgent, snapshot: Snapshot) -> None:
    config = agent.config
    who = (
        config.agent_id,
        agent.device_id,
        __version__,
        agent.boot_id,
        config.deployment_tier.value,
    )
    snapshot.add(metrics.UP, (), 1.0)
    snapshot.add(metrics.AGENT, who, 1.0)
    now, _ = agent.state()
    for state in AgentState:
        snapshot.add(metrics.STATE, (state.value,), float(state is now))
    for metric, value in backlog_values(agent.offline.sample(), time.time()):
        snapshot.add(metric, (), value)
    for metric, labels, value in thermal_values(agent.thermal.sample()):
        snapshot.add(metric, labels, value)


def _read_cache(agent: EdgeIntelligentAgent, snapshot: Snapshot) -> None:
    cache = agent.engine.cache
    statistics = cache.statistics
    for metric, value in (
        (metrics.CACHE_HITS, statistics.hits),
        (metrics.CACHE_MISSES, statistics.misses),
        (metrics.CACHE_EVICTIONS, statistics.evictions),
        (metrics.CACHE_EXPIRATIONS, statistics.expirations),
        (metrics.CACHE_BYTES, cache.size_bytes),
    ):
        snapshot.add(metric, (), float(value))
