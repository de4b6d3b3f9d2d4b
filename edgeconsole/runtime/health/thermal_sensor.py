"""What the control sensor is worth: read, lost, stuck, and how fast it rises. Pure.

The rate is a least-squares slope over the last seconds: sensors step by up to 1 °C, and a
difference of two samples would be mostly that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_reading import ThermalReading, plausible_c

SLOPE_WINDOW_S: Final = 5.0
_LEAST_SAMPLES: Final = 3
_IDLE_LOAD: Final = 0.05
"""A load below this counts as this: four times nothing is nothing."""


@dataclass(frozen=True, slots=True)
class SensorState:
    """The control sensor as it was read so far; times are monotonic seconds."""

    temp_c: float | None = None
    """The latest good reading."""
    read_s: float | None = None
    """When that was; `None`: never."""
    lost: bool = False
    good_reads: int = 0
    """In a row."""
    recent: tuple[tuple[float, float], ...] = ()
    """Times and temperatures of the slope's window."""
    slope_c_per_s: float = 0.0
    same_since_s: float = 0.0
    """Since when it gives the same value."""
    least_load: float | None = None
    most_load: float | None = None
    """The load since then."""


def observe(
    state: SensorState, reading: ThermalReading, now_s: float, limits: ThermalLimits
) -> SensorState:
    """Take in one reading."""
    temp_c = plausible_c(reading)
    if temp_c is None:
        read_s = state.read_s
        lost = state.lost or (read_s is not None and now_s - read_s > limits.lost_s)
        return replace(state, good_reads=0, lost=lost, recent=() if lost else state.recent)
    good_reads = state.good_reads + 1
    recent = (
        *(each for each in state.recent if now_s - each[0] <= SLOPE_WINDOW_S),
        (now_s, temp_c),
    )
    return replace(
        _watch_load(state, temp_c, reading.load, now_s),
        temp_c=temp_c,
        read_s=now_s,
        good_reads=good_reads,
        lost=state.lost and good_reads < limits.good_reads,
        recent=recent,
        slope_c_per_s=_slope(recent),
    )


def is_stuck(state: SensorState, now_s: float, limits: ThermalLimits) -> bool:
    """Say whether it gave one value for long while the load changed by much."""
    if state.temp_c is None or state.least_load is None or state.most_load is None:
        return False
    base = max(state.least_load, _IDLE_LOAD)
    return (
        now_s - state.same_since_s >= limits.stuck_s
        and state.most_load >= limits.stuck_load_factor * base
    )


def _watch_load(state: SensorState, temp_c: float, load: float | None, now_s: float) -> SensorState:
    if temp_c != state.temp_c:
        return replace(state, same_since_s=now_s, least_load=load, most_load=load)
    if load is None:
        return state
    least = load if state.least_load is None else min(load, state.least_load)
    most = load if state.most_load is None else max(load, state.most_load)
    return replace(state, least_load=least, most_load=most)


def _slope(samples: tuple[tuple[float, float], ...]) -> float:
    count = len(samples)
    if count < _LEAST_SAMPLES:
        return 0.0
    mean_s = sum(at_s for at_s, _ in samples) / count
    mean_c = sum(temp_c for _, temp_c in samples) / count
    spread = sum((at_s - mean_s) ** 2 for at_s, _ in samples)
    if spread <= 0.0:
        return 0.0
    return sum((at_s - mean_s) * (temp_c - mean_c) for at_s, temp_c in samples) / spread
