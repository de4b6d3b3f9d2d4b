"""What the thermal policy moves in the agent: the engine's rate and shares, jobs, the routes' heat."""

from __future__ import annotations

import time

from edgeconsole.protocol.thermal import ThermalAllowance
from edgeconsole.runtime.failsafe.evidence import Heat
from edgeconsole.runtime.failsafe.house import HeatEvidence
from edgeconsole.runtime.health.thermal_manager import ThermalManager
from edgeconsole.runtime.jobs.service import JobService
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.runtime.serving.runner import Shares
from edgeconsole.runtime.serving.throttle import Throttle

_RATE_STEP = 3
"""From this step on the rate is governed, and low priorities are shed."""


class AgentHands:
    """Applies an allowance to an engine and its jobs."""

    def __init__(self, engine: InferenceEngine, jobs: JobService) -> None:
        self._engine = engine
        self._jobs = jobs
        self._refused_before = 0

    def computed_total(self) -> int:
        """Return how many requests models have computed so far."""
        return self._engine.computed_total()

    def apply(self, allowance: ThermalAllowance, reason: str) -> None:
        """Let the device do so much from now on; costs nothing a request while all is allowed."""
        rate_per_s = None if allowance.refuse else allowance.rate_per_s
        throttle = self._engine.throttle
        if rate_per_s is None:
            if throttle is not None:
                self._refused_before += throttle.refused_total
            self._engine.throttle = None
        elif throttle is None:
            self._engine.throttle = Throttle(rate_per_s, reason, time.monotonic())
        else:
            throttle.set(rate_per_s, reason, time.monotonic())
        self._engine.hold_back(Shares(allowance.batch_share, allowance.thread_share))
        self._jobs.defer(reason if allowance.defer_background else "")

    def throttled_total(self) -> int:
        """Return how many requests the governed rate refused so far."""
        throttle = self._engine.throttle
        return self._refused_before + (0 if throttle is None else throttle.refused_total)


def heat_of(manager: ThermalManager) -> HeatEvidence:
    """Return what the thermal policy asks of the failsafe's routes now."""
    decision = manager.decision
    if decision is None:
        return HeatEvidence()
    allowance = decision.allowance
    heat, retry_s = Heat.NORMAL, None
    if allowance.refuse:
        heat, retry_s = Heat.REFUSE, manager.retry_after_s
    elif allowance.lighter_model:
        heat = Heat.LIGHTER
    elif allowance.step >= _RATE_STEP:
        heat = Heat.SHED
    return HeatEvidence(heat, manager.reason, decision.temp_c, decision.state.limit_c, retry_s)
