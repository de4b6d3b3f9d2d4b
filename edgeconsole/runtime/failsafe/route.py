"""One model's route: what lies on each of its rungs, and what is known of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from edgeconsole.bundle import Manifest
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import InferRequest, Rung
from edgeconsole.protocol.telemetry import ModelState
from edgeconsole.runtime.failsafe.asked import Asked
from edgeconsole.runtime.failsafe.evidence import Evidence
from edgeconsole.runtime.failsafe.guards import OutputGuard
from edgeconsole.runtime.failsafe.house import House
from edgeconsole.runtime.failsafe.journey import Journey
from edgeconsole.runtime.failsafe.judge import Judge, OnMove
from edgeconsole.runtime.failsafe.ladder import LadderLimits
from edgeconsole.runtime.failsafe.last_good import LastGood
from edgeconsole.runtime.failsafe.proof import Proof
from edgeconsole.runtime.failsafe.standby import Standby, input_order, why_not
from edgeconsole.runtime.failsafe.static_answers import NOT_DECLARED, StaticAnswer
from edgeconsole.runtime.failsafe.steps import Steps
from edgeconsole.runtime.failsafe.trials import Trials
from edgeconsole.runtime.serving.admission import check_request
from edgeconsole.runtime.serving.batcher import Outcome
from edgeconsole.runtime.serving.metrics import Phase
from edgeconsole.runtime.serving.runner import ModelRunner
from edgeconsole.specs import ModelDeploymentSpec

STALL_LIMIT_MS: Final = 250.0
_STALL_FACTOR: Final = 8.0
_P99_WINDOW_S: Final = 5
NO_CONSTANT: Final = Rung.STOP.depth + 1
"""Deeper than whatever a request may allow."""
_NO_FALLBACK: Final = "no fallback model is configured"


@dataclass(slots=True)
class Counts:
    """What a route did since the agent started."""

    answers: Counter[Rung] = field(default_factory=Counter)
    refused: Counter[ErrorCode] = field(default_factory=Counter)
    """Refused by the ladder itself, without asking a model."""
    hedged: int = 0
    shadows: int = 0


class Route:
    """A model's name, and everything that may answer to it."""

    def __init__(
        self,
        spec: ModelDeploymentSpec,
        house: House,
        *,
        deadline_ms: float,
        limits: LadderLimits,
        now_s: float,
        on_move: OnMove,
    ) -> None:
        self.model = spec.model_id
        self.spec = spec.failsafe
        self.fallback_models = spec.fallback_models
        self.house = house
        self.deadline_ms = deadline_ms
        self.judge = Judge(spec.failsafe, limits, now_s, on_move)
        self.counts = Counts()
        self.steps = Steps(self)
        self.trials = Trials(self, now_s)
        self.primary: ModelRunner | None = None
        self.manifest: Manifest | None = None
        self.note = ""
        """What else a person must know, such as that an older bundle serves."""
        self.standby: Standby | None = None
        self.standby_down = _NO_FALLBACK
        self.static: StaticAnswer | None = None
        self.static_down = NOT_DECLARED
        self.last_good = LastGood(None, 0)
        self.constant_depth = NO_CONSTANT
        """The depth of the first rung that may answer without a model."""
        self.guard = OutputGuard(self.spec)
        self.nominal_ms = 0.0
        """What a row took when the primary was loaded."""
        self._restarts = 0
        self._released = False
        self._begun = False
        self._orders: dict[str, tuple[int, ...] | None] = {}

    @property
    def rung(self) -> Rung:
        """Return the rung that answers."""
        return self.judge.state.rung

    def submit(
        self, request: InferRequest, received_s: float, finish: Callable[[Outcome], None]
    ) -> Callable[[RequestError], None]:
        """Take a request; `finish` is called once, by the deadline. Returns what drops it.

        Raises `RequestError`, and then `finish` is not called.
        """
        if self.house.active(self.model) is not self.primary:
            self.review(received_s)
        manifest = self.manifest
        if manifest is None:
            raise RequestError(
                ErrorCode.NOT_READY,
                f"{self.model!r} has no worker that can serve: "
                f"{self.house.why_not_loaded(self.model)}",
                hint="try again later",
            )
        fit = check_request(manifest, request)
        asked = Asked(
            inputs=[request.inputs[name] for name in fit.input_names],
            output_names=request.output_names,
            priority=request.priority,
            received_s=received_s,
            deadline_s=received_s + (request.deadline_ms or self.deadline_ms) / 1e3,
            rows=fit.rows,
            size_bytes=fit.size_bytes,
            shapes=fit.shapes,
            cache=request.cache,
            allow=request.allow or Rung.STOP,
        )
        journey = Journey(self.steps, asked, finish)
        journey.begin()
        return journey.drop

    def begin(self, manifest: Manifest | None) -> None:
        """Know that the model did not come up: from now on the ladder decides without it."""
        self._begun = True
        if manifest is not None:
            self._know(manifest)

    def _know(self, manifest: Manifest) -> None:
        """Take in what the model is, also where it cannot be loaded."""
        self.manifest = manifest
        self.static, self.static_down = StaticAnswer.declared(manifest, self.spec)
        if self.spec.last_good_max_age_ms is not None:
            self.constant_depth = Rung.LAST_GOOD.depth
        else:
            self.constant_depth = NO_CONSTANT if self.static is None else Rung.STATIC.depth

    def review(self, now_s: float) -> None:
        """Look at everything and decide; called ten times a second and when something happened."""
        self._look(now_s)
        if not self._begun:
            return  # Its model is still being loaded.
        self.judge.tick(now_s)
        evidence = self.evidence(now_s)
        self.house.record(self.model, evidence, now_s, released=self._released)
        self._released = False
        self.judge.review(evidence, now_s)

    def release(self) -> None:
        """End a latch: an operator has looked."""
        self._released = True
        self.judge.release()

    def evidence(self, now_s: float) -> Evidence:
        """Return what speaks for and against each rung now."""
        override = self.house.override(self.model)
        heat = self.house.heat()
        primary = self.primary
        p99_ms = None
        if primary is not None and self.spec.objective_ms is not None:
            (p99_ms,) = primary.metrics.percentiles_ms(
                now_s, Phase.TOTAL, 0.99, seconds=_P99_WINDOW_S
            )
        longest_ms = 0.0 if primary is None else primary.longest_job_ms()
        return Evidence(
            primary_down=self._primary_down(),
            stalled_ms=0.0 if primary is None else primary.stalled_ms(now_s),
            stall_limit_ms=max(STALL_LIMIT_MS, _STALL_FACTOR * longest_ms),
            breaker=self.judge.breaker.phase,
            breaker_conditions=self.judge.breaker_conditions(now_s),
            p99_ms=p99_ms,
            objective_ms=self.spec.objective_ms,
            heat=heat.heat,
            heat_reason=heat.reason,
            temp_c=heat.temp_c,
            limit_temp_c=heat.limit_c,
            fallback_down=self.standby_down,
            last_good_age_ms=self.last_good.age_ms(now_s),
            last_good_max_age_ms=self.last_good.max_age_ms,
            static_down=self.static_down,
            override=None if override is None else override.kind,
            actor="" if override is None else override.actor,
            reason="" if override is None else override.reason,
        )

    def _look(self, now_s: float) -> None:
        runner = self.house.active(self.model)
        if runner is not self.primary:
            self._bind(runner, now_s)
        if runner is not None and runner.restarts != self._restarts:
            lost = runner.restarts - self._restarts
            self._restarts = runner.restarts
            self.judge.fed(now_s, failed=lost)
        self.standby, self.standby_down = self._find_standby(now_s)

    def _bind(self, runner: ModelRunner | None, now_s: float) -> None:
        """Take another bundle as the primary: what was known of the one before says nothing."""
        self.primary = runner
        self._orders.clear()
        self.judge.forget(now_s)
        if runner is None:
            return
        self._begun = True
        self._know(runner.manifest)
        self.guard = OutputGuard(self.spec)
        self.last_good = LastGood(self.spec.last_good_max_age_ms, len(runner.manifest.outputs))
        self.nominal_ms = runner.curve.bound_ms(1)
        self._restarts = runner.restarts

    def _primary_down(self) -> str:
        primary = self.primary
        if primary is None:
            return self.house.why_not_loaded(self.model)
        if primary.state is not ModelState.READY or not primary.workers_ready:
            return f"{primary.manifest.key}: {primary.reason or 'no worker is ready'}"
        return self.house.proof(primary).reason

    def _find_standby(self, now_s: float) -> tuple[Standby | None, str]:
        """Return the first fallback model that could answer; or why none can."""
        reasons = []
        for name in self.fallback_models:
            runner = self.house.loaded(name)
            if runner is None:
                reasons.append(f"{name}: {self.house.why_not_loaded(name)}")
                continue
            proof = self.house.proof(runner)
            reason = why_not(runner, proof, now_s)
            if not reason:
                try:
                    return self._standby(runner, proof), ""
                except ValueError as error:
                    reason = str(error)
            reasons.append(reason)
        return None, "; ".join(reasons) or _NO_FALLBACK

    def _standby(self, runner: ModelRunner, proof: Proof) -> Standby:
        """Return a runner as a standby; raises `ValueError` if it answers other questions."""
        digest = runner.bundle.digest
        if digest not in self._orders and self.manifest is not None:
            self._orders[digest] = input_order(self.manifest, runner.manifest)
        return Standby(runner, proof, self._orders.get(digest))
