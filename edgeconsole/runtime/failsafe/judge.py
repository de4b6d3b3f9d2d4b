"""The shell around one route's ladder and breaker: keeps their states, feeds them, tells of moves."""

from __future__ import annotations

from collections.abc import Callable

from edgeconsole.protocol.failsafe import BreakerPhase, Condition
from edgeconsole.protocol.inference import Rung
from edgeconsole.runtime.failsafe import breaker as breakers
from edgeconsole.runtime.failsafe.breaker import Breaker, BreakerLimits, Calls, Trial
from edgeconsole.runtime.failsafe.evidence import Evidence, Heat
from edgeconsole.runtime.failsafe.ladder import Decision, LadderLimits, LadderState, decide, release
from edgeconsole.specs import FailsafeSpec

OnMove = Callable[[Rung, Decision], None]


class Judge:
    """One route's judge. Times are monotonic seconds."""

    def __init__(
        self, spec: FailsafeSpec, limits: LadderLimits, now_s: float, on_move: OnMove
    ) -> None:
        self.state = LadderState(since_s=now_s)
        self.breaker = Breaker(since_s=now_s)
        self.limits = limits
        self.breaker_limits = BreakerLimits(
            minimum_calls=spec.minimum_calls,
            error_share=spec.error_share,
            slow_share=spec.slow_share,
        )
        self.shed = 0
        self.alarm = ""
        self.conditions: tuple[Condition, ...] = ()
        self.good = 0
        """Good calls that the breaker has not heard of yet."""
        self._why_open: tuple[Condition, ...] = ()
        self._on_move = on_move

    def fed(self, now_s: float, *, failed: int = 0, slow: int = 0) -> bool:
        """Tell the breaker of calls; says whether it opened."""
        before = self.breaker
        calls = Calls(self.good, failed, slow)
        self.good = 0
        self.breaker = breakers.observe(before, calls, now_s, self.breaker_limits)
        return self._opened(before, now_s)

    def tick(self, now_s: float) -> None:
        """Let the breaker's time pass."""
        if self.good:
            self.fed(now_s)
        before = self.breaker
        self.breaker = breakers.tick(before, now_s, self.breaker_limits)
        if self._opened(before, now_s):
            self._why_open = (_trial_failed("a trial ran out of time"),)

    def start_trial(self, now_s: float) -> Trial | None:
        """Let one call through to the primary if the breaker is half open and has trials left."""
        self.breaker, trial = breakers.start_trial(self.breaker, now_s, self.breaker_limits)
        return trial

    def end_trial(self, trial: Trial, now_s: float, *, passed: bool | None) -> None:
        """Count a trial; `None`: it says nothing."""
        before = self.breaker
        if passed is None:
            self.breaker = breakers.drop_trial(before, trial)
            return
        self.breaker = breakers.end_trial(before, trial, now_s, self.breaker_limits, passed=passed)
        if self._opened(before, now_s):
            self._why_open = (_trial_failed("a trial failed"),)

    def review(self, evidence: Evidence, now_s: float) -> None:
        """Decide by the evidence; a move is told."""
        before = self.state.rung
        decision = decide(self.state, evidence, now_s, self.limits)
        self.state = decision.state
        self.shed = decision.shed
        self.alarm = decision.alarm
        self.conditions = decision.conditions
        if decision.rung is not before:
            self._on_move(before, decision)

    def breaker_conditions(self, now_s: float) -> tuple[Condition, ...]:
        """Return what opened the breaker, or what would open it."""
        if self.breaker.phase is BreakerPhase.CLOSED:
            return breakers.conditions(self.breaker, now_s, self.breaker_limits)
        return self._why_open

    def release(self) -> None:
        """End a latch."""
        self.state = release(self.state)

    def forget(self, now_s: float) -> None:
        """Begin the breaker anew: another bundle is the primary now."""
        self.breaker = Breaker(since_s=now_s)
        self.good = 0

    @property
    def is_open_above(self) -> bool:
        """Say whether the primary may be asked though the route stands lower."""
        calm = self.state.heat in (Heat.NORMAL, Heat.SHED)
        return self.breaker.phase is BreakerPhase.CLOSED and calm

    @property
    def may_compute(self) -> bool:
        """Say whether any model may run: a critical device lets none."""
        return self.state.heat is not Heat.REFUSE

    def _opened(self, before: Breaker, now_s: float) -> bool:
        if self.breaker.total_openings == before.total_openings:
            return False
        self._why_open = breakers.conditions(self.breaker, now_s, self.breaker_limits)
        return True


def _trial_failed(detail: str) -> Condition:
    return Condition("breaker_trial_failed", met=True, detail=detail)
