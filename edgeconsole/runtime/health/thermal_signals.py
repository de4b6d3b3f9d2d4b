"""What speaks for each thermal state now, and for how long it has: measured, threshold, held, needed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from edgeconsole.protocol.failsafe import Condition
from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_reading import ThermalReading, known_w
from edgeconsole.runtime.health.thermal_sensor import SensorState

RISING_C_PER_S: Final = 0.02
"""A slope below this is a plateau."""
_WARM_GAP_C: Final = 5.0
"""Warm ends so far below where device.toml lets it begin."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that may call for a state."""

    name: str
    level: ThermalState
    present: bool | None
    """`None`: it cannot be told now, and what was held stays held."""
    needed_s: float
    measured: float | None = None
    threshold: float | None = None
    unit: str = ""
    detail: str = ""

    def condition(self, held: Mapping[str, float], now_s: float) -> Condition:
        """Return it as it is told."""
        since_s = held.get(self.name)
        held_s = 0.0 if since_s is None else now_s - since_s
        return Condition(
            self.name,
            met=self.present is True and since_s is not None and held_s >= self.needed_s,
            measured=self.measured,
            threshold=self.threshold,
            unit=self.unit,
            held_s=held_s,
            needed_s=self.needed_s,
            detail=self.detail,
        )


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything signals are made of."""

    reading: ThermalReading
    sensor: SensorState
    temp_c: float | None
    """Read just now."""
    limit_c: float | None
    forecast_s: float | None
    throttling: bool
    steps_taken: bool
    """The last step of being hot is taken."""


def hold(held: Mapping[str, float], signals: tuple[Signal, ...], now_s: float) -> dict[str, float]:
    """Return since when each signal is present."""
    kept: dict[str, float] = {}
    for signal in signals:
        if signal.present or (signal.present is None and signal.name in held):
            kept[signal.name] = held.get(signal.name, now_s)
    return kept


def widening_c(sensor: SensorState, limits: ThermalLimits) -> float:
    """Return what the measured heating adds to the margins."""
    steep = max(0.0, sensor.slope_c_per_s - limits.steady_c_per_s)
    return min(limits.most_widening_c, steep * limits.react_s)


def signals_of(scene: Scene, now_s: float, limits: ThermalLimits) -> tuple[Signal, ...]:
    """Return all signals, the gravest first."""
    return (
        *_by_temperature(scene, limits),
        *_by_power(scene, limits),
        Signal(
            "throttled",
            ThermalState.HOT,
            scene.throttling,
            0.0,
            detail="the kernel or the firmware throttles" if scene.throttling else "no throttling",
        ),
        Signal("under_voltage", ThermalState.HOT, scene.reading.under_voltage, 0.0),
        Signal(
            "sensor_lost",
            ThermalState.HOT,
            scene.sensor.lost,
            0.0,
            measured=_age_s(scene.sensor, now_s),
            threshold=limits.lost_s,
            unit="s without a reading",
            detail=scene.reading.reason if scene.temp_c is None else "",
        ),
    )


def cool_signals(scene: Scene, limits: ThermalLimits) -> tuple[Signal, ...]:
    """Return what lets a state be left, by state: cool enough, and nothing else that speaks for it."""
    power_w, budget_w = known_w(scene.reading), limits.power_budget_w
    share = 0.0 if power_w is None or budget_w is None else power_w / budget_w
    troubled = scene.throttling or scene.reading.under_voltage or scene.sensor.lost
    hot_c, warm_c = limits.leave_hot_c, limits.leave_warm_c
    if scene.limit_c is not None and limits.warn_c is not None:
        warm_c = max(warm_c, scene.limit_c - limits.warn_c + _WARM_GAP_C)
    return (
        _cool(ThermalState.CRITICAL, scene, hot_c, limits.cool_critical_hold_s),
        _unless(
            _cool(ThermalState.HOT, scene, hot_c, limits.cool_hold_s),
            other=troubled or share >= limits.leave_hot_power_share,
        ),
        _unless(
            _cool(ThermalState.WARM, scene, warm_c, limits.cool_hold_s),
            other=troubled or share >= limits.leave_warm_power_share,
        ),
    )


def _by_temperature(scene: Scene, limits: ThermalLimits) -> tuple[Signal, ...]:
    limit_c = scene.limit_c
    if limit_c is None:
        return ()
    widening = widening_c(scene.sensor, limits)
    warm_c = limits.warn_c if limits.warn_c is not None else limit_c - limits.warm_c
    at_c = {
        ThermalState.CRITICAL: limit_c
        - limits.critical_c
        - min(widening, limits.most_critical_widening_c),
        ThermalState.HOT: limit_c - limits.hot_c - widening,
        ThermalState.WARM: min(warm_c, limit_c - limits.hot_c) - widening,
    }
    needed = {
        ThermalState.CRITICAL: limits.critical_hold_s,
        ThermalState.HOT: limits.hot_hold_s,
        ThermalState.WARM: limits.warm_hold_s,
    }
    widened = f"margin widened by {widening:.1f} °C" if widening >= 0.1 else ""
    temp_c = scene.temp_c
    levels = tuple(
        Signal(
            f"{level}_temperature",
            level,
            None if temp_c is None and not scene.sensor.lost else _at_least(temp_c, start_c),
            needed[level],
            measured=temp_c,
            threshold=start_c,
            unit="°C",
            detail=widened,
        )
        for level, start_c in at_c.items()
    )
    slope = scene.sensor.slope_c_per_s
    rising = (
        scene.steps_taken and slope > RISING_C_PER_S and _at_least(temp_c, at_c[ThermalState.HOT])
    )
    soon = scene.forecast_s
    return (
        levels[0],
        Signal(
            "hot_and_rising",
            ThermalState.CRITICAL,
            None if temp_c is None and not scene.sensor.lost else rising,
            limits.rising_hold_s,
            measured=slope,
            threshold=RISING_C_PER_S,
            unit="°C/s",
        ),
        *levels[1:],
        Signal(
            "forecast",
            ThermalState.WARM,
            soon is not None and soon < limits.forecast_s,
            0.0,
            measured=soon,
            threshold=limits.forecast_s,
            unit="s to the limit",
            detail="" if soon is not None else "no forecast is believed",
        ),
    )


def _by_power(scene: Scene, limits: ThermalLimits) -> tuple[Signal, ...]:
    power_w, budget_w = known_w(scene.reading), limits.power_budget_w
    if budget_w is None:
        return ()
    return tuple(
        Signal(
            f"{level}_power",
            level,
            None if power_w is None else power_w > share * budget_w,
            needed_s,
            measured=power_w,
            threshold=share * budget_w,
            unit="W",
        )
        for level, share, needed_s in (
            (ThermalState.HOT, limits.hot_power_share, limits.hot_power_hold_s),
            (ThermalState.WARM, limits.warm_power_share, limits.warm_power_hold_s),
        )
    )


def _cool(level: ThermalState, scene: Scene, below_c: float, needed_s: float) -> Signal:
    name, temp_c, limit_c = f"cool_{level}", scene.temp_c, scene.limit_c
    if limit_c is None:
        return Signal(name, level, present=True, needed_s=needed_s, detail="no limit is known")
    return Signal(
        name,
        level,
        None if temp_c is None and not scene.sensor.lost else _below(temp_c, limit_c - below_c),
        needed_s,
        measured=temp_c,
        threshold=limit_c - below_c,
        unit="°C",
    )


def _unless(signal: Signal, *, other: bool) -> Signal:
    if not other:
        return signal
    return replace(signal, present=False, detail="something else still speaks for it")


# What is lost is neither: it is judged by itself.


def _at_least(temp_c: float | None, start_c: float) -> bool:
    return temp_c is not None and temp_c >= start_c


def _below(temp_c: float | None, end_c: float) -> bool:
    return temp_c is not None and temp_c < end_c


def _age_s(sensor: SensorState, now_s: float) -> float | None:
    return None if sensor.read_s is None else now_s - sensor.read_s
