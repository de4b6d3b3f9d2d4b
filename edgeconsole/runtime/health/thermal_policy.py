"""The thermal policy: which state a device is in, what it may do, and why. Pure: no clock, no I/O.

Up at once, down one state at a time, each after cooling for a while; heating again soon after makes
that while twice as long. A sensor that is lost counts as hot. An operator may force a cooler state,
and for a time a hotter one, which a critical device ignores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edgeconsole.protocol.failsafe import Condition
from edgeconsole.protocol.thermal import ThermalAllowance, ThermalState
from edgeconsole.runtime.health import thermal_forecast, thermal_rate, thermal_sensor
from edgeconsole.runtime.health.thermal_judge import Look, force, judge, look
from edgeconsole.runtime.health.thermal_limits import ThermalLimits, limit_of
from edgeconsole.runtime.health.thermal_rate import RateInput, RateState
from edgeconsole.runtime.health.thermal_reading import ThermalReading, known_w, plausible_c
from edgeconsole.runtime.health.thermal_signals import Scene
from edgeconsole.runtime.health.thermal_state import Forced, ThermalPolicyState
from edgeconsole.runtime.health.thermal_steps import LAST_HOT_STEP, StepInput, allowance, next_step

_THROTTLING_S: Final = 5.0
"""A throttle counter that moved counts for so long."""


@dataclass(frozen=True, slots=True)
class ThermalDecision:
    """What follows from a reading, and everything that was looked at."""

    state: ThermalPolicyState
    allowance: ThermalAllowance
    conditions: tuple[Condition, ...]
    temp_c: float | None
    limit_in_s: float | None
    forecast_note: str
    warnings: tuple[str, ...]
    ignored: bool
    """What an operator forced would allow more than a critical device may do."""


def decide(
    before: ThermalPolicyState,
    reading: ThermalReading,
    now_s: float,
    limits: ThermalLimits,
    forced: Forced | None = None,
) -> ThermalDecision:
    """Return where the device stands after a reading, and why; called about once a second."""
    temp_c = plausible_c(reading)
    limit_c, source = limit_of(reading, limits)
    if limit_c is None and temp_c is None:
        # Trip points are read with the sensor: while it cannot be read they stay what they were.
        limit_c, source = before.limit_c, before.limit_source
    state = _take_in(before, reading, now_s, limits)
    left_s, note = _forecast(state, temp_c, limit_c)
    scene = Scene(
        reading=reading,
        sensor=state.sensor,
        temp_c=temp_c,
        limit_c=limit_c,
        forecast_s=left_s,
        throttling=now_s - state.throttled_s < _THROTTLING_S,
        steps_taken=before.step >= LAST_HOT_STEP,
    )
    state, seen = look(state, scene, now_s, limits)
    state = replace(state, limit_c=limit_c, limit_source=source)
    judged, ignored = force(before, judge(state, seen, now_s, limits), forced, now_s)
    stepped = _step(judged, seen, now_s, limits)
    after = replace(stepped, rate=_govern(stepped, scene, now_s, limits))
    return ThermalDecision(
        state=after,
        allowance=allowance(after.step, after.state, after.rate, limits),
        conditions=(*seen.conditions, _operator(forced, ignored=ignored)),
        temp_c=temp_c,
        limit_in_s=left_s,
        forecast_note=note,
        warnings=_warnings(after, now_s, limits),
        ignored=ignored,
    )


def _take_in(
    before: ThermalPolicyState, reading: ThermalReading, now_s: float, limits: ThermalLimits
) -> ThermalPolicyState:
    """Take in what has a memory of its own: the sensor, the forecasts, the throttle counter."""
    sensor = thermal_sensor.observe(before.sensor, reading, now_s, limits)
    forecast = before.forecast
    temp_c = plausible_c(reading)
    if temp_c is not None:
        forecast = thermal_forecast.observe(forecast, temp_c, sensor.slope_c_per_s, now_s)
    count, known = reading.throttle_count, before.throttle_count
    moved = reading.throttled or (count is not None and known is not None and count > known)
    return replace(
        before,
        sensor=sensor,
        forecast=forecast,
        throttle_count=known if count is None else count,
        throttled_s=now_s if moved else before.throttled_s,
    )


def _forecast(
    state: ThermalPolicyState, temp_c: float | None, limit_c: float | None
) -> tuple[float | None, str]:
    if temp_c is None:
        return None, "the temperature is unknown"
    if limit_c is None:
        return None, "no limit is known"
    return thermal_forecast.seconds_to(state.forecast, temp_c, state.sensor.slope_c_per_s, limit_c)


def _step(
    state: ThermalPolicyState, seen: Look, now_s: float, limits: ThermalLimits
) -> ThermalPolicyState:
    step = next_step(
        StepInput(
            state=state.state,
            step=state.step,
            held_s=now_s - state.stepped_s,
            temp_c=seen.scene.temp_c,
            limit_c=seen.scene.limit_c,
            slope_c_per_s=state.sensor.slope_c_per_s,
            rate=state.rate,
            called=seen.called,
        ),
        limits,
    )
    return state if step == state.step else replace(state, step=step, stepped_s=now_s)


def _govern(
    state: ThermalPolicyState, scene: Scene, now_s: float, limits: ThermalLimits
) -> RateState:
    """Return the governed rate; below hot it only watches."""
    served = scene.reading.rate_per_s or 0.0
    if state.state.depth < ThermalState.HOT.depth:
        return thermal_rate.watch(state.rate, served, now_s)
    power_w, budget_w = known_w(scene.reading), limits.power_budget_w
    known = scene.temp_c is not None and scene.limit_c is not None
    by_operator = state.state.depth > state.judged.depth
    return thermal_rate.govern(
        state.rate,
        RateInput(
            served_per_s=served,
            temp_c=scene.temp_c,
            slope_c_per_s=state.sensor.slope_c_per_s,
            limit_c=scene.limit_c,
            power_w=power_w,
            budget_w=budget_w,
            pulled=scene.throttling or scene.reading.under_voltage,
            capped=by_operator
            or state.sensor.lost
            or not (known or (power_w is not None and budget_w is not None)),
        ),
        now_s,
    )


def _warnings(state: ThermalPolicyState, now_s: float, limits: ThermalLimits) -> tuple[str, ...]:
    sensor = state.sensor
    if not thermal_sensor.is_stuck(sensor, now_s, limits):
        return ()
    minutes = (now_s - sensor.same_since_s) / 60.0
    said = f"{sensor.temp_c:.1f} °C for {minutes:.0f} min while the load changed"
    return (f"the control sensor is stuck? It has said {said}",)


def _operator(forced: Forced | None, *, ignored: bool) -> Condition:
    if forced is None:
        return Condition("operator", met=False, detail="nothing is forced")
    what = f"{forced.state} by {forced.actor}: {forced.reason}"
    return Condition("operator", met=not ignored, detail=f"ignored: {what}" if ignored else what)
