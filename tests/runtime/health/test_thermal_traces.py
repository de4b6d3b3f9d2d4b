"""The policy on recorded runs of real boards, read once a second: open loop, nothing it does cools them."""

from __future__ import annotations

import itertools

import pytest
from captures import traces

from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.runtime.health import thermal_forecast
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_policy import decide
from edgeconsole.runtime.health.thermal_replay import each_second, read_trace
from edgeconsole.runtime.health.thermal_state import ThermalPolicyState

pytestmark = pytest.mark.parametrize("trace", traces())


def walk(rows, limit_c):
    """Return time, temperature and state after each reading."""
    state, found = ThermalPolicyState(), []
    for at_s, reading in rows:
        state = decide(state, reading, at_s, ThermalLimits(configured_c=limit_c)).state
        found.append((at_s, reading.temp_c, state))
    return found


@pytest.fixture
def rows(trace):
    """Return a trace as it would have been read once a second."""
    return list(each_second(read_trace(trace)))


def test_far_from_its_limit_nothing_is_critical(rows) -> None:
    """A run that stays more than 7 °C below the limit is never critical."""
    limit_c = max(reading.temp_c for _, reading in rows) + 7.1
    states = [state.state for _, _, state in walk(rows, limit_c)]
    assert ThermalState.CRITICAL not in states


@pytest.mark.parametrize("below_c", [1.0, 6.0])
def test_it_is_hot_within_two_readings_of_the_line(rows, below_c: float) -> None:
    """Two readings after the temperature crossed 7 °C below the limit it is hot, or worse."""
    limit_c = max(reading.temp_c for _, reading in rows) + below_c
    found = walk(rows, limit_c)
    for first, second, third in zip(found, found[1:], found[2:], strict=False):
        held = min(first[1], second[1], third[1]) >= limit_c - 7.0
        if held and third[0] - first[0] >= 2.0:
            assert third[2].state.depth >= ThermalState.HOT.depth


def test_it_is_calm_on_plateaus(rows) -> None:
    """Where the temperature keeps within 3 °C for a minute, the state changes at most once."""
    most_c = max(reading.temp_c for _, reading in rows)
    for below_c in (0.0, 2.0, 7.0, 12.0, 15.0, 20.0):
        found = walk(rows, most_c + below_c)
        for start in range(60, len(found) - 60, 20):
            window = found[start : start + 61]
            temps = [temp_c for _, temp_c, _ in window]
            if max(temps) - min(temps) <= 3.0 and window[-1][0] - window[0][0] <= 61.0:
                moves = [
                    (before[2].state, after[2].state, after[2].cause)
                    for before, after in itertools.pairwise(window)
                    if before[2].state is not after[2].state
                ]
                downs = sum(after.depth < before.depth for before, after, _ in moves)
                # What fell before the plateau still comes down, a state each half minute.
                assert len(moves) - downs <= 1, moves
                assert downs <= 2, moves


def test_a_believed_forecast_was_better_than_none(rows) -> None:
    """While a forecast is shown, the one that is believed errs less than persistence did so far."""
    state = ThermalPolicyState()
    limits = ThermalLimits(configured_c=max(reading.temp_c for _, reading in rows) + 5.0)
    for at_s, reading in rows:
        decision = decide(state, reading, at_s, limits)
        state = decision.state
        if decision.limit_in_s is not None:
            assert min(state.forecast.errors_c) < max(state.forecast.persistence_c, 0.25)
            assert thermal_forecast.best(state.forecast) is not None
        else:
            assert decision.forecast_note
