"""The failsafe ladder's words: rungs, conditions, transitions, and what an operator may force.

An agent explains each of its decisions with the `Condition`s that it looked at. Everything here is
what an agent says, so unknown fields are tolerated; the commands are in `protocol/control.py`.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from edgeconsole.protocol.bounds import AgeSeconds, Count, UnixTime
from edgeconsole.protocol.inference import Rung


class OverrideKind(StrEnum):
    """What an operator may force on a route."""

    FAILSAFE = "failsafe"
    """Answer with the declared static answer; refuse where there is none."""
    FALLBACK = "fallback"
    """Answer from the fallback model; from what lies below it where there is none."""
    MAINTENANCE = "maintenance"
    """Finish what was accepted, then refuse."""


class BreakerPhase(StrEnum):
    """What a route's circuit breaker does with requests to the primary."""

    CLOSED = "closed"
    """Lets all through."""
    OPEN = "open"
    """Lets none through."""
    HALF_OPEN = "half_open"
    """Lets some through as trials."""


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing the ladder looked at: what was measured, against what, and for how long it held."""

    name: str
    """A stable short name, such as `breaker_error_share`."""
    met: bool
    measured: float | None = None
    """`None` where it is not a number, or unknown; then `detail` says what it is."""
    threshold: float | None = None
    unit: str = ""
    held_s: float | None = None
    needed_s: float | None = None
    """How long it must hold before it counts; `None`: at once."""
    detail: str = ""


class Transition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A route went from one rung to another, and why."""

    model: str
    before: Rung
    after: Rung
    cause: str
    """A stable short name, such as `breaker_open` or `operator`."""
    time_unix_s: UnixTime
    conditions: tuple[Condition, ...] = ()
    actor: str = ""
    """Who forced it; empty: the ladder itself."""
    reason: str = ""
    """In words: the operator's, or the ladder's."""


class Override(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rung that an operator forced, until it is released or its time is over."""

    kind: OverrideKind
    model: str
    """Empty: all models."""
    actor: str
    reason: str
    command_id: str
    issued_unix_s: UnixTime
    """When the agent took it, by the agent's clock."""
    until_unix_s: UnixTime
    """When it ends, by the agent's clock as it goes now."""


class RungSample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rung of a route: whether it could answer now, and with what."""

    rung: Rung
    available: bool
    reason: str = ""
    """Why it is not available."""
    model: str = ""
    """The model that would answer, with its version and variant; empty: no model is needed."""
    version: str = ""
    variant: str = ""
    memory_bytes: Count | None = None
    """What keeping it ready costs."""
    self_test_age_s: AgeSeconds | None = None
    """Since the model last gave its golden answers; `None`: not tested, or nothing to test."""
    self_test_ms: float | None = None


class RouteSample(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model's route at one moment: which rung answers, why, and which others could."""

    model: str
    rung: Rung
    held_s: AgeSeconds
    """For how long it has been on this rung."""
    cause: str = ""
    """The latest transition's, see `Transition.cause`; empty: it never left the primary."""
    reason: str = ""
    override: Override | None = None
    latched: bool = False
    """It changed too often and stays down until an operator releases it."""
    alarm: str = ""
    """What a person must look at; empty: nothing."""
    breaker: BreakerPhase = BreakerPhase.CLOSED
    shed: Count = 0
    """Priorities below this are refused."""
    rungs: tuple[RungSample, ...] = ()
    """Best first."""
    answers: dict[str, Count] = {}
    """Answers by rung since the agent started; only rungs that answered."""
    refused: dict[str, Count] = {}
    """By error code: what the ladder refused without asking a model."""
    hedged_total: Count = 0
    """Requests that a lower rung answered because the primary would have been late."""
    late_dropped_total: Count = 0
    """Results that came after another rung's answer and were dropped."""
    shadow_total: Count = 0
    """Requests that the fallback ran beside the primary, to stay proven."""
    transitions_last_hour: Count = 0


class RouteConditions(msgspec.Struct, frozen=True):
    """What a route's latest decision looked at."""

    model: str
    rung: Rung
    conditions: tuple[Condition, ...]
