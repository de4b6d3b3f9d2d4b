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


def figures_of(sample: DeviceSample) -> Figures:
    """Return what is kept of a sample."""
    model = representative(sample)
    models = sample.models
    return Figures(
        seq=sample.seq,
        time_unix_s=round(sample.time_unix_s, 3),
        state=sample.state,
        model=model.model if model else None,
        version=model.version if model else None,
        variant=model.variant if model else None,
        deadline_ms=_rounded(model.deadline_ms, 3) if model else None,
        p50_ms=_rounded(model.p50_ms, 3) if model else None,
        p95_ms=_rounded(model.p95_ms, 3) if model else None,
        p99_ms=_rounded(model.p99_ms, 3) if model else None,
        rate_per_s=_rounded(sum(each.rate_per_s for each in models), 2) or 0.0,
        requests_total=sum(each.requests_total for each in models),
        answered_total=sum(each.answered_total for each in models),
        refused_total=sum(each.refused_total for each in models),
        failed_total=sum(each.failed_total for each in models),
        late_total=sum(each.late_total for each in models),
        degraded_total=degraded_total(sample),
        temp_c=_rounded(sample.temp_c.value, 2),
        temp_quality=sample.temp_c.quality,
        power_w=_rounded(sample.power_w.value, 2),
        power_quality=sample.power_w.quality,
        cpu_percent=_rounded(sample.cpu_percent, 2),
        memory_percent=_rounded(sample.memory_percent, 2),
    )


def representative(sample: DeviceSample | None) -> ModelSample | None:
    """Return the active model nearest to its deadline; without traffic, the first active one."""
    if sample is None:
        return None
    active = [model for model in sample.models if model.active]
    return max(active, key=lambda model: budget(model) or 0.0, default=None)


def budget(model: ModelSample | None) -> float | None:
    """Return a model's p99 as a share of its deadline; `None` without traffic."""
    if model is None or model.p99_ms is None:
        return None
    return model.p99_ms / model.deadline_ms


def degraded_total(sample: DeviceSample) -> int:
    """Return how many requests were answered below the primary's own rungs since the start."""
    return sum(
        count
        for route in sample.routes
        for rung, count in route.answers.items()
        if rung in _DEGRADED
    )


_DEGRADED = frozenset(
    rung.value for rung in Rung if Rung.FALLBACK.depth <= rung.depth < Rung.STOP.depth
)


def _rounded(number: float | None, digits: int) -> float | None:
    """Round a figure; what is no number is unknown."""
    if number is None or not math.isfinite(number):
        return None
    return round(number, digits)
