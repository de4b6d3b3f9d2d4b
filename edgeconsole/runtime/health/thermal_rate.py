"""The allowed inferences a second: a PI controller on temperature and one on power. Pure.

Anchor: the kernel's power_allocator (PI, no D on the error, a periodic tick), with two differences.
It moves the logarithm of the rate, so that its gains hold for ten inferences a second as for ten
thousand. And it is incremental: what it adds to is the rate that was in force, held within bounds,
so that there is no integral that could wind up. The tighter of the two controllers counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

SET_C: Final = 3.5
"""The governed temperature is so far below the limit: between hot and critical, and off both by more
than a sensor's step."""
FLOOR_SHARE: Final = 0.25
"""The lowest rate, as a share of the reference; what that cannot hold becomes critical."""
CAPPED_SHARE: Final = 0.5
"""What is allowed of the reference where there is nothing to control by."""
_SET_POWER_SHARE: Final = 0.97
_AHEAD_S: Final = 6.0
"""The temperature that is controlled is what the measured slope leads to in so long."""
_KP_PER_C: Final = 1 / 30
_KI_PER_C_S: Final = 1 / 80
_KI_DOWN_PER_C_S: Final = 1 / 40
"""Down is faster than up: too hot costs more than too slow."""
_KP_POWER: Final = 0.3
_KI_POWER_PER_S: Final = 0.12
_MOST_ERROR_C: Final = 10.0
_MOST_STEP: Final = 1.0
"""The most that the logarithm of the rate changes in a tick."""
_HEADROOM: Final = 1.5
_REFERENCE_HALF_LIFE_S: Final = 600.0
_RECENT_HALF_LIFE_S: Final = 15.0
_SPARE_C: Final = 12.0
"""So far below what is governed for, it may be 2.7 times what was served lately."""
_LONGEST_TICK_S: Final = 5.0
_LEAST_PER_S: Final = 1.0
_PULL_C: Final = -1.5
"""While the kernel throttles, its own limit is exceeded by about so much."""


@dataclass(frozen=True, slots=True)
class RateState:
    """The controller between two ticks."""

    reference_per_s: float = 0.0
    """About the most that was served in the last minutes."""
    recent_per_s: float = 0.0
    """Likewise in the last seconds."""
    allowed_per_s: float | None = None
    """`None`: it does not govern."""
    ahead_c: float | None = None
    power_w: float | None = None
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class RateInput:
    """What it is governed by now; `None`: unknown, or no such limit."""

    served_per_s: float
    temp_c: float | None
    slope_c_per_s: float
    limit_c: float | None
    power_w: float | None
    budget_w: float | None
    pulled: bool
    """The kernel or the firmware throttles."""
    capped: bool
    """There is nothing to control by: half the reference."""


def watch(state: RateState, served_per_s: float, now_s: float) -> RateState:
    """Keep the reference while nothing is governed."""
    dt_s = _passed_s(state, now_s)
    return RateState(
        reference_per_s=_decayed(state.reference_per_s, served_per_s, dt_s, _REFERENCE_HALF_LIFE_S),
        recent_per_s=_decayed(state.recent_per_s, served_per_s, dt_s, _RECENT_HALF_LIFE_S),
        at_s=now_s,
    )


def govern(state: RateState, given: RateInput, now_s: float) -> RateState:
    """Return the state with the rate that is allowed until the next tick."""
    dt_s = _passed_s(state, now_s)
    reference = _decayed(state.reference_per_s, given.served_per_s, dt_s, _REFERENCE_HALF_LIFE_S)
    ahead_c = None
    if given.temp_c is not None and given.limit_c is not None:
        ahead_c = given.temp_c + _AHEAD_S * max(0.0, given.slope_c_per_s)
    recent = _decayed(state.recent_per_s, given.served_per_s, dt_s, _RECENT_HALF_LIFE_S)
    start = state.allowed_per_s
    if start is None:
        start = max(given.served_per_s, _LEAST_PER_S)
        state = replace(state, ahead_c=None, power_w=None)
    elif ahead_c is not None and given.limit_c is not None:
        # More than is asked for is no reserve to come down from when it gets hot.
        spare = max(0.0, given.limit_c - SET_C - ahead_c) / _SPARE_C
        start = min(start, max(recent, _LEAST_PER_S) * math.exp(spare))
    moves = [
        *_by_temperature(state, ahead_c, given, dt_s),
        *_by_power(state, given, dt_s),
    ]
    step = min(moves, default=_KI_PER_C_S * _MOST_ERROR_C * dt_s)
    if given.pulled:
        step = min(step, _PULL_C * _KI_DOWN_PER_C_S * dt_s)
    allowed = start * math.exp(max(-_MOST_STEP, min(_MOST_STEP, step)))
    most = max(_HEADROOM * reference, _LEAST_PER_S)
    if given.capped:
        most = max(CAPPED_SHARE * reference, _LEAST_PER_S)
    least = min(most, max(FLOOR_SHARE * reference, _LEAST_PER_S))
    return RateState(
        reference_per_s=reference,
        recent_per_s=recent,
        allowed_per_s=min(most, max(least, allowed)),
        ahead_c=ahead_c,
        power_w=given.power_w,
        at_s=now_s,
    )


def _by_temperature(
    state: RateState, ahead_c: float | None, given: RateInput, dt_s: float
) -> list[float]:
    if ahead_c is None or given.limit_c is None:
        return []
    error_c = given.limit_c - SET_C - ahead_c
    ki = _KI_PER_C_S if error_c > 0.0 else _KI_DOWN_PER_C_S
    integral = ki * max(-_MOST_ERROR_C, min(_MOST_ERROR_C, error_c)) * dt_s
    if state.ahead_c is None:
        return [_KP_PER_C * min(0.0, error_c)]
    return [integral - _KP_PER_C * (ahead_c - state.ahead_c)]


def _by_power(state: RateState, given: RateInput, dt_s: float) -> list[float]:
    budget_w = given.budget_w
    if given.power_w is None or budget_w is None:
        return []
    error = (_SET_POWER_SHARE * budget_w - given.power_w) / budget_w
    if state.power_w is None:
        return [_KP_POWER * min(0.0, error)]
    moved = (given.power_w - state.power_w) / budget_w
    return [_KI_POWER_PER_S * error * dt_s - _KP_POWER * moved]


def _passed_s(state: RateState, now_s: float) -> float:
    return 0.0 if state.at_s is None else min(_LONGEST_TICK_S, max(0.0, now_s - state.at_s))


def _decayed(kept_per_s: float, served_per_s: float, dt_s: float, half_life_s: float) -> float:
    return max(kept_per_s * math.exp2(-dt_s / half_life_s), served_per_s)
