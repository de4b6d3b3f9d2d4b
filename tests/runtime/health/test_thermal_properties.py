"""What holds of the thermal policy whatever it is told: bounds, steps, overrides, purity."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_policy import decide
from edgeconsole.runtime.health.thermal_reading import ThermalReading
from edgeconsole.runtime.health.thermal_state import Forced, ThermalPolicyState

ANYTHING = st.none() | st.floats(allow_nan=True, allow_infinity=True)
READINGS = st.builds(
    ThermalReading,
    temp_c=ANYTHING | st.floats(40.0, 100.0),
    passive_c=ANYTHING | st.just(85.0),
    critical_c=ANYTHING | st.just(105.0),
    vendor_c=ANYTHING,
    throttle_count=st.none() | st.integers(0, 5),
    throttled=st.booleans(),
    under_voltage=st.booleans(),
    power_w=ANYTHING | st.floats(0.0, 20.0),
    load=st.none() | st.floats(0.0, 1.0),
    rate_per_s=st.none() | st.floats(0.0, 1e6),
)
LIMITS = ThermalLimits(power_budget_w=10.0)
FORCED = st.none() | st.builds(
    Forced, state=st.sampled_from(ThermalState), actor=st.just("ana"), reason=st.just("a test")
)
STEPS = st.lists(
    st.tuples(st.sampled_from((0.0, 0.2, 1.0, 1.0, 5.0, 40.0)), READINGS, FORCED),
    min_size=1,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_it_never_raises_and_stays_in_bounds(steps) -> None:
    """Any reading gives a finite, positive rate, a step within its state, and one state down a time."""
    state, now_s = ThermalPolicyState(), 0.0
    for passed_s, reading, forced in steps:
        now_s += passed_s
        decision = decide(state, reading, now_s, LIMITS, forced)
        after, allowed = decision.state, decision.allowance
        assert allowed.rate_per_s is None or (
            math.isfinite(allowed.rate_per_s) and allowed.rate_per_s >= 1.0
        )
        assert after.judged.depth >= state.judged.depth - 1
        low, high = {0: (0, 0), 1: (1, 2), 2: (3, 5), 3: (6, 6)}[after.state.depth]
        assert low <= allowed.step <= high
        assert allowed.refuse == (after.state is ThermalState.CRITICAL)
        if after.state.depth < 2:
            assert allowed.rate_per_s is None
        if after.state.depth > state.state.depth:
            assert after.cause
            assert after.reason
        state = after


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_what_an_operator_forces_holds_unless_it_is_critical(steps) -> None:
    """A forced state is the state; a critical device keeps to critical and says so."""
    state, now_s = ThermalPolicyState(), 0.0
    for passed_s, reading, forced in steps:
        now_s += passed_s
        decision = decide(state, reading, now_s, LIMITS, forced)
        state = decision.state
        if forced is None:
            assert state.state is state.judged
        elif state.judged is ThermalState.CRITICAL:
            assert state.state is ThermalState.CRITICAL
            assert decision.ignored == (forced.state is not ThermalState.CRITICAL)
        else:
            assert state.state.depth == forced.state.depth


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_it_is_a_function(steps) -> None:
    """The same readings at the same times give the same decisions."""

    def walk():
        state, now_s = ThermalPolicyState(), 0.0
        for passed_s, reading, forced in steps:
            now_s += passed_s
            decision = decide(state, reading, now_s, LIMITS, forced)
            state = decision.state
            yield repr(decision)

    assert list(walk()) == list(walk())


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(20.0, 125.0), max_size=30),
    st.floats(50.0, 125.0),
    st.integers(1, 4),
)
def test_more_heat_is_never_less_caution(temps, limit_c, extra_c) -> None:
    """After the same past, a hotter reading never leads to a cooler state."""
    state = ThermalPolicyState()
    for second, temp_c in enumerate(temps):
        reading = ThermalReading(temp_c=temp_c, passive_c=limit_c)
        hotter = ThermalReading(temp_c=min(125.0, temp_c + extra_c), passive_c=limit_c)
        cool = decide(state, reading, float(second), ThermalLimits()).state
        hot = decide(state, hotter, float(second), ThermalLimits()).state
        assert hot.judged.depth >= cool.judged.depth
        state = cool
