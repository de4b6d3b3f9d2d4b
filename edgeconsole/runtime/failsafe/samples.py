"""A route as consoles see it."""

from __future__ import annotations

from edgeconsole.protocol.failsafe import Override, RouteSample, RungSample
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe.evidence import Evidence, why_down
from edgeconsole.runtime.failsafe.house import House
from edgeconsole.runtime.failsafe.ladder import HOUR_S
from edgeconsole.runtime.failsafe.route import Route
from edgeconsole.runtime.serving.runner import ModelRunner


def route_sample(route: Route, override: Override | None, now_s: float) -> RouteSample:
    """Return a route's figures now."""
    state = route.judge.state
    evidence = route.evidence(now_s)
    late = 0 if route.primary is None else route.primary.metrics.late_total
    return RouteSample(
        model=route.model,
        rung=state.rung,
        held_s=max(0.0, now_s - state.since_s),
        cause=state.cause,
        reason=state.reason,
        override=override,
        latched=state.latched,
        alarm="; ".join(part for part in (route.judge.alarm, route.note) if part),
        breaker=route.judge.breaker.phase,
        shed=route.judge.shed,
        rungs=(
            _with_model(
                Rung.PRIMARY, why_down(evidence, Rung.PRIMARY), route.primary, route.house, now_s
            ),
            RungSample(Rung.PEER, available=not evidence.peer_down, reason=evidence.peer_down),
            _fallback(route, evidence, now_s),
            *(_without_model(rung, evidence) for rung in (Rung.LAST_GOOD, Rung.STATIC)),
        ),
        answers={rung.value: count for rung, count in route.counts.answers.items()},
        refused={code.value: count for code, count in route.counts.refused.items()},
        hedged_total=route.counts.hedged,
        late_dropped_total=late,
        shadow_total=route.counts.shadows,
        transitions_last_hour=sum(now_s - at_s < HOUR_S for at_s in state.changes),
    )


def _fallback(route: Route, evidence: Evidence, now_s: float) -> RungSample:
    """Describe the rung by the model that would answer, else by the first one that is loaded."""
    runner = route.standby.runner if route.standby is not None else None
    if runner is None:
        loaded = (route.house.loaded(name) for name in route.fallback_models)
        runner = next((each for each in loaded if each is not None), None)
    return _with_model(Rung.FALLBACK, evidence.fallback_down, runner, route.house, now_s)


def _with_model(
    rung: Rung, down: str, runner: ModelRunner | None, house: House, now_s: float
) -> RungSample:
    if runner is None:
        return RungSample(rung, available=not down, reason=down)
    proof = house.proof(runner)
    return RungSample(
        rung,
        available=not down,
        reason=down,
        model=runner.manifest.model,
        version=runner.manifest.version,
        variant=runner.manifest.variant,
        memory_bytes=runner.rss_bytes(),
        self_test_age_s=proof.age_s(now_s),
        self_test_ms=proof.took_ms,
    )


def _without_model(rung: Rung, evidence: Evidence) -> RungSample:
    down = why_down(evidence, rung)
    return RungSample(rung, available=not down, reason=down)
