"""The conditions behind a decision: measured, threshold, held, needed. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from edgeconsole.protocol.failsafe import BreakerPhase, Condition
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe.evidence import Evidence, why_down

_PLAUSIBLE_C: Final = (-40.0, 150.0)
"""A sensor outside this is broken, whatever it says: −273 and 200 °C are what broken ones say."""


class Heat(StrEnum):
    """How warm a device is, by its own limits."""

    NORMAL = "normal"
    WARM = "warm"
    HOT = "hot"


def heat_of(before: Heat, evidence: Evidence, gap_c: float) -> Heat:
    """Return the level of heat: it begins at its limit and ends `gap_c` below.

    An unknown temperature is no evidence: the level stays as it was.
    """
    temp_c = plausible_c(evidence)
    if temp_c is None:
        return before
    hot = _above(temp_c, evidence.max_temp_c, gap_c, held=before is Heat.HOT)
    warm = _above(temp_c, evidence.warn_temp_c, gap_c, held=before is not Heat.NORMAL)
    if hot:
        return Heat.HOT
    return Heat.WARM if warm else Heat.NORMAL


def plausible_c(evidence: Evidence) -> float | None:
    """Return the temperature, unless it is unknown or no temperature of a device."""
    temp_c = evidence.temp_c
    least_c, most_c = _PLAUSIBLE_C
    return temp_c if temp_c is not None and least_c <= temp_c <= most_c else None


def observed(
    evidence: Evidence, heat: Heat, slow_held_s: float, slow_needed_s: float
) -> tuple[Condition, ...]:
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
        _heat(evidence, heat),
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


def _heat(evidence: Evidence, heat: Heat) -> Condition:
    if evidence.warn_temp_c is None and evidence.max_temp_c is None:
        detail = "no limits are configured"
    elif evidence.temp_c is None:
        detail = f"{heat}; unknown now"
    elif plausible_c(evidence) is None:
        detail = f"{heat}; the sensor's {evidence.temp_c:.0f} °C cannot be"
    else:
        detail = heat.value
    hot = heat is Heat.HOT or evidence.warn_temp_c is None
    return Condition(
        "temperature",
        met=heat is not Heat.NORMAL,
        measured=plausible_c(evidence),
        threshold=evidence.max_temp_c if hot else evidence.warn_temp_c,
        unit="°C",
        detail=detail,
    )


def _above(temp_c: float, limit_c: float | None, gap_c: float, *, held: bool) -> bool:
    if limit_c is None:
        return False
    return temp_c >= limit_c or (held and temp_c > limit_c - gap_c)
