"""The ladder's rules by example, and its promises for any evidence in any order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ladder_checks import CHECKS

from edgeconsole.protocol.failsafe import BreakerPhase, OverrideKind
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe import ladder as module
from edgeconsole.runtime.failsafe.evidence import Evidence, Heat, why_down
from edgeconsole.runtime.failsafe.ladder import HOUR_S, LadderLimits, LadderState, decide

LIMITS = LadderLimits()
DOWN = st.sampled_from(["", "gone"])
TEMP = st.none() | st.floats(-300.0, 250.0)
EVIDENCE = st.builds(
    Evidence,
    primary_down=DOWN,
    stalled_ms=st.sampled_from([0.0, 1000.0]),
    breaker=st.sampled_from(BreakerPhase),
    p99_ms=st.none() | st.floats(0.0, 100.0),
    objective_ms=st.none() | st.just(50.0),
    temp_c=TEMP,
    heat=st.sampled_from(Heat),
    peer_down=DOWN,
    fallback_down=DOWN,
    last_good_age_ms=st.none() | st.floats(0.0, 2000.0),
    last_good_max_age_ms=st.none() | st.just(1000.0),
    static_down=DOWN,
)
WAIT_S = st.sampled_from([0.05, 0.5, 2.5, 20.0, 90.0])
TRACE = st.lists(st.tuples(WAIT_S, EVIDENCE), min_size=1, max_size=80)
OVERRIDE = st.none() | st.sampled_from(OverrideKind)


def run(trace, state=LadderState(), now_s=0.0):  # noqa: B008
    """Return each step's time, evidence and decision."""
    for wait_s, evidence in trace:
        now_s += wait_s
        decision = decide(state, evidence, now_s, LIMITS)
        state = decision.state
        yield now_s, evidence, decision


@pytest.mark.parametrize("check", CHECKS, ids=lambda each: each.__name__)
def test_it_holds(check) -> None:
    """What `ladder_checks` says of the ladder holds for the real one."""
    check(module)


def forced(evidence: Evidence, kind: OverrideKind | None) -> Evidence:
    """Return the evidence with an override."""
    fields = {name: getattr(evidence, name) for name in evidence.__struct_fields__}
    return Evidence(**{**fields, "override": kind})


@settings(deadline=None)
@given(TRACE, st.lists(OVERRIDE, min_size=80, max_size=80))
def test_no_rung_is_entered_or_held_that_cannot_answer(trace, kinds) -> None:
    """At every step the rung below the primary that answers is available; stale is unavailable."""
    trace = [(wait_s, forced(each, kinds[n])) for n, (wait_s, each) in enumerate(trace)]
    for _, evidence, decision in run(trace):
        if decision.rung.depth > Rung.SHED.depth:
            assert not why_down(evidence, decision.rung)
        else:
            assert not evidence.primary_down
            assert evidence.heat is not Heat.REFUSE
            assert evidence.breaker is BreakerPhase.CLOSED
            assert evidence.override is None
        if decision.rung is Rung.LAST_GOOD:
            assert evidence.last_good_age_ms <= evidence.last_good_max_age_ms


@settings(deadline=None)
@given(TRACE, st.sampled_from(OverrideKind))
def test_a_forced_rung_wins_until_it_ends(trace, kind) -> None:
    """While an operator forces a rung, it or the first below it that can answer is the one."""
    rungs = {
        OverrideKind.FALLBACK: (Rung.FALLBACK, Rung.LAST_GOOD, Rung.STATIC, Rung.STOP),
        OverrideKind.FAILSAFE: (Rung.STATIC, Rung.STOP),
        OverrideKind.MAINTENANCE: (Rung.STOP,),
    }[kind]
    for _, evidence, decision in run([(wait_s, forced(each, kind)) for wait_s, each in trace]):
        assert decision.rung is next(rung for rung in rungs if not why_down(evidence, rung))


@settings(deadline=None)
@given(st.lists(st.tuples(WAIT_S, EVIDENCE), min_size=40, max_size=200))
def test_changes_in_any_hour_are_bounded(trace) -> None:
    """However faults come and go, no hour holds more changes than the limit."""
    rung, changes = Rung.PRIMARY, []
    for now_s, _, decision in run(trace * 3):
        if decision.rung is not rung:
            rung = decision.rung
            changes.append(now_s)
    for index, at_s in enumerate(changes):
        within = [each for each in changes[: index + 1] if at_s - each < HOUR_S]
        assert len(within) <= LIMITS.changes_per_hour


@settings(deadline=None)
@given(TRACE)
def test_it_reaches_stop_when_everything_fails(trace) -> None:
    """From wherever it stands, it stops in the step in which nothing can answer any more."""
    *_, (now_s, _, last) = run(trace)
    everything = Evidence(primary_down="gone")
    ((_, _, decision),) = run([(0.01, everything)], last.state, now_s)
    assert decision.rung is Rung.STOP
    assert decision.alarm


@settings(deadline=None, max_examples=50)
@given(TRACE, OVERRIDE)
def test_it_recovers_when_the_faults_end(trace, kind) -> None:
    """From wherever it stands, a healthy hour and a half brings it back to the primary."""
    *_, (now_s, _, last) = run([(wait_s, forced(each, kind)) for wait_s, each in trace])
    well = Evidence(temp_c=20.0, fallback_down="", static_down="")
    *_, (_, _, decision) = run([(5.0, well)] * 1080, last.state, now_s)
    assert decision.rung is Rung.PRIMARY
    assert not decision.state.latched
    assert not decision.alarm


@settings(deadline=None)
@given(TRACE)
def test_the_same_evidence_gives_the_same_decisions(trace) -> None:
    """The function has no memory but its state: a recorded trace can be replayed."""
    assert list(run(trace)) == list(run(trace))
