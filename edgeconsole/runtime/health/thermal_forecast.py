"""Seconds to the limit, and whether that is worth showing: forecasts compete with persistence. Pure.

Die temperatures jump within seconds of a change of load and then sit on a plateau; on 307 recorded
runs no slope beat "it stays as it is". So several damped slopes are scored live against that, and
only one that wins is believed, and shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

DAMPING_S: Final = (20.0, 60.0, 240.0)
"""The contenders: how long a slope is believed to last."""
HORIZON_S: Final = 30.0
"""How far ahead forecasts are scored."""
FARTHEST_S: Final = 600.0
_EVERY_S: Final = 2.0
_LEAST_SCORED: Final = 15
_MEMORY: Final = 0.05
"""The weight of the newest error: some 20 count."""
_WINS_BELOW: Final = 0.9
"""A contender wins if its error is below this share of persistence's."""
_LEAST_ERROR_C: Final = 0.25
"""On a plateau both errors are the sensor's steps; persistence counts as at least this good there."""


@dataclass(frozen=True, slots=True)
class _Pending:
    due_s: float
    temp_c: float
    said_c: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ForecastState:
    """What was forecast and has not come yet, and the errors so far in °C."""

    pending: tuple[_Pending, ...] = ()
    made_s: float = -math.inf
    scored: int = 0
    persistence_c: float = 0.0
    errors_c: tuple[float, ...] = (0.0,) * len(DAMPING_S)


def observe(
    state: ForecastState, temp_c: float, slope_c_per_s: float, now_s: float
) -> ForecastState:
    """Score what was forecast for now, and forecast again."""
    due = [each for each in state.pending if each.due_s <= now_s]
    pending = tuple(each for each in state.pending if each.due_s > now_s)
    state = replace(state, pending=pending)
    for each in due:
        if now_s - each.due_s <= _EVERY_S:  # After a gap it says nothing.
            state = _score(state, each, temp_c)
    if now_s - state.made_s < _EVERY_S:
        return state
    said_c = tuple(temp_c + rise_c(slope_c_per_s, HORIZON_S, damping_s) for damping_s in DAMPING_S)
    made = _Pending(now_s + HORIZON_S, temp_c, said_c)
    return replace(state, pending=(*pending, made), made_s=now_s)


def best(state: ForecastState) -> float | None:
    """Return the damping of the contender that beats persistence most; `None`: none does."""
    if state.scored < _LEAST_SCORED:
        return None
    error_c, damping_s = min(zip(state.errors_c, DAMPING_S, strict=True))
    beaten_c = max(state.persistence_c, _LEAST_ERROR_C)
    return damping_s if error_c < _WINS_BELOW * beaten_c and state.persistence_c > 0.0 else None


def seconds_to(
    state: ForecastState, temp_c: float, slope_c_per_s: float, limit_c: float
) -> tuple[float | None, str]:
    """Return in how many seconds the limit is reached; `None` with the reason where nobody can say."""
    damping_s = best(state)
    if damping_s is None:
        if state.scored < _LEAST_SCORED:
            return None, f"{state.scored} of {_LEAST_SCORED} forecasts are scored"
        return None, "no forecast is better than that it stays as it is"
    if temp_c >= limit_c:
        return 0.0, ""
    if slope_c_per_s <= 0.0:
        return None, "it is not rising"
    share = (limit_c - temp_c) / (slope_c_per_s * damping_s)
    if share >= 1.0:
        return None, "it levels off below the limit"
    left_s = -damping_s * math.log(1.0 - share)
    return (left_s, "") if left_s <= FARTHEST_S else (None, "it is far from the limit")


def rise_c(slope_c_per_s: float, ahead_s: float, damping_s: float) -> float:
    """Return how much it rises in `ahead_s` if its slope dies away with `damping_s`."""
    return slope_c_per_s * damping_s * (1.0 - math.exp(-ahead_s / damping_s))


def _score(state: ForecastState, said: _Pending, temp_c: float) -> ForecastState:
    weight = max(_MEMORY, 1.0 / (state.scored + 1))

    def mixed(before_c: float, said_c: float) -> float:
        return before_c + weight * (abs(said_c - temp_c) - before_c)

    return replace(
        state,
        scored=state.scored + 1,
        persistence_c=mixed(state.persistence_c, said.temp_c),
        errors_c=tuple(map(mixed, state.errors_c, said.said_c)),
    )
