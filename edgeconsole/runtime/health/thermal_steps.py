"""The ladder of what is held back, one step a period, and the allowance that each step means. Pure.

Refusing is the last step: models that are not asked are processes that sleep, and unloading them
would cool nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeconsole.protocol.thermal import ThermalAllowance, ThermalState
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_rate import SET_C, RateState

STEPS: Final = (
    "everything is allowed",
    "background work waits",
    "batches are halved",
    "the rate is governed",
    "half of the threads",
    "a lighter model answers",
    "inference is refused",
)
_RANGES: Final = {
    ThermalState.UNKNOWN: (0, 0),
    ThermalState.NOMINAL: (0, 0),
    ThermalState.WARM: (1, 2),
    ThermalState.HOT: (3, 5),
    ThermalState.CRITICAL: (6, 6),
}
LAST_HOT_STEP: Final = 5
_NEAR_SET_C: Final = 1.0
_FALLING_C_PER_S: Final = -0.05
_TIGHT: Final = {3: 0.75, 4: 0.5}
"""From a step of being hot the next is taken where the rate is below this share of the reference."""


@dataclass(frozen=True, slots=True)
class StepInput:
    """What decides on a step."""

    state: ThermalState
    step: int
    """The one that is taken."""
    held_s: float
    """For how long."""
    temp_c: float | None
    limit_c: float | None
    slope_c_per_s: float
    rate: RateState
    called: frozenset[ThermalState]
    """The states that something still calls for."""


def next_step(given: StepInput, limits: ThermalLimits) -> int:
    """Return the step to stand on: within the state's range, at most one deeper, never back in a state."""
    least, most = _RANGES[given.state]
    if not least <= given.step <= most:
        return least
    if given.step == most or given.held_s < limits.step_s or not _wants_more(given):
        return given.step
    return given.step + 1


def allowance(
    step: int, state: ThermalState, rate: RateState, limits: ThermalLimits
) -> ThermalAllowance:
    """Return what a step allows."""
    rate_per_s = rate.allowed_per_s if step >= 3 else None
    if state is ThermalState.UNKNOWN:
        rate_per_s = limits.unknown_rate_per_s
    return ThermalAllowance(
        step=step,
        defer_background=step >= 1,
        batch_share=0.5 if step >= 2 else 1.0,
        rate_per_s=rate_per_s,
        thread_share=0.5 if step >= 4 else 1.0,
        lighter_model=step >= LAST_HOT_STEP,
        refuse=step >= 6,
    )


def _wants_more(given: StepInput) -> bool:
    match given.state:
        case ThermalState.WARM:
            calls = ThermalState.WARM in given.called
            return calls and given.slope_c_per_s >= _FALLING_C_PER_S
        case ThermalState.HOT:
            allowed, reference = given.rate.allowed_per_s, given.rate.reference_per_s
            tight = allowed is not None and allowed < _TIGHT[given.step] * reference
            return tight and _near_set(given)
        case _:
            return False


def _near_set(given: StepInput) -> bool:
    if given.temp_c is None or given.limit_c is None:
        return True
    return given.temp_c >= given.limit_c - SET_C - _NEAR_SET_C
