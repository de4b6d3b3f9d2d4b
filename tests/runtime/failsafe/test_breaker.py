"""The circuit breaker: opens by shares or in a row, closes by trials. No clock: time is an argument."""

from __future__ import annotations

import pytest
from breaker_checks import CHECKS
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeconsole.protocol.failsafe import BreakerPhase
from edgeconsole.runtime.failsafe import breaker as module
from edgeconsole.runtime.failsafe.breaker import (
    Breaker,
    BreakerLimits,
    Calls,
    end_trial,
    observe,
    start_trial,
    tick,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda each: each.__name__)
def test_it_holds(check) -> None:
    """What `breaker_checks` says of the breaker holds for the real one."""
    check(module)


COUNT = st.integers(0, 12)
STEPS = st.lists(
    st.tuples(st.floats(0.0, 5.0), COUNT, COUNT, COUNT, st.sampled_from([None, True, False])),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_it_closes_once_the_faults_end(steps) -> None:
    """Whatever came before: with trials that pass, it closes within its longest pause."""
    limits = BreakerLimits()
    breaker, now_s = Breaker(), 0.0
    for wait_s, good, failed, slow, outcome in steps:
        now_s += wait_s
        breaker = tick(breaker, now_s, limits)
        breaker = observe(breaker, Calls(good, failed, slow), now_s, limits)
        breaker, trial = start_trial(breaker, now_s, limits)
        if trial is not None and outcome is not None:
            breaker = end_trial(breaker, trial, now_s, limits, passed=outcome)
    until_s = now_s + limits.most_open_s + limits.trial_timeout_s + limits.most_open_s + 1.0
    while breaker.phase is not BreakerPhase.CLOSED:
        now_s += 0.5
        assert now_s < until_s
        breaker = tick(breaker, now_s, limits)
        breaker, trial = start_trial(breaker, now_s, limits)
        if trial is not None:
            breaker = end_trial(breaker, trial, now_s, limits, passed=True)
