"""What routes need of the agent around them: loaded models and their proofs, heat, overrides, a recorder."""

from __future__ import annotations

import asyncio
import time

from edgeconsole.errors import BundleError
from edgeconsole.protocol.failsafe import Override
from edgeconsole.runtime.failsafe.evidence import Evidence
from edgeconsole.runtime.failsafe.orders import Orders
from edgeconsole.runtime.failsafe.proof import Proof
from edgeconsole.runtime.failsafe.recorder import EvidenceRecorder, Recorded
from edgeconsole.runtime.health.monitor import EdgeResourceMonitor
from edgeconsole.runtime.serving.batcher import Pending
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.runtime.serving.runner import ModelRunner
from edgeconsole.specs import EdgeAgentConfig, FailsafeSpec


class House:
    """The agent as its routes see it."""

    def __init__(
        self,
        config: EdgeAgentConfig,
        engine: InferenceEngine,
        monitor: EdgeResourceMonitor,
        orders: Orders,
        recorder: EvidenceRecorder | None,
    ) -> None:
        self.recorder = recorder
        self.not_loaded: dict[str, str] = {}
        """Why models are not loaded."""
        self._engine = engine
        self._orders = orders
        self._monitor = monitor
        self._limits = config.device_spec.thermal_constraints
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

    def temperature_c(self) -> tuple[float | None, float | None, float | None]:
        """Return the temperature, and from where on it is warm and hot; `None`: unknown, or no limit."""
        limits = self._limits
        return self._monitor.latest.temp_c.value, limits.warn_temp_c, limits.max_temp_c

    def record(self, model: str, evidence: Evidence, now_s: float, *, released: bool) -> None:
        """Note what a route looked at, where that is wanted."""
        if self.recorder is not None:
            self.recorder.record(Recorded(now_s, evidence, model, released))

    def submit(self, runner: ModelRunner, pending: Pending, *, cache: bool) -> None:
        """Hand a client's request to its model, by way of the cache where that is wanted."""
        self._engine.submit_to(runner, pending, cache=cache)
