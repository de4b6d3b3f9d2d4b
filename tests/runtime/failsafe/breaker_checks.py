"""What must hold of the circuit breaker. Each check takes the module, so that mutants can be checked."""

from __future__ import annotations

from edgeconsole.protocol.failsafe import BreakerPhase as Phase


def limits(m, **changes):
    """Return limits that make single rules visible."""
    fields = {
        "window_s": 10.0,
        "window_calls": 100,
        "minimum_calls": 10,
        "error_share": 0.5,
        "slow_share": 0.5,
        "bad_in_a_row": 99,
        "trials": 3,
        "trial_timeout_s": 2.0,
        "open_s": 1.0,
        "most_open_s": 8.0,
        "calm_s": 60.0,
    }
    return m.BreakerLimits(**{**fields, **changes})


def fed(m, *calls, at_s=0.0, step_s=0.0, bounds=None):
    """Return a breaker that saw some calls, `step_s` apart."""
    breaker = m.Breaker()
    for index, (good, failed, slow) in enumerate(calls):
        now_s = at_s + index * step_s
        breaker = m.observe(breaker, m.Calls(good, failed, slow), now_s, bounds or limits(m))
    return breaker


def opened(m, bounds=None):
    """Return a breaker that opened at second 0."""
    breaker = fed(m, (0, 10, 0), bounds=bounds)
    assert breaker.phase is Phase.OPEN
    return breaker


def half_open(m, bounds=None):
    """Return a breaker that is half open since second 1."""
    breaker = m.tick(opened(m, bounds), 1.0, bounds or limits(m))
    assert breaker.phase is Phase.HALF_OPEN
    return breaker


def check_error_share_opens_at_its_threshold(m):
    """5 of 10 calls failed opens at a share of 0.5; 5 of 11 does not."""
    assert fed(m, (5, 5, 0)).phase is Phase.OPEN
    assert fed(m, (6, 5, 0)).phase is Phase.CLOSED


def check_slow_share_opens_apart_from_errors(m):
    """Slow calls have a share of their own; 4 failed and 4 slow of 10 are neither."""
    assert fed(m, (5, 0, 5)).phase is Phase.OPEN
    assert fed(m, (6, 0, 5)).phase is Phase.CLOSED
    assert fed(m, (2, 4, 4)).phase is Phase.CLOSED


def check_few_calls_say_nothing(m):
    """Nine failures of nine calls do not open when ten are needed; the tenth does."""
    assert fed(m, (0, 9, 0)).phase is Phase.CLOSED
    assert fed(m, (0, 9, 0), (0, 1, 0)).phase is Phase.OPEN


def check_bad_calls_in_a_row_open_without_shares(m):
    """Failed or slow, three in a row suffice; a good one between starts the count anew."""
    bounds = limits(m, bad_in_a_row=3)
    assert fed(m, (50, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 0), bounds=bounds).phase is Phase.OPEN
    broken = fed(m, (50, 0, 0), (0, 2, 0), (1, 0, 0), (0, 2, 0), bounds=bounds)
    assert broken.phase is Phase.CLOSED


def check_old_calls_are_forgotten(m):
    """What failed more than a window ago does not count; what failed within it does."""
    assert fed(m, (0, 9, 0), (0, 1, 0), step_s=10.0).phase is Phase.CLOSED
    assert fed(m, (0, 9, 0), (0, 1, 0), step_s=9.5).phase is Phase.OPEN


def check_the_window_is_bounded_in_calls(m):
    """A hundred newer calls make older good ones superfluous, so a fast fault is not diluted."""
    calls = [(1000, 0, 0), *[(5, 5, 0)] * 12]
    bounds = limits(m, window_s=40.0)
    assert fed(m, *calls, step_s=2.0, bounds=bounds).phase is Phase.OPEN
    wide = limits(m, window_s=40.0, window_calls=10_000)
    assert fed(m, *calls, step_s=2.0, bounds=wide).phase is Phase.CLOSED


def check_memory_is_bounded(m):
    """However many calls come, the window has at most eleven slots."""
    breaker = fed(m, *[(1, 0, 0)] * 5000, step_s=0.01)
    assert len(breaker.slots) <= 11


def check_it_stays_open_for_its_pause(m):
    """Open for 1 s, then half open; not a moment earlier."""
    breaker = opened(m)
    assert m.tick(breaker, 0.999, limits(m)).phase is Phase.OPEN
    assert m.tick(breaker, 1.0, limits(m)).phase is Phase.HALF_OPEN


def check_calls_while_open_say_nothing(m):
    """Late calls of before neither close nor prolong."""
    breaker = opened(m)
    assert m.observe(breaker, m.Calls(100, 0, 0), 0.5, limits(m)) == breaker
    assert m.observe(half_open(m), m.Calls(0, 100, 0), 1.5, limits(m)) == half_open(m)


def check_only_so_many_trials(m):
    """Three trials, and no fourth while they are under way or after they passed."""
    breaker = half_open(m)
    trials = []
    for _ in range(3):
        breaker, trial = m.start_trial(breaker, 1.0, limits(m))
        trials.append(trial)
    assert None not in trials
    assert m.start_trial(breaker, 1.0, limits(m))[1] is None
    breaker = m.end_trial(breaker, trials[0], 1.1, limits(m), passed=True)
    assert m.start_trial(breaker, 1.1, limits(m))[1] is None


def check_no_trials_unless_half_open(m):
    """A closed breaker lets all through, an open one none: neither has trials."""
    assert m.start_trial(m.Breaker(), 0.0, limits(m))[1] is None
    assert m.start_trial(opened(m), 0.5, limits(m))[1] is None


def check_all_trials_close(m):
    """Two of three passed: still half open; the third closes, with a clean window."""
    breaker = half_open(m)
    for index in range(3):
        assert breaker.phase is Phase.HALF_OPEN
        breaker, trial = m.start_trial(breaker, 1.0 + index, limits(m))
        breaker = m.end_trial(breaker, trial, 1.0 + index, limits(m), passed=True)
    assert breaker.phase is Phase.CLOSED
    assert breaker.slots == ()
    assert breaker.bad_in_a_row == 0


def check_a_trial_counts_once(m):
    """One trial that is reported three times does not close what needs three."""
    breaker, trial = m.start_trial(half_open(m), 1.0, limits(m))
    for _ in range(3):
        breaker = m.end_trial(breaker, trial, 1.0, limits(m), passed=True)
    assert breaker.phase is Phase.HALF_OPEN
    assert breaker.passed == 1


def check_one_failed_trial_opens_for_twice_as_long(m):
    """Pauses double: 1, 2, 4, 8, and no further than the limit."""
    breaker, now_s = half_open(m), 1.0
    for pause_s in (2.0, 4.0, 8.0, 8.0):
        breaker, trial = m.start_trial(breaker, now_s, limits(m))
        breaker = m.end_trial(breaker, trial, now_s, limits(m), passed=False)
        assert breaker.phase is Phase.OPEN
        assert m.pause_s(breaker, limits(m)) == pause_s
        assert m.tick(breaker, now_s + pause_s - 0.001, limits(m)).phase is Phase.OPEN
        now_s += pause_s
        breaker = m.tick(breaker, now_s, limits(m))
        assert breaker.phase is Phase.HALF_OPEN


def check_a_trial_has_a_time_of_its_own(m):
    """A trial that has not ended after 2 s failed; within them it has not."""
    breaker, _ = m.start_trial(half_open(m), 1.0, limits(m))
    assert m.tick(breaker, 3.0, limits(m)).phase is Phase.HALF_OPEN
    assert m.tick(breaker, 3.001, limits(m)).phase is Phase.OPEN


def check_trials_of_an_earlier_pause_do_not_count(m):
    """A trial that ends after the breaker opened again changes nothing."""
    breaker, late = m.start_trial(half_open(m), 1.0, limits(m))
    breaker = m.tick(m.tick(breaker, 4.0, limits(m)), 6.0, limits(m))
    assert breaker.phase is Phase.HALF_OPEN
    assert m.end_trial(breaker, late, 6.0, limits(m), passed=True) == breaker
    assert m.end_trial(breaker, late, 6.0, limits(m), passed=False) == breaker


def check_a_dropped_trial_may_be_made_again(m):
    """A trial whose client went away says nothing, and another may take its place."""
    breaker = half_open(m)
    for _ in range(3):
        breaker, trial = m.start_trial(breaker, 1.0, limits(m))
    breaker = m.drop_trial(breaker, trial)
    assert m.start_trial(breaker, 1.0, limits(m))[1] is not None


def check_calm_forgets(m):
    """After 60 s closed the next pause is the first again; before that it is longer."""
    breaker = half_open(m)
    for _ in range(3):
        breaker, trial = m.start_trial(breaker, 1.0, limits(m))
        breaker = m.end_trial(breaker, trial, 1.0, limits(m), passed=True)
    assert breaker.openings == 1
    soon = m.observe(m.tick(breaker, 60.9, limits(m)), m.Calls(0, 10, 0), 60.9, limits(m))
    assert m.pause_s(soon, limits(m)) == 2.0
    later = m.observe(m.tick(breaker, 61.0, limits(m)), m.Calls(0, 10, 0), 61.0, limits(m))
    assert m.pause_s(later, limits(m)) == 1.0


def check_conditions_say_what_was_measured(m):
    """Each condition names its measure and its threshold, met or not."""
    found = {each.name: each for each in m.conditions(fed(m, (8, 2, 0)), 0.0, limits(m))}
    share = found["breaker_error_share"]
    assert (share.measured, share.threshold, share.met) == (0.2, 0.5, False)
    assert "2 of 10 calls" in share.detail
    assert found["breaker_bad_in_a_row"].measured == 2.0


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]
