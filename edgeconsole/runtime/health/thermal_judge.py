"""How a device's thermal state moves: up at once, down one at a time, and what an operator forces. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edgeconsole.protocol.failsafe import Condition
from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.runtime.health.thermal_limits import NO_LIMIT, ThermalLimits
from edgeconsole.runtime.health.thermal_signals import Scene, Signal, cool_signals, hold, signals_of
from edgeconsole.runtime.health.thermal_state import Forced, ThermalPolicyState

_LOST_CRITICAL_S: Final = 300.0
"""A critical device that lost its sensor is taken for hot again after so long: it did nothing."""
_BELOW: Final = {
    ThermalState.CRITICAL: ThermalState.HOT,
    ThermalState.HOT: ThermalState.WARM,
    ThermalState.WARM: ThermalState.NOMINAL,
}
_LEAVES: Final = {
    ThermalState.CRITICAL: "cool_critical",
    ThermalState.HOT: "cool_hot",
    ThermalState.WARM: "cool_warm",
}


@dataclass(frozen=True, slots=True)
class Look:
    """All signals of one moment, and which of them have been present long enough."""

    scene: Scene
    signals: tuple[Signal, ...]
    """What calls for a state, the gravest first."""
    conditions: tuple[Condition, ...]
    """Of these, and of what lets a state be left."""
    met: frozenset[str]

    @property
    def calling(self) -> Signal | None:
        """Return the gravest that calls for a state."""
        return next((each for each in self.signals if each.name in self.met), None)

    @property
    def called(self) -> frozenset[ThermalState]:
        """Return the states that something calls for."""
        return frozenset(each.level for each in self.signals if each.name in self.met)


def look(
    state: ThermalPolicyState, scene: Scene, now_s: float, limits: ThermalLimits
) -> tuple[ThermalPolicyState, Look]:
    """Return what the signals say, and the state that remembers since when."""
    signals = signals_of(scene, now_s, limits)
    patience = 2.0**state.setbacks
    cooling = tuple(
        replace(each, needed_s=each.needed_s * patience) for each in cool_signals(scene, limits)
    )
    held = hold(state.held, (*signals, *cooling), now_s)
    conditions = tuple(each.condition(held, now_s) for each in (*signals, *cooling))
    met = frozenset(each.name for each in conditions if each.met)
    return replace(state, held=held), Look(scene, signals, conditions, met)


def judge(
    state: ThermalPolicyState, seen: Look, now_s: float, limits: ThermalLimits
) -> ThermalPolicyState:
    """Go up at once, down by one when the time has come."""
    calling, here = seen.calling, state.judged
    if calling is not None and calling.level.depth > here.depth:
        return _up(state, calling, now_s, limits)
    if here.depth == 0:
        return _base(state, seen.scene, now_s)
    needed_s = limits.cool_hold_s * 2.0**state.setbacks
    cooled = _LEAVES[here] in seen.met and now_s - state.judged_since_s >= needed_s
    if here is ThermalState.CRITICAL and state.sensor.lost:
        cooled = now_s - (state.sensor.read_s or 0.0) >= _LOST_CRITICAL_S
    after = _BELOW[here]
    if not cooled or (calling is not None and calling.level.depth > after.depth):
        return state
    reason = f"{_degrees(seen.scene.temp_c)}, cool for {needed_s:.0f} s or more"
    return replace(
        state,
        judged=after,
        judged_since_s=now_s,
        judged_cause="cooled",
        judged_reason=reason,
        fell_s=now_s,
    )


def force(
    before: ThermalPolicyState, after: ThermalPolicyState, forced: Forced | None, now_s: float
) -> tuple[ThermalPolicyState, bool]:
    """Put in force what was judged or forced; says whether what was forced is ignored."""
    judged, ignored = after.judged, False
    state, cause, reason = judged, after.judged_cause, after.judged_reason
    if forced is not None and forced.state.depth != judged.depth:
        ignored = judged is ThermalState.CRITICAL
        if not ignored:
            state, cause = forced.state, "operator"
            reason = f"{forced.actor}: {forced.reason}"
    elif before.cause == "operator" and before.state is not judged:
        cause, reason = "override_ended", "what an operator forced is over"
    if state is not before.state:
        return replace(after, state=state, since_s=now_s, cause=cause, reason=reason), ignored
    # Another cause for the same state is no transition; why nothing is known may change.
    kept = reason if state is ThermalState.UNKNOWN else before.reason
    return replace(after, state=state, cause=before.cause, reason=kept), ignored


def _up(
    state: ThermalPolicyState, calling: Signal, now_s: float, limits: ThermalLimits
) -> ThermalPolicyState:
    setbacks = state.setbacks
    if state.fell_s is None or now_s - state.fell_s >= limits.calm_s * 2.0**setbacks:
        setbacks = 0
    elif calling.level.depth >= ThermalState.HOT.depth:
        setbacks = min(limits.most_setbacks, setbacks + 1)
    rate = state.rate
    if calling.level is ThermalState.CRITICAL:
        # The floor did not hold: next time it is lower.
        rate = replace(rate, reference_per_s=rate.reference_per_s / 2.0)
    return replace(
        state,
        judged=calling.level,
        judged_since_s=now_s,
        judged_cause=calling.name,
        judged_reason=_words(calling),
        setbacks=setbacks,
        rate=rate,
    )


def _base(state: ThermalPolicyState, scene: Scene, now_s: float) -> ThermalPolicyState:
    """Tell nominal from unknown: a sensor that was read, and a limit to compare it with."""
    known = scene.limit_c is not None and state.sensor.read_s is not None
    base = ThermalState.NOMINAL if known else ThermalState.UNKNOWN
    if known:
        reason = ""
    elif state.sensor.read_s is None:
        reason = scene.reading.reason or "no temperature was read yet"
    else:
        reason = NO_LIMIT
    if base is state.judged:
        return state if known else replace(state, judged_reason=reason)
    cause = "sensor_found" if known else "limit_lost"
    return replace(
        state, judged=base, judged_since_s=now_s, judged_cause=cause, judged_reason=reason
    )


def _words(signal: Signal) -> str:
    match signal.name:
        case "hot_and_rising":
            return f"hot for {signal.needed_s:.0f} s and still rising at the last step"
        case "throttled":
            return "the kernel or the firmware throttles"
        case "under_voltage":
            return "the supply voltage is too low"
        case "sensor_lost":
            why = f": {signal.detail}" if signal.detail else ""
            return f"the control sensor was not read for {signal.measured or 0.0:.0f} s{why}"
        case "forecast":
            return f"the limit is {signal.measured or 0.0:.0f} s away"
        case "warm_power" | "hot_power":
            return f"{signal.measured or 0.0:.1f} W, from {signal.threshold or 0.0:.1f} W on"
        case _:
            return f"{_degrees(signal.measured)}, from {signal.threshold or 0.0:.1f} °C on"


def _degrees(temp_c: float | None) -> str:
    return "no temperature" if temp_c is None else f"{temp_c:.1f} °C"
