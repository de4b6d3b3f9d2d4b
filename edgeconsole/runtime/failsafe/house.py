"""What routes need of the agent around them: loaded models and their proofs, heat, overrides, a recorder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from edgeconsole.errors import BundleError
from edgeconsole.protocol.failsafe import Override
from edgeconsole.runtime.failsafe.evidence import Evidence, Heat
from edgeconsole.runtime.failsafe.orders import Orders
from edgeconsole.runtime.failsafe.proof import Proof
from edgeconsole.runtime.failsafe.recorder import EvidenceRecorder, Recorded
from edgeconsole.runtime.serving.batcher import Pending
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.runtime.serving.runner import ModelRunner
from edgeconsole.specs import EdgeAgentConfig, FailsafeSpec


@dataclass(frozen=True, slots=True)
class HeatEvidence:
    """What the thermal policy asks of the routes, and the temperature behind it."""

    heat: Heat = Heat.NORMAL
    reason: str = ""
    temp_c: float | None = None
    limit_c: float | None = None
    retry_after_s: float | None = None
    """In how many seconds it may be over, at the earliest, where nothing may run."""


class House:
    """The agent as its routes see it."""

    def __init__(
        self,
        config: EdgeAgentConfig,
        engine: InferenceEngine,
        orders: Orders,
        recorder: EvidenceRecorder | None,
    ) -> None:
        self.recorder = recorder
        self.not_loaded: dict[str, str] = {}
        """Why models are not loaded."""
        self._engine = engine
        self._orders = orders
        self.ask_heat: Callable[[], HeatEvidence] = HeatEvidence
        """Who knows what the thermal policy asks for; by default nothing."""
        self._specs = {spec.model_id: spec.failsafe for spec in config.model_specs}
        self._proofs: dict[str, Proof] = {}

    def active(self, model: str) -> ModelRunner | None:
        """Return the runner that answers to a model's name."""
        return self._engine.active_runner(model)

    def loaded(self, model: str) -> ModelRunner | None:
        """Return the runner that answers to a model's name, else any that is loaded of that name."""
        runner = self._engine.active_runner(model)
        if runner is not None:
            return runner
        for each in self._engine.loaded().values():
            if each.manifest.model == model:
                return each
        return None

    def why_not_loaded(self, model: str) -> str:
        """Return why a model is not loaded."""
        return self.not_loaded.get(model, "it is not loaded")

    def proof(self, runner: ModelRunner) -> Proof:
        """Return a loaded model's proof."""
        digest = runner.bundle.digest
        proof = self._proofs.get(digest)
        if proof is None or proof.runner is not runner:
            spec = self._specs.get(runner.manifest.model, FailsafeSpec())
            proof = self._proofs[digest] = Proof(runner, spec.self_test_s, time.monotonic())
        return proof

    async def look_after_proofs(self, now_s: float) -> None:
        """Begin self-tests that are due; golden inputs of what was just loaded are read first."""
        loaded = self._engine.loaded()
        for digest in self._proofs.keys() - loaded.keys():
            del self._proofs[digest]
        for runner in loaded.values():
            proof = self.proof(runner)
            if proof.golden is None and not proof.reason:
                try:
                    proof.golden = await asyncio.to_thread(runner.bundle.golden)
                except BundleError as error:
                    proof.reason = f"its golden answers cannot be read: {error.message}"
            proof.check(now_s)

    def override(self, model: str) -> Override | None:
        """Return what an operator forced on a model."""
        return self._orders.current(model)

    def heat(self) -> HeatEvidence:
        """Return what the thermal policy asks of all routes now."""
        return self.ask_heat()

    def record(self, model: str, evidence: Evidence, now_s: float, *, released: bool) -> None:
        """Note what a route looked at, where that is wanted."""
        if self.recorder is not None:
            self.recorder.record(Recorded(now_s, evidence, model, released))

    def submit(self, runner: ModelRunner, pending: Pending) -> None:
        """Hand a client's request to its model by way of the cache."""
        self._engine.submit_to(runner, pending, cache=True)
