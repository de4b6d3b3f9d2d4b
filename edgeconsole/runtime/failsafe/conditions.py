"""The conditions behind a decision: measured, threshold, held, needed. Pure."""

from __future__ import annotations

from edgeconsole.protocol.failsafe import BreakerPhase, Condition
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe.evidence import Evidence, Heat, why_down


def observed(evidence: Evidence, slow_held_s: float, slow_needed_s: float) -> tuple[Condition, ...]:
    """Return every condition that a decision looked at, whether it was met or not."""
    return (
        _override(evidence),
        Condition(
            "primary_down", met=bool(evidence.primary_down), detail=evidence.primary_down or "ready"
        ),
        Condition(
            "primary_stalled",
            met=evidence.stalled_ms > evidence.stall_limit_ms,
            measured=evidence.stalled_ms,
            threshold=evidence.stall_limit_ms,
            unit="ms",
        ),
        Condition(
            "breaker_open",
            met=evidence.breaker is not BreakerPhase.CLOSED,
            detail=evidence.breaker.value,
        ),
        *evidence.breaker_conditions,
        Condition(
            "p99_above_objective",
            met=(
                evidence.p99_ms is not None
                and evidence.objective_ms is not None
                and evidence.p99_ms > evidence.objective_ms
            ),
            measured=evidence.p99_ms,
            threshold=evidence.objective_ms,
            unit="ms",
            held_s=slow_held_s,
            needed_s=slow_needed_s,
        ),
        _heat(evidence),
        *(
            Condition(
                f"{rung.value}_available",
                met=not why_down(evidence, rung),
                detail=why_down(evidence, rung),
            )
            for rung in (Rung.PEER, Rung.FALLBACK, Rung.LAST_GOOD, Rung.STATIC)
        ),
    )


def _override(evidence: Evidence) -> Condition:
    if evidence.override is None:
        return Condition("operator", met=False, detail="nothing is forced")
    detail = f"{evidence.override} by {evidence.actor}: {evidence.reason}"
    return Condition("operator", met=True, detail=detail)


def _heat(evidence: Evidence) -> Condition:
    return Condition(
        "thermal",
        met=evidence.heat is not Heat.NORMAL,
        measured=evidence.temp_c,
        threshold=evidence.limit_temp_c,
        unit="°C",
        detail=evidence.heat_reason or evidence.heat.value,
    )
