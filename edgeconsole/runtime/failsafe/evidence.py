"""What the ladder looks at, as one immutable value that can be recorded and written by hand.

Every field has a default that speaks for a healthy primary and nothing below it, so that a trace
names only what matters. An empty `…_down` says that the rung could answer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from edgeconsole.protocol.failsafe import BreakerPhase, Condition, OverrideKind
from edgeconsole.protocol.inference import Rung

NO_PEERS: Final = "no peers yet"


class Heat(StrEnum):
    """What the device's thermal policy asks of its routes."""

    NORMAL = "normal"
    SHED = "shed"
    """The rate is governed: low priorities go first."""
    LIGHTER = "lighter"
    """Something lighter than the primary should answer."""
    REFUSE = "refuse"
    """No model may run."""


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One route at one moment."""

    primary_down: str = ""
    """Why the primary cannot answer; empty: it can."""
    stalled_ms: float = 0.0
    """For how long every worker of the primary has held its job."""
    stall_limit_ms: float = 250.0
    breaker: BreakerPhase = BreakerPhase.CLOSED
    breaker_conditions: tuple[Condition, ...] = ()
    p99_ms: float | None = None
    objective_ms: float | None = None
    """What p99 should stay below; `None`: nobody said."""
    heat: Heat = Heat.NORMAL
    heat_reason: str = ""
    """Why the thermal policy asks for it."""
    temp_c: float | None = None
    limit_temp_c: float | None = None
    peer_down: str = NO_PEERS
    fallback_down: str = "no fallback model is configured"
    last_good_age_ms: float | None = None
    """The kept answer's age; `None`: there is none."""
    last_good_max_age_ms: float | None = None
    """`None`: the operator did not allow old answers."""
    static_down: str = "no static answer is declared"
    override: OverrideKind | None = None
    actor: str = ""
    reason: str = ""
    """The operator's, with `override`."""


def why_down(evidence: Evidence, rung: Rung) -> str:
    """Return why a rung below the primary cannot answer; empty if it can."""
    match rung:
        case Rung.PEER:
            return evidence.peer_down
        case Rung.FALLBACK:
            return evidence.fallback_down or _too_hot(evidence)
        case Rung.LAST_GOOD:
            return _last_good_down(evidence)
        case Rung.STATIC:
            return evidence.static_down
        case Rung.STOP:
            return ""
        case _:
            return _primary_down(evidence)


def _primary_down(evidence: Evidence) -> str:
    if evidence.primary_down:
        return evidence.primary_down
    if evidence.stalled_ms > evidence.stall_limit_ms:
        return f"no worker has answered for {evidence.stalled_ms:.0f} ms"
    if evidence.breaker is not BreakerPhase.CLOSED:
        return f"its breaker is {evidence.breaker}"
    return _too_hot(evidence)


def _too_hot(evidence: Evidence) -> str:
    if evidence.heat is not Heat.REFUSE:
        return ""
    return f"the device is too hot for any model: {evidence.heat_reason}"


def _last_good_down(evidence: Evidence) -> str:
    age_ms, most_ms = evidence.last_good_age_ms, evidence.last_good_max_age_ms
    if most_ms is None:
        return "old answers are not allowed (last_good_max_age_ms)"
    if age_ms is None:
        return "there is no earlier answer"
    if age_ms > most_ms:
        return f"the last answer is {age_ms / 1e3:.1f} s old, {most_ms / 1e3:g} s are allowed"
    return ""
