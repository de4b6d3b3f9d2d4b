"""A changed threshold or operator in the ladder or the breaker is noticed by their checks.

Each mutation changes one place of the source in memory; at least one check must then fail. A check
list that lets a mutant live would let a defect live.
"""

from __future__ import annotations

import sys
import types
from pathlib import Path

import breaker_checks
import ladder_checks
import pytest

from edgeconsole.runtime.failsafe import breaker, ladder

LADDER = [
    ("if evidence.override is not None:", "if evidence.override is None:"),
    ("if evidence.primary_down:", "if not evidence.primary_down:"),
    ("evidence.stalled_ms > evidence.stall_limit_ms", "evidence.stalled_ms < 0"),
    ("evidence.stalled_ms > evidence.stall_limit_ms", "evidence.stalled_ms >= 250.0"),
    ("evidence.breaker is not BreakerPhase.CLOSED", "evidence.breaker is BreakerPhase.OPEN"),
    ("evidence.breaker is not BreakerPhase.CLOSED", "evidence.breaker is BreakerPhase.CLOSED"),
    ("if state.heat is Heat.LIGHTER:", "if state.heat is Heat.SHED:"),
    ("if state.heat is Heat.SHED:", "if state.heat is Heat.NORMAL:"),
    ("if evidence.heat is Heat.REFUSE:", "if evidence.heat is Heat.LIGHTER:"),
    ("for rung in (Rung.PEER, Rung.FALLBACK):", "for rung in (Rung.PEER, Rung.STATIC):"),
    ("if state.shedding:", "if not state.shedding:"),
    ("rung.depth >= start.depth and", "rung.depth > start.depth and"),
    ("rung.depth >= start.depth and", "rung.depth <= start.depth and"),
    ("rung.depth >= start.depth and not why", "rung.depth >= start.depth and why"),
    ("_first_at_or_below(Rung.PEER, evidence)", "_first_at_or_below(Rung.FALLBACK, evidence)"),
    ("OverrideKind.FALLBACK: Rung.FALLBACK", "OverrideKind.FALLBACK: Rung.PEER"),
    ("OverrideKind.FALLBACK: Rung.FALLBACK", "OverrideKind.FALLBACK: Rung.STATIC"),
    ("OverrideKind.FAILSAFE: Rung.STATIC", "OverrideKind.FAILSAFE: Rung.LAST_GOOD"),
    ("OverrideKind.MAINTENANCE: Rung.STOP", "OverrideKind.MAINTENANCE: Rung.STATIC"),
    ("target.rung.depth >= here.depth or target.forced", "target.rung.depth >= here.depth"),
    ("target.rung.depth >= here.depth or", "target.rung.depth > here.depth or"),
    ("target.rung.depth >= here.depth or", "target.rung.depth <= here.depth or"),
    ("now_s - since_s >= needed_hold_s", "now_s - since_s > needed_hold_s"),
    ("now_s - since_s >= needed_hold_s", "now_s - since_s >= 0.5 * needed_hold_s"),
    ("now_s - state.since_s >= limits.dwell_s", "now_s - state.since_s >= 0.0"),
    ("now_s - state.since_s >= limits.dwell_s", "now_s - state.since_s > limits.dwell_s"),
    ("dwelt and now_s - since_s", "now_s - since_s"),
    ("if (due or untenable) and permitted", "if due and permitted"),
    ("and permitted and not latched", "and not latched"),
    ("and permitted and not latched", "and permitted"),
    ("if due and not permitted:", "if due and permitted:"),
    ("limits.changes_per_hour - _ROOM", "limits.changes_per_hour + _ROOM"),
    ("> limits.changes_per_hour // 2", "> limits.changes_per_hour * 2"),
    ("> limits.changes_per_hour // 2", ">= 0"),
    ("    if untenable:\n", "    if untenable and not latched:\n"),
    ("setbacks + 1 if now_s", "setbacks if now_s"),
    ("climbed_s < limits.calm_s else 0", "climbed_s < limits.calm_s else setbacks"),
    ("now_s - climbed_s < limits.calm_s", "now_s - climbed_s <= limits.calm_s"),
    ("limits.climb_hold_s * 2.0**doublings", "limits.climb_hold_s * 3.0**doublings"),
    ("min(limits.most_hold_s, limits.climb", "max(limits.most_hold_s, limits.climb"),
    ("state.rung is Rung.STOP and not state.setbacks", "state.rung is Rung.STOP"),
    ("state.rung is Rung.STOP and not state.setbacks", "not state.setbacks"),
    ("elif p99_ms > objective_ms:", "elif p99_ms >= objective_ms:"),
    ("elif p99_ms > objective_ms:", "elif p99_ms > 2 * objective_ms:"),
    ("now_s - slow_since_s >= limits.shed_after_s", "now_s - slow_since_s >= 0.0"),
    ("now_s - slow_since_s >= limits.shed_after_s", "now_s - slow_since_s > limits.shed_after_s"),
    ("p99_ms > limits.p99_gap * objective_ms", "p99_ms > objective_ms"),
    ("p99_ms > limits.p99_gap * objective_ms", "p99_ms >= limits.p99_gap * objective_ms"),
    ("if state.rung is not Rung.SHED:", "if state.rung is Rung.SHED:"),
    ("if state.heat is Heat.LIGHTER else", "if state.heat is Heat.SHED else"),
    ("now_s - at_s < HOUR_S", "now_s - at_s < 2 * HOUR_S"),
    ("latched=False, changes=()", "latched=False"),
    ("if state.rung is Rung.STOP and evidence.override is None:", "if state.latched:"),
    ("if state.rung is Rung.STOP and evidence.override is None:", "if state.rung is Rung.STOP:"),
    ("target.reason,\n        better_since_s=None", "target.reason"),
]
BREAKER = [
    (
        "breaker.phase is not BreakerPhase.CLOSED:\n        return breaker\n    bad",
        "False:\n        return breaker\n    bad",
    ),
    ("bad = calls.failed + calls.slow", "bad = calls.failed"),
    ("bad + (0 if calls.good else", "bad + (0 if not calls.good else"),
    ("now_s - breaker.since_s >= pause_s", "now_s - breaker.since_s > pause_s"),
    ("now_s - breaker.since_s >= pause_s", "now_s - breaker.since_s >= 0.5 * pause_s"),
    ("now_s - at_s > limits.trial_timeout_s", "now_s - at_s >= limits.trial_timeout_s"),
    ("now_s - at_s > limits.trial_timeout_s", "now_s - at_s > 2 * limits.trial_timeout_s"),
    ("now_s - breaker.since_s >= limits.calm_s", "now_s - breaker.since_s > limits.calm_s"),
    ("now_s - breaker.since_s >= limits.calm_s", "now_s - breaker.since_s >= 0.0"),
    ("begun >= limits.trials", "begun > limits.trials"),
    ("len(breaker.started) + breaker.passed", "len(breaker.started)"),
    ("is not BreakerPhase.HALF_OPEN or begun", "is BreakerPhase.CLOSED or begun"),
    ("or trial.opening != breaker.total_openings", ""),
    ("    if not passed:\n        return _open(breaker, now_s)\n", ""),
    ("breaker.passed < limits.trials", "breaker.passed <= limits.trials"),
    ("breaker.passed < limits.trials", "breaker.passed < limits.trials - 1"),
    ("    if len(left) == len(breaker.started):\n        return breaker\n", ""),
    ("since_s=now_s, openings=breaker.openings,", "since_s=now_s,"),
    ("limits.open_s * 2.0**doublings", "limits.open_s * 1.0**doublings"),
    ("min(limits.most_open_s, limits.open_s", "max(limits.most_open_s, limits.open_s"),
    ("max(breaker.openings - 1, 0)", "breaker.openings"),
    ("calls >= limits.minimum_calls", "calls > limits.minimum_calls"),
    ("calls >= limits.minimum_calls", "calls >= 0"),
    ("error_share >= limits.error_share", "error_share > limits.error_share"),
    ("slow_share >= limits.slow_share", "slow_share > limits.slow_share"),
    ("error_share = failed / calls", "error_share = (failed + slow) / calls"),
    ("row >= limits.bad_in_a_row", "row > limits.bad_in_a_row"),
    ("now_s - slot.second < limits.window_s", "now_s - slot.second <= limits.window_s"),
    ("now_s - slot.second < limits.window_s", "now_s - slot.second < 0.9 * limits.window_s"),
    ("total - slots[start].calls >= limits.window_calls", "total < 0"),
    ("openings=breaker.openings + 1,", "openings=1,"),
    ("if slots and now_s - slots[-1].second < width_s:", "if False:"),
]


def mutant(module: types.ModuleType, old: str, new: str) -> types.ModuleType:
    """Return a copy of a module with one place of its source changed."""
    source = Path(module.__file__ or "").read_text()
    assert source.count(old) == 1, f"{old!r} must be in {module.__name__} exactly once"
    made = types.ModuleType("mutant_of_" + module.__name__.rpartition(".")[2])
    sys.modules[made.__name__] = made
    exec(compile(source.replace(old, new), made.__name__, "exec"), made.__dict__)
    return made


def survives(subject: types.ModuleType, checks: list) -> bool:
    """Say whether no check notices that something is wrong with a module."""
    for check in checks:
        try:
            check(subject)
        except Exception:  # noqa: BLE001 - a mutant may fail in any way
            return False
    return True


@pytest.mark.parametrize(
    ("module", "checks"),
    [(ladder, ladder_checks.CHECKS), (breaker, breaker_checks.CHECKS)],
    ids=["ladder", "breaker"],
)
def test_an_unchanged_copy_survives(module, checks) -> None:
    """The method itself is sound: a copy without a mutation passes every check."""
    line = "from __future__ import annotations\n"
    assert survives(mutant(module, line, line), checks)


@pytest.mark.parametrize(("old", "new"), LADDER)
def test_a_mutation_of_the_ladder_is_noticed(old: str, new: str) -> None:
    """Each changed condition of the ladder fails at least one check."""
    assert not survives(mutant(ladder, old, new), ladder_checks.CHECKS)


@pytest.mark.parametrize(("old", "new"), BREAKER)
def test_a_mutation_of_the_breaker_is_noticed(old: str, new: str) -> None:
    """Each changed condition of the breaker fails at least one check."""
    assert not survives(mutant(breaker, old, new), breaker_checks.CHECKS)
