"""What must hold of the ladder. Each check takes the module, so that mutants can be checked."""

from __future__ import annotations

from edgeconsole.protocol.failsafe import BreakerPhase, OverrideKind
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe.evidence import Evidence, Heat

ALL = {
    "fallback_down": "",
    "last_good_age_ms": 10.0,
    "last_good_max_age_ms": 1000.0,
    "static_down": "",
}
"""Everything below the primary but a peer could answer."""


def limits(m, **changes):
    """Return limits with round numbers."""
    fields = {
        "climb_hold_s": 2.0,
        "most_hold_s": 16.0,
        "dwell_s": 1.0,
        "calm_s": 60.0,
        "changes_per_hour": 20,
        "shed_after_s": 2.0,
        "p99_gap": 0.8,
    }
    return m.LadderLimits(**{**fields, **changes})


def walk(m, *steps, state=None, bounds=None):
    """Feed evidence at given seconds; returns the last decision."""
    state = state or m.LadderState()
    for now_s, fields in steps:
        decision = m.decide(state, Evidence(**fields), now_s, bounds or limits(m))
        state = decision.state
    return decision


def down(m, at_s=100.0):
    """Return the state of a route whose primary is gone since `at_s`."""
    state = walk(m, (0.0, ALL), (at_s, {**ALL, "primary_down": "gone"})).state
    assert state.rung is Rung.FALLBACK
    return state


def check_a_healthy_primary_answers(m):
    """Without evidence against it the primary answers, and nothing is an alarm."""
    decision = walk(m, (0.0, {}), (9.0, ALL))
    assert (decision.rung, decision.shed, decision.alarm) == (Rung.PRIMARY, 0, "")


def check_each_fault_of_the_primary_leads_down_at_once(m):
    """Gone, stalled, breaker open or half open: the next rung at the same moment, with its cause."""
    for cause, fault in (
        ("primary_down", {"primary_down": "gone"}),
        ("primary_stalled", {"stalled_ms": 251.0, "stall_limit_ms": 250.0}),
        ("breaker_open", {"breaker": BreakerPhase.OPEN}),
        ("breaker_open", {"breaker": BreakerPhase.HALF_OPEN}),
    ):
        decision = walk(m, (0.0, ALL), (5.0, {**ALL, **fault}))
        assert decision.rung is Rung.FALLBACK
        assert (decision.state.cause, decision.state.since_s) == (cause, 5.0)
    assert walk(m, (0.0, {**ALL, "stalled_ms": 250.0})).rung is Rung.PRIMARY


def check_the_order_of_rungs(m):
    """Peer, fallback, last good, static, stop: the first that is available."""
    fields = {**ALL, "peer_down": "", "primary_down": "gone"}
    assert walk(m, (0.0, fields)).rung is Rung.PEER
    fields["peer_down"] = "no peers yet"
    assert walk(m, (0.0, fields)).rung is Rung.FALLBACK
    fields["fallback_down"] = "not loaded"
    assert walk(m, (0.0, fields)).rung is Rung.LAST_GOOD
    fields["last_good_age_ms"] = 1001.0
    assert walk(m, (0.0, fields)).rung is Rung.STATIC
    fields["static_down"] = "none"
    decision = walk(m, (0.0, fields))
    assert decision.rung is Rung.STOP
    assert "gone" in decision.alarm


def check_old_answers_end_with_their_age(m):
    """At `max_age` the last good answer may be given; after it, it may not."""
    fields = {"primary_down": "gone", "last_good_max_age_ms": 1000.0}
    assert walk(m, (0.0, {**fields, "last_good_age_ms": 1000.0})).rung is Rung.LAST_GOOD
    assert walk(m, (0.0, {**fields, "last_good_age_ms": 1000.1})).rung is Rung.STOP


def check_climbing_waits(m):
    """The primary must be back for 2 s before it gets requests; what interrupts starts anew."""
    state = down(m)
    assert walk(m, (110.0, ALL), (111.9, ALL), state=state).rung is Rung.FALLBACK
    decision = walk(m, (110.0, ALL), (112.0, ALL), state=state)
    assert (decision.rung, decision.state.cause) == (Rung.PRIMARY, "recovered")
    gone = {**ALL, "primary_down": "gone"}
    steps = ((110.0, ALL), (111.0, gone), (112.0, ALL), (113.9, ALL))
    assert walk(m, *steps, state=state).rung is Rung.FALLBACK


def check_climbing_dwells(m):
    """A rung is held for at least the dwell time, however soon the better one is back."""
    bounds = limits(m, climb_hold_s=0.0, dwell_s=5.0)
    gone = {**ALL, "primary_down": "gone"}
    assert walk(m, (0.0, gone), (4.9, ALL), bounds=bounds).rung is Rung.FALLBACK
    assert walk(m, (0.0, gone), (5.0, ALL), bounds=bounds).rung is Rung.PRIMARY


def check_each_step_up_waits_for_itself(m):
    """The wait for the fallback does not count for the primary that comes back right after."""
    gone = {**ALL, "primary_down": "gone"}
    steps = ((0.0, {**gone, "fallback_down": "x", "last_good_age_ms": None}), (1.0, gone))
    state = walk(m, *steps, (5.0, gone)).state
    assert state.rung is Rung.FALLBACK
    assert walk(m, (5.1, ALL), (7.0, ALL), state=state).rung is Rung.FALLBACK
    assert walk(m, (5.1, ALL), (7.2, ALL), state=state).rung is Rung.PRIMARY


def check_setbacks_double_the_wait(m):
    """Falls soon after a climb make the next climbs wait 4, 8, 16 and at most 16 s."""
    state, now_s = down(m), 200.0
    gone = {**ALL, "primary_down": "gone"}
    state = walk(m, (now_s, ALL), (now_s + 2.0, ALL), state=state).state
    for needed_s in (4.0, 8.0, 16.0, 16.0):
        now_s += 20.0
        state = walk(m, (now_s, gone), (now_s + 1.0, ALL), state=state).state
        early = walk(m, (now_s + 1.0 + needed_s - 0.1, ALL), state=state)
        assert early.rung is Rung.FALLBACK
        now_s += 1.0 + needed_s
        state = walk(m, (now_s, ALL), state=early.state).state
        assert state.rung is Rung.PRIMARY
    calm = walk(m, (now_s + 60.0, gone), state=state).state
    assert calm.setbacks == 0


def check_stop_is_left_at_once(m):
    """Where nothing is answered there is nothing to lose, unless that went wrong just before."""
    stopped = walk(m, (0.0, {"primary_down": "gone"})).state
    assert stopped.rung is Rung.STOP
    up = walk(m, (0.1, {}), state=stopped)
    assert up.rung is Rung.PRIMARY
    again = walk(m, (1.0, {"primary_down": "gone"}), (1.1, {}), state=up.state)
    assert again.rung is Rung.STOP
    assert walk(m, (5.0, {}), state=again.state).rung is Rung.STOP
    assert walk(m, (5.2, {}), state=again.state).rung is Rung.PRIMARY


def check_a_rung_that_is_lost_is_left(m):
    """A rung that stops being available is left at once, down or, where that is free, up."""
    state = down(m)
    gone = {**ALL, "primary_down": "gone", "fallback_down": "dead too"}
    assert walk(m, (101.0, gone), state=state).rung is Rung.LAST_GOOD
    back = {**ALL, "fallback_down": "dead too"}
    assert walk(m, (100.5, back), state=state).rung is Rung.PRIMARY


def check_changes_an_hour_are_bounded_then_it_latches(m):
    """After the bound it stays down with an alarm; half an hour's room or an operator lets it up."""
    state, now_s = m.LadderState(), 0.0
    gone = {**ALL, "primary_down": "gone"}
    moves = []
    for _ in range(40):
        for fields in (gone, ALL, ALL):
            now_s += 20.0
            before = state.rung
            decision = walk(m, (now_s, fields), state=state)
            state = decision.state
            if state.rung is not before:
                moves.append(now_s)
    assert len(moves) <= 20
    assert len(moves) >= 12
    assert state.latched
    assert state.rung is Rung.FALLBACK
    assert "until it is released" in decision.alarm
    assert walk(m, (now_s + 60.0, ALL), (now_s + 120.0, ALL), state=state).rung is Rung.FALLBACK
    free = walk(m, (now_s + 1.0, ALL), (now_s + 5.0, ALL), state=m.release(state))
    assert (free.rung, free.alarm, free.state.latched) == (Rung.PRIMARY, "", False)
    later = walk(m, (now_s + 3600.0, ALL), (now_s + 3700.0, ALL), state=state)
    assert (later.rung, later.state.latched) == (Rung.PRIMARY, False)


def check_a_latched_route_still_goes_down(m):
    """A latch holds a route down, never up on a rung that cannot answer."""
    latched = m.LadderState(
        rung=Rung.FALLBACK, latched=True, changes=tuple(float(n) for n in range(90, 110))
    )
    lost = {**ALL, "fallback_down": "dead too"}
    decision = walk(m, (120.0, lost), state=latched)
    assert (decision.rung, decision.state.cause) == (Rung.LAST_GOOD, "rung_lost")


def check_a_latch_ends_at_half_the_bound(m):
    """With 11 of 20 changes in the hour it holds though more would be permitted; with 10 it ends."""

    def latched(count):
        changes = tuple(float(n) for n in range(count))
        return m.LadderState(rung=Rung.FALLBACK, latched=True, changes=changes)

    held = walk(m, (100.0, ALL), (110.0, ALL), state=latched(11))
    assert (held.rung, held.state.latched) == (Rung.FALLBACK, True)
    assert walk(m, (100.0, ALL), (110.0, ALL), state=latched(10)).rung is Rung.PRIMARY


def check_an_operator_wins_in_both_directions(m):
    """Forced rungs are taken at once, whatever the evidence says, and held."""
    by = {"actor": "kim", "reason": "tests"}
    for kind, rung in (
        (OverrideKind.FALLBACK, Rung.FALLBACK),
        (OverrideKind.FAILSAFE, Rung.STATIC),
        (OverrideKind.MAINTENANCE, Rung.STOP),
    ):
        forced = {**ALL, **by, "override": kind}
        decision = walk(m, (0.0, ALL), (1.0, forced), (500.0, forced))
        assert (decision.rung, decision.state.cause, decision.alarm) == (rung, "operator", "")
        assert decision.state.reason == "kim: tests"
    static = {**ALL, **by, "override": OverrideKind.FAILSAFE}
    fallback = {**ALL, **by, "override": OverrideKind.FALLBACK}
    assert walk(m, (0.0, static), (0.1, fallback)).rung is Rung.FALLBACK


def check_a_forced_rung_that_cannot_answer_gives_way_downwards(m):
    """`fallback` without a fallback is what lies below it, never the primary."""
    forced = {"override": OverrideKind.FALLBACK, "static_down": ""}
    assert walk(m, (0.0, forced)).rung is Rung.STATIC
    assert walk(m, (0.0, {"override": OverrideKind.FAILSAFE})).rung is Rung.STOP
    peer = {**ALL, "peer_down": "", "override": OverrideKind.FALLBACK}
    assert walk(m, (0.0, peer)).rung is Rung.FALLBACK
    assert walk(m, (0.0, {**ALL, "override": OverrideKind.FAILSAFE})).rung is Rung.STATIC


def check_after_an_override_it_climbs_as_ever(m):
    """A released route goes back to the primary after the hold time, not before."""
    forced = {**ALL, "override": OverrideKind.FAILSAFE}
    steps = ((0.0, ALL), (1.0, forced), (60.0, ALL))
    assert walk(m, *steps, (61.9, ALL)).rung is Rung.STATIC
    assert walk(m, *steps, (62.0, ALL)).rung is Rung.PRIMARY


def check_heat_sheds_then_falls_back(m):
    """A governed rate sheds low priorities; then the fallback answers, or more is shed without one."""
    warm = {"heat": Heat.SHED, "heat_reason": "84 °C"}
    decision = walk(m, (0.0, {**ALL, **warm}))
    assert (decision.rung, decision.shed, decision.state.cause) == (Rung.SHED, 4, "hot")
    assert decision.state.reason == "84 °C"
    hot = {**warm, "heat": Heat.LIGHTER}
    assert walk(m, (0.0, {**ALL, **hot})).rung is Rung.FALLBACK
    assert walk(m, (0.0, {**ALL, **hot, "peer_down": ""})).rung is Rung.PEER
    alone = walk(m, (0.0, hot))
    assert (alone.rung, alone.shed) == (Rung.SHED, 7)
    assert walk(m, (0.0, {**ALL, "heat": Heat.NORMAL})).rung is Rung.PRIMARY


def check_critical_heat_lets_no_model_run(m):
    """A peer, an old answer, the static one, or nobody; also where the primary is down besides."""
    critical = {"heat": Heat.REFUSE, "heat_reason": "89 °C"}
    for fault in ({}, {"primary_down": "gone"}, {"breaker": BreakerPhase.OPEN}):
        decision = walk(m, (0.0, {**ALL, **critical, **fault}))
        assert (decision.rung, decision.state.cause) == (Rung.LAST_GOOD, "critical_heat")
        without = {**ALL, "last_good_age_ms": None}
        assert walk(m, (0.0, {**without, **critical, **fault})).rung is Rung.STATIC
        assert walk(m, (0.0, {**critical, **fault, "fallback_down": ""})).rung is Rung.STOP
        assert walk(m, (0.0, {**ALL, **critical, **fault, "peer_down": ""})).rung is Rung.PEER
        forced = {**ALL, **critical, "override": OverrideKind.FALLBACK}
        assert walk(m, (0.0, forced)).rung is Rung.LAST_GOOD
    condition = next(c for c in decision.conditions if c.name == "thermal")
    assert (condition.met, condition.detail) == (True, "89 °C")


def check_slow_answers_shed_after_a_while(m):
    """p99 above the objective for 2 s sheds; it ends below 0.8 of it."""
    slow = {"p99_ms": 51.0, "objective_ms": 50.0}
    assert walk(m, (0.0, slow), (1.9, slow)).rung is Rung.PRIMARY
    decision = walk(m, (0.0, slow), (2.0, slow))
    assert (decision.rung, decision.shed, decision.state.cause) == (Rung.SHED, 4, "slow")
    near = {"p99_ms": 41.0, "objective_ms": 50.0}
    well = {"p99_ms": 40.0, "objective_ms": 50.0}
    state = decision.state
    assert walk(m, (10.0, near), (20.0, near), state=state).rung is Rung.SHED
    assert walk(m, (10.0, well), (20.0, well), state=state).rung is Rung.PRIMARY
    at = {"p99_ms": 50.0, "objective_ms": 50.0}
    assert walk(m, (0.0, at), (9.0, at)).rung is Rung.PRIMARY


def check_conditions_say_what_was_looked_at(m):
    """Every decision lists its conditions with measure and threshold; a wait says held and needed."""
    state = down(m)
    decision = walk(m, (110.0, ALL), (111.5, ALL), state=state)
    found = {each.name: each for each in decision.conditions}
    assert (found["better_rung"].held_s, found["better_rung"].needed_s) == (1.5, 2.0)
    assert not found["better_rung"].met
    assert found["fallback_available"].met
    assert found["peer_available"].detail == "no peers yet"
    stalled = walk(m, (0.0, {"stalled_ms": 300.0}))
    found = {each.name: each for each in stalled.conditions}
    assert (found["primary_stalled"].measured, found["primary_stalled"].threshold) == (300.0, 250.0)
    assert found["primary_stalled"].met


CHECKS = [value for name, value in sorted(globals().items()) if name.startswith("check_")]
