"""The failsafe ladder: which rung a route stands on, by its evidence. Pure: no clock, no I/O.

Down at once, up slowly: a better rung must be there for a while, each setback doubles that while, and
an hour holds only so many changes; then the route is latched where it stands until an operator
releases it or the hour has passed. An operator's override wins until it ends, in both directions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edgeconsole.protocol.failsafe import BreakerPhase, Condition, OverrideKind
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe.conditions import observed
from edgeconsole.runtime.failsafe.evidence import Evidence, Heat, why_down

HOUR_S: Final = 3600.0
_BELOW: Final = (Rung.PEER, Rung.FALLBACK, Rung.LAST_GOOD, Rung.STATIC)
_FORCED: Final = {
    OverrideKind.FALLBACK: Rung.FALLBACK,
    OverrideKind.FAILSAFE: Rung.STATIC,
    OverrideKind.MAINTENANCE: Rung.STOP,
}
_ROOM: Final = len(Rung) - 1
"""Changes kept in reserve: whatever happens, the way down to `stop` is open."""


@dataclass(frozen=True, slots=True)
class LadderLimits:
    """How eager a route is to climb, and how often it may change."""

    climb_hold_s: float = 2.0
    most_hold_s: float = 300.0
    dwell_s: float = 1.0
    """The least time on a rung before it is left upwards; `stop` is left at once."""
    calm_s: float = 60.0
    """A fall within so long after a climb is a setback: the next climb waits twice as long."""
    changes_per_hour: int = 40
    shed_after_s: float = 2.0
    p99_gap: float = 0.8
    """Shedding ends below this share of the objective."""
    shed_priority: int = 4
    """What is shed first: priorities below this."""
    shed_hot_priority: int = 7
    """Likewise where a hot device has nothing to fall back on."""


@dataclass(frozen=True, slots=True)
class LadderState:
    """Where a route stands; times are monotonic seconds."""

    rung: Rung = Rung.PRIMARY
    since_s: float = 0.0
    cause: str = ""
    reason: str = ""
    heat: Heat = Heat.NORMAL
    """What the thermal policy asked for; it has hysteresis of its own."""
    slow_since_s: float | None = None
    """Since when p99 is above the objective."""
    shedding: bool = False
    better_since_s: float | None = None
    """Since when a better rung than this could answer."""
    climbed_s: float | None = None
    setbacks: int = 0
    changes: tuple[float, ...] = ()
    """When the rung changed in the last hour."""
    latched: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from the evidence, and everything that was looked at."""

    state: LadderState
    conditions: tuple[Condition, ...]
    shed: int
    """Priorities below this are refused."""
    alarm: str

    @property
    def rung(self) -> Rung:
        """Return the rung to answer from."""
        return self.state.rung


@dataclass(frozen=True, slots=True)
class _Target:
    rung: Rung
    cause: str
    reason: str
    forced: bool = False


def decide(state: LadderState, evidence: Evidence, now_s: float, limits: LadderLimits) -> Decision:
    """Return where a route stands now, and why."""
    state = _watch(state, evidence, now_s, limits)
    target = _target(state, evidence)
    state, climb = _move(state, target, evidence, now_s, limits)
    conditions = (
        *observed(evidence, _held_s(state.slow_since_s, now_s), limits.shed_after_s),
        climb,
    )
    return Decision(state, conditions, _shed(state, limits), _alarm(state, target, evidence))


def release(state: LadderState) -> LadderState:
    """End a latch: an operator has looked; earlier changes no longer count."""
    return replace(state, latched=False, changes=(), setbacks=0)


def needed_hold_s(state: LadderState, limits: LadderLimits) -> float:
    """Return how long a better rung must be there before it is taken."""
    if state.rung is Rung.STOP and not state.setbacks:
        return 0.0  # Nothing is answered here: there is nothing to lose.
    doublings = min(state.setbacks, 32)
    return min(limits.most_hold_s, limits.climb_hold_s * 2.0**doublings)


def _watch(
    state: LadderState, evidence: Evidence, now_s: float, limits: LadderLimits
) -> LadderState:
    """Take in the heat, and what has hysteresis here: p99 against its objective."""
    p99_ms, objective_ms = evidence.p99_ms, evidence.objective_ms
    slow_since_s, shedding = state.slow_since_s, state.shedding
    if p99_ms is None or objective_ms is None:
        slow_since_s, shedding = None, False
    elif p99_ms > objective_ms:
        slow_since_s = now_s if slow_since_s is None else slow_since_s
        shedding = shedding or now_s - slow_since_s >= limits.shed_after_s
    else:
        slow_since_s = None
        shedding = shedding and p99_ms > limits.p99_gap * objective_ms
    return replace(
        state,
        heat=evidence.heat,
        slow_since_s=slow_since_s,
        shedding=shedding,
        changes=tuple(at_s for at_s in state.changes if now_s - at_s < HOUR_S),
    )


def _target(state: LadderState, evidence: Evidence) -> _Target:
    """Return the best rung the evidence allows."""
    if evidence.override is not None:
        rung = _first_at_or_below(_FORCED[evidence.override], evidence)
        return _Target(rung, "operator", f"{evidence.actor}: {evidence.reason}", forced=True)
    if evidence.heat is Heat.REFUSE:
        return _below(evidence, "critical_heat", evidence.heat_reason)
    if evidence.primary_down:
        return _below(evidence, "primary_down", evidence.primary_down)
    if evidence.stalled_ms > evidence.stall_limit_ms:
        reason = f"no worker has answered for {evidence.stalled_ms:.0f} ms"
        return _below(evidence, "primary_stalled", reason)
    if evidence.breaker is not BreakerPhase.CLOSED:
        met = [each for each in evidence.breaker_conditions if each.met]
        reason = "; ".join(f"{each.name} {each.detail}".strip() for each in met)
        return _below(evidence, "breaker_open", reason or f"the breaker is {evidence.breaker}")
    if state.heat is Heat.LIGHTER:
        for rung in (Rung.PEER, Rung.FALLBACK):
            if not why_down(evidence, rung):
                return _Target(rung, "hot", evidence.heat_reason)
        return _Target(Rung.SHED, "hot", f"{evidence.heat_reason}; nothing lighter can answer")
    if state.heat is Heat.SHED:
        return _Target(Rung.SHED, "hot", evidence.heat_reason)
    if state.shedding:
        reason = f"p99 is {evidence.p99_ms or 0.0:.1f} ms of {evidence.objective_ms or 0.0:g} ms"
        return _Target(Rung.SHED, "slow", reason)
    return _Target(Rung.PRIMARY, "recovered", "the primary is well")


def _below(evidence: Evidence, cause: str, reason: str) -> _Target:
    return _Target(_first_at_or_below(Rung.PEER, evidence), cause, reason)


def _first_at_or_below(start: Rung, evidence: Evidence) -> Rung:
    for rung in _BELOW:
        if rung.depth >= start.depth and not why_down(evidence, rung):
            return rung
    return Rung.STOP


def _move(
    state: LadderState,
    target: _Target,
    evidence: Evidence,
    now_s: float,
    limits: LadderLimits,
) -> tuple[LadderState, Condition]:
    """Go down at once, up when the time has come; returns the state and the climb's condition."""
    here = state.rung
    if target.rung.depth >= here.depth or target.forced:
        state = replace(state, better_since_s=None)
        if target.rung is not here:
            state = _change(state, target, now_s, limits)
        return state, _climb(state, now_s, limits, due=False)
    since_s = now_s if state.better_since_s is None else state.better_since_s
    permitted = len(state.changes) < limits.changes_per_hour - _ROOM
    latched = state.latched and len(state.changes) > limits.changes_per_hour // 2
    state = replace(state, better_since_s=since_s, latched=latched)
    # Here it cannot stay; up is no worse than down, as far as changes are left.
    untenable = here is not Rung.STOP and bool(why_down(evidence, here))
    dwelt = here is Rung.STOP or now_s - state.since_s >= limits.dwell_s
    due = dwelt and now_s - since_s >= needed_hold_s(state, limits)
    climb = _climb(state, now_s, limits, due=due)
    if (due or untenable) and permitted and not latched:
        return _change(state, target, now_s, limits), climb
    if due and not permitted:
        state = replace(state, latched=True)
    if untenable:
        rung = _first_at_or_below(here, evidence)
        return _change(state, replace(target, rung=rung, cause="rung_lost"), now_s, limits), climb
    return state, climb


def _change(state: LadderState, target: _Target, now_s: float, limits: LadderLimits) -> LadderState:
    """Step on another rung."""
    climbs = target.rung.depth < state.rung.depth
    setbacks, climbed_s = state.setbacks, state.climbed_s
    if climbs:
        climbed_s = now_s
    elif not target.forced and climbed_s is not None:
        setbacks = setbacks + 1 if now_s - climbed_s < limits.calm_s else 0
        climbed_s = None
    return replace(
        state,
        rung=target.rung,
        since_s=now_s,
        cause=target.cause,
        reason=target.reason,
        better_since_s=None,
        climbed_s=climbed_s,
        setbacks=setbacks,
        changes=(*state.changes, now_s),
    )


def _climb(state: LadderState, now_s: float, limits: LadderLimits, *, due: bool) -> Condition:
    return Condition(
        "better_rung",
        met=due,
        measured=float(len(state.changes)),
        threshold=float(limits.changes_per_hour),
        unit="changes an hour",
        held_s=_held_s(state.better_since_s, now_s),
        needed_s=needed_hold_s(state, limits),
        detail="latched" if state.latched else "",
    )


def _shed(state: LadderState, limits: LadderLimits) -> int:
    if state.rung is not Rung.SHED:
        return 0
    return limits.shed_hot_priority if state.heat is Heat.LIGHTER else limits.shed_priority


def _alarm(state: LadderState, target: _Target, evidence: Evidence) -> str:
    if state.latched:
        return (
            f"it changed {len(state.changes)} times in an hour and stays on {state.rung} until "
            "it is released"
        )
    if state.rung is Rung.STOP and evidence.override is None:
        return f"nothing can answer: {target.reason}"
    return ""


def _held_s(since_s: float | None, now_s: float) -> float:
    return 0.0 if since_s is None else now_s - since_s
