"""`ThermalManager`: once a second the policy decides, and what it allows reaches serving and jobs.

The thin shell: reading, deciding and showing are functions of values. A simulated device's seconds
may pass faster than ours; whatever is told to people is in ours.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from edgeconsole.protocol.control import ForceThermal
from edgeconsole.protocol.telemetry import Severity
from edgeconsole.protocol.thermal import (
    ThermalAllowance,
    ThermalConditions,
    ThermalSample,
    ThermalState,
    ThermalTransition,
)
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_orders import ThermalOrder, order_of
from edgeconsole.runtime.health.thermal_policy import ThermalDecision, decide
from edgeconsole.runtime.health.thermal_reading import ThermalReading
from edgeconsole.runtime.health.thermal_state import ThermalPolicyState
from edgeconsole.runtime.health.thermal_steps import STEPS
from edgeconsole.runtime.outcomes import Outcomes

TICK_S: Final = 1.0
KEPT_TRANSITIONS: Final = 128
"""Overflow rule: the oldest is forgotten; consoles have stored it."""
_RATE_TICKS: Final = 3
"""The served rate is a mean over so many ticks: single seconds are mostly chance."""
_SEVERITIES: Final = {
    ThermalState.UNKNOWN: Severity.INFO,
    ThermalState.NOMINAL: Severity.INFO,
    ThermalState.WARM: Severity.INFO,
    ThermalState.HOT: Severity.WARNING,
    ThermalState.CRITICAL: Severity.CRITICAL,
}


class OnThermalEvent(Protocol):
    """Where events go."""

    def __call__(
        self,
        severity: Severity,
        kind: str,
        message: str,
        *,
        thermal: ThermalTransition | None = None,
    ) -> None:
        """Record an event."""
        ...


class ThermalHands(Protocol):
    """What the policy moves."""

    def computed_total(self) -> int:
        """Return how many requests models have computed so far."""
        ...

    def apply(self, allowance: ThermalAllowance, reason: str) -> None:
        """Let the device do so much from now on."""
        ...

    def throttled_total(self) -> int:
        """Return how many requests the governed rate refused so far."""
        ...


class ThermalManager:
    """One device's thermal policy at work."""

    def __init__(
        self,
        read: Callable[[float, float], ThermalReading],
        limits: ThermalLimits,
        hands: ThermalHands,
        on_event: OnThermalEvent,
        *,
        time_scale: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make it; `read` gets the served rate and the time, both of the device."""
        self.decision: ThermalDecision | None = None
        self._read = read
        self._limits = limits
        self._hands = hands
        self._on_event = on_event
        self._scale = time_scale
        self._clock = clock
        started_s = clock() * time_scale
        self._state = ThermalPolicyState(since_s=started_s, judged_since_s=started_s)
        self._reading = ThermalReading(reason="not read yet")
        self._order: ThermalOrder | None = None
        self._outcomes = Outcomes()
        """In memory: what is forced ends with the agent, so a command that comes again then is new."""
        self._counts: deque[tuple[float, int]] = deque(maxlen=_RATE_TICKS + 1)
        self._transitions: deque[ThermalTransition] = deque(maxlen=KEPT_TRANSITIONS)
        self._transitions_total = 0
        self._warned = False

    async def run(self) -> None:
        """Decide for ever; a simulated device that runs faster is looked at more often."""
        while True:
            self.tick()
            await asyncio.sleep(TICK_S / self._scale)

    def tick(self) -> None:
        """Read, decide, act, tell."""
        now_s = self._clock()
        if self._order is not None and now_s >= self._order.until_s:
            self._order = None
        forced = None if self._order is None else self._order.forced
        before = self._state
        self._reading = self._read(self._rate_per_s(now_s), now_s * self._scale)
        decision = decide(before, self._reading, now_s * self._scale, self._limits, forced)
        self.decision, self._state = decision, decision.state
        self._hands.apply(decision.allowance, self.reason)
        if self._state.state is not before.state or self._state.step != before.step:
            self._tell(before, decision)
        if decision.warnings and not self._warned:
            self._on_event(Severity.WARNING, "thermal_warning", "; ".join(decision.warnings))
        self._warned = bool(decision.warnings)

    def force(self, command: ForceThermal) -> str:
        """Force a state, or end that; returns a sentence. Raises `RequestError`."""
        done = self._outcomes.get(command.command_id)
        if done is not None:
            return done
        self._order = order_of(command, self._clock())
        self.tick()
        if self._order is None:
            what, said = "ended what is forced on", "nothing is forced on the thermal policy"
        else:
            what = f"forced {command.state} on"
            said = f"{command.state} is forced for {command.for_s:.0f} s"
            if self.decision is not None and self.decision.ignored:
                said += ", but the device is critical and ignores it"
        self._on_event(
            Severity.INFO if self._order is None else Severity.WARNING,
            "thermal_forced",
            f"{command.actor} {what} the thermal policy: {command.reason} ({said})",
        )
        return self._outcomes.add(command.command_id, said)

    @property
    def reason(self) -> str:
        """Return in words how warm the device is now, or why nobody knows."""
        state, decision = self._state, self.decision
        if decision is None or decision.temp_c is None or state.limit_c is None:
            return state.reason or state.state.value
        by = f"; {state.reason}" if state.cause == "operator" else ""
        return f"{decision.temp_c:.1f} °C, limit {state.limit_c:.0f} °C{by}"

    @property
    def retry_after_s(self) -> float:
        """Return in how many of our seconds a critical device may answer again, at the earliest."""
        state = self._state
        needed_s = self._limits.cool_critical_hold_s * 2.0**state.setbacks
        cool_s = state.held.get("cool_critical")
        held_s = 0.0 if cool_s is None else self._clock() * self._scale - cool_s
        return max(1.0, (needed_s - held_s) / self._scale)

    def sample(self) -> ThermalSample:
        """Return the policy as it stands, for telemetry."""
        decision, state, now_s = self.decision, self._state, self._clock()
        if decision is None:
            return ThermalSample(ThermalState.UNKNOWN, reason="not read yet")
        margin_c = None
        if decision.temp_c is not None and state.limit_c is not None:
            margin_c = state.limit_c - decision.temp_c
        left_s = decision.limit_in_s
        return ThermalSample(
            state=state.state,
            held_s=max(0.0, now_s - state.since_s / self._scale),
            cause=state.cause,
            reason=state.reason,
            sensor=self._reading.sensor,
            temp_c=decision.temp_c,
            limit_c=state.limit_c,
            limit_source=state.limit_source,
            margin_c=margin_c,
            slope_c_per_s=round(state.sensor.slope_c_per_s * self._scale, 4),
            allowance=decision.allowance,
            limit_in_s=None if left_s is None else left_s / self._scale,
            forecast_note=decision.forecast_note,
            override=None
            if self._order is None
            else self._order.shown(now_s, ignored=decision.ignored),
            warnings=decision.warnings,
            throttled_total=self._hands.throttled_total(),
            transitions_total=self._transitions_total,
            simulated=self._reading.simulated,
        )

    def transitions(self, limit: int) -> tuple[ThermalTransition, ...]:
        """Return the latest transitions, newest first."""
        return tuple(reversed(self._transitions))[:limit]

    def conditions(self) -> ThermalConditions | None:
        """Return what the latest decision looked at; `None` before the first."""
        if self.decision is None:
            return None
        state = self._state
        return ThermalConditions(state.state, state.reason, self.decision.conditions)

    def _tell(self, before: ThermalPolicyState, decision: ThermalDecision) -> None:
        """Keep a transition, and tell it; that a sensor was found at the start is none."""
        state = decision.state
        if before.cause == "" and state.state.depth == before.state.depth:
            return
        moved = state.state is not before.state
        order = self._order if state.state is not state.judged else None
        transition = ThermalTransition(
            before=before.state,
            after=state.state,
            step_before=before.step,
            step_after=state.step,
            cause=state.cause if moved else "step",
            time_unix_s=time.time(),
            reason=state.reason,
            conditions=decision.conditions,
            simulated=self._reading.simulated,
            actor="" if order is None else order.forced.actor,
        )
        self._transitions.append(transition)
        self._transitions_total += 1
        what = f"{before.state} → {state.state}" if moved else state.state.value
        simulated = "simulated: " if self._reading.simulated else ""
        why = f" ({state.cause}: {state.reason})" if moved else ""
        severity = _SEVERITIES[state.state]
        if not moved or state.state.depth < before.state.depth:
            severity = Severity.INFO
        self._on_event(
            severity,
            "thermal_changed",
            f"{simulated}{what}, {STEPS[state.step]}{why}",
            thermal=transition,
        )

    def _rate_per_s(self, now_s: float) -> float:
        """Return what was computed a second lately."""
        self._counts.append((now_s, self._hands.computed_total()))
        (first_s, first), (last_s, last) = self._counts[0], self._counts[-1]
        return max(0.0, (last - first) / (last_s - first_s)) if last_s > first_s else 0.0
