"""The figures of a sample that are kept: one row a second, the same on the device and in the history.

They are rounded here, once, so that a row that came live and the same row from a device's backlog
are equal.
"""

from __future__ import annotations

import math

import msgspec

from edgeconsole.protocol.bounds import Count, DeadlineMs, UnixTime
from edgeconsole.protocol.inference import Rung
from edgeconsole.protocol.telemetry import DeviceSample, ModelSample, Quality
from edgeconsole.specs import AgentState


class Figures(msgspec.Struct, frozen=True, gc=False):
    """What is kept of a `DeviceSample`. Percentiles are those of the representative model.

    Counters are sums over the models since the agent started. Times are rounded to milliseconds,
    durations to microseconds, everything else to hundredths.
    """

    seq: Count
    time_unix_s: UnixTime
    state: AgentState
    model: str | None
    version: str | None
    variant: str | None
    deadline_ms: DeadlineMs | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    rate_per_s: float
    requests_total: Count
    answered_total: Count
    refused_total: Count
    failed_total: Count
    late_total: Count
    degraded_total: Count
    """Answers from the rung `fallback` or below."""
    temp_c: float | None
    temp_quality: Quality
    power_w: float | None
    power_quality: Quality
    cpu_percent: float | None
    memory_percent: float | None


class Counters(msgspec.Struct, frozen=True, gc=False):
    """Sums over all models of a device since its agent started."""

    requests: int
    answered: int
    refused: int
    failed: int
    late: int
    degraded: int
    """Answers from the rung `fallback` or below."""
    rate_per_s: float


def counters_of(sample: DeviceSample) -> Counters:
    """Return the sums of a sample; one pass, for consoles do this a thousand times a second."""
    requests = answered = refused = failed = late = 0
    rate_per_s = 0.0
    for each in sample.models:
        requests += each.requests_total
        answered += each.answered_total
        refused += each.refused_total
        failed += each.failed_total
        late += each.late_total
        rate_per_s += each.rate_per_s
    degraded = sum(
        count
        for route in sample.routes
        for rung, count in route.answers.items()
        if rung in _DEGRADED
    )
    return Counters(requests, answered, refused, failed, late, degraded, rate_per_s)


def figures_of(sample: DeviceSample) -> Figures:
    """Return what is kept of a sample."""
    model = representative(sample)
    sums = counters_of(sample)
    return Figures(
        sample.seq,
        round(sample.time_unix_s, 3),
        sample.state,
        model.model if model else None,
        model.version if model else None,
        model.variant if model else None,
        _rounded(model.deadline_ms, 3) if model else None,
        _rounded(model.p50_ms, 3) if model else None,
        _rounded(model.p95_ms, 3) if model else None,
        _rounded(model.p99_ms, 3) if model else None,
        _rounded(sums.rate_per_s, 2) or 0.0,
        sums.requests,
        sums.answered,
        sums.refused,
        sums.failed,
        sums.late,
        sums.degraded,
        _rounded(sample.temp_c.value, 2),
        sample.temp_c.quality,
        _rounded(sample.power_w.value, 2),
        sample.power_w.quality,
        _rounded(sample.cpu_percent, 2),
        _rounded(sample.memory_percent, 2),
    )


def representative(sample: DeviceSample | None) -> ModelSample | None:
    """Return the active model nearest to its deadline; without traffic, the first active one."""
    if sample is None:
        return None
    nearest, most = None, -1.0
    for model in sample.models:
        if model.active and (share := budget(model) or 0.0) > most:
            nearest, most = model, share
    return nearest


def budget(model: ModelSample | None) -> float | None:
    """Return a model's p99 as a share of its deadline; `None` without traffic."""
    if model is None or model.p99_ms is None:
        return None
    return model.p99_ms / model.deadline_ms


_DEGRADED = frozenset(
    rung.value for rung in Rung if Rung.FALLBACK.depth <= rung.depth < Rung.STOP.depth
)


def _rounded(number: float | None, digits: int) -> float | None:
    """Round a figure; what is no number is unknown."""
    if number is None or not math.isfinite(number):
        return None
    return round(number, digits)
