"""All loaded models of a device, which of them answer to which name, and the door to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from edgeconsole.bundle import Bundle, Manifest
from edgeconsole.engines import check_engine
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.inference import InferRequest
from edgeconsole.protocol.telemetry import ModelSample, ModelState
from edgeconsole.runtime.health.cores import available_cores
from edgeconsole.runtime.serving.admission import check_request
from edgeconsole.runtime.serving.batcher import Outcome, Pending
from edgeconsole.runtime.serving.cache import InferenceCache
from edgeconsole.runtime.serving.pool import OnEvent
from edgeconsole.runtime.serving.runner import ModelRunner, Shares
from edgeconsole.runtime.serving.sharing import AnswerSharing
from edgeconsole.runtime.serving.throttle import Throttle
from edgeconsole.specs import EdgeAgentConfig, ModelDeploymentSpec


class Ladder(Protocol):
    """The way of a request to a model's name: to its active bundle, or to what answers in its place."""

    def submit(
        self, request: InferRequest, received_s: float, finish: Callable[[Outcome], None]
    ) -> Callable[[RequestError], None]:
        """Take a request as `InferenceEngine.submit` does."""
        ...


class Failsafe(Protocol):
    """The failsafe ladder as the engine sees it."""

    def route(self, model: str) -> Ladder | None:
        """Return the way to a model's name, if it has one."""
        ...

    def check_direct(self, model: str) -> None:
        """Refuse requests for a certain version of a model that was stopped; raises `RequestError`."""
        ...


class InferenceEngine:
    """Routes requests to loaded models."""

    def __init__(self, config: EdgeAgentConfig, on_event: OnEvent) -> None:
        self._config = config
        self._on_event = on_event
        self._runners: dict[str, ModelRunner] = {}
        self._active: dict[str, str] = {}
        serving = config.serving
        self.cache = InferenceCache(serving.cache_mb << 20, serving.cache_ttl_s)
        self._sharing = AnswerSharing(self.cache)
        self.accepting = True
        self.failsafe: Failsafe | None = None
        self.throttle: Throttle | None = None
        """`None`: the rate is not governed."""
        self._shares = Shares()
        self._unloaded_total = 0
        """What models computed that are not loaded any more."""

    def submit(
        self, request: InferRequest, finish: Callable[[Outcome], None]
    ) -> Callable[[RequestError], None]:
        """Accept a request; `finish` is called once, by the deadline.

        Returns a function that drops the request with an error. Raises `RequestError`, and then
        `finish` is not called.
        """
        received_s = time.monotonic()
        if not self.accepting:
            raise RequestError(ErrorCode.SHUTTING_DOWN, "the agent is draining")
        if self.throttle is not None:
            self.throttle.take(request.priority, received_s)
        if self.failsafe is not None:
            if not request.model_version:
                ladder = self.failsafe.route(request.model_name)
                if ladder is not None:
                    return ladder.submit(request, received_s, finish)
            self.failsafe.check_direct(request.model_name)
        runner = self.route(request.model_name, request.model_version)
        fit = check_request(runner.manifest, request)
        deadline_ms = request.deadline_ms or runner.deadline_ms
        pending = Pending(
            inputs=[request.inputs[name] for name in fit.input_names],
            output_names=request.output_names,
            priority=request.priority,
            received_s=received_s,
            deadline_s=received_s + deadline_ms / 1e3,
            finish=finish,
            rows=fit.rows,
            size_bytes=fit.size_bytes,
            shapes=fit.shapes,
        )
        self.submit_to(runner, pending, cache=request.cache)
        return partial(runner.cancel, pending)

    def submit_to(self, runner: ModelRunner, pending: Pending, *, cache: bool) -> None:
        """Hand a checked request to one bundle; raises `RequestError`."""
        if runner.cached and cache:
            self._sharing.submit(runner, pending)
        else:
            runner.submit(pending)

    async def load(self, bundle: Bundle) -> ModelRunner:
        """Load a bundle and wait until it is proven; a loaded one is returned as it is.

        Raises `BackendError`.
        """
        await asyncio.to_thread(self.check_runs_here, bundle.manifest)
        runner = self._runners.get(bundle.digest)
        if runner is not None:
            return runner
        name = bundle.manifest.model
        spec = next((each for each in self._config.model_specs if each.model_id == name), None)
        runner = ModelRunner(
            bundle,
            spec or ModelDeploymentSpec(model_id=name),
            deadline_ms=self._config.deadline_ms(name),
            cores=self._cores_for_one(),
            serving=self._config.serving,
            on_event=self._on_event,
            gently=any(runner.busy for runner in self._runners.values()),
        )
        runner.hold_back(self._shares)
        self._runners[bundle.digest] = runner
        try:
            await runner.start()
        except BaseException:
            self._runners.pop(bundle.digest, None)
            raise
        return runner

    def check_runs_here(self, manifest: Manifest) -> None:
        """Raise `BackendError` if the device lacks the engine a bundle was made for. Blocking."""
        allowed = self._config.device_spec.supported_frameworks
        check_engine(manifest.execution, manifest.key, allowed)

    def _cores_for_one(self) -> int:
        """Return the cores one model may use, so that every configured model keeps one."""
        others = sum(spec.load for spec in self._config.model_specs) - 1
        return max(1, available_cores() - max(0, others))

    def activate(self, digest: str) -> None:
        """Let a loaded bundle answer to its model's name from the next request on."""
        self._active[self._runners[digest].manifest.model] = digest

    async def unload(self, digest: str, *, drain_s: float) -> None:
        """Drain and end one loaded bundle; does nothing if it is not loaded."""
        runner = self._runners.get(digest)
        if runner is None:
            return
        if self._active.get(runner.manifest.model) == digest:
            del self._active[runner.manifest.model]
        await runner.stop(drain_s)
        if self._runners.pop(digest, None) is not None:
            self._unloaded_total += runner.computed_total

    def loaded(self) -> dict[str, ModelRunner]:
        """Return all loaded bundles by digest."""
        return dict(self._runners)

    def active_runner(self, model: str) -> ModelRunner | None:
        """Return the loaded bundle that answers to a model's name."""
        digest = self._active.get(model)
        return None if digest is None else self._runners.get(digest)

    def active_digest(self, model: str) -> str | None:
        """Return which bundle answers to a model's name."""
        return self._active.get(model)

    def is_active(self, digest: str) -> bool:
        """Say whether a bundle answers to its model's name."""
        return digest in self._active.values()

    def hold_back(self, shares: Shares) -> None:
        """Use this much of the largest batches and of the workers, for all models, from now on."""
        if shares != self._shares:
            self._shares = shares
            for runner in self._runners.values():
                runner.hold_back(shares)

    def computed_total(self) -> int:
        """Return how many requests models have computed since the agent started."""
        return self._unloaded_total + sum(each.computed_total for each in self._runners.values())

    def failed(self) -> list[ModelRunner]:
        """Return the active models that cannot answer."""
        return [
            runner
            for runner in self._runners.values()
            if runner.state is ModelState.FAILED and self.is_active(runner.bundle.digest)
        ]

    def check(self, now_s: float) -> None:
        """Supervise all workers; called about once a second."""
        for runner in self._runners.values():
            runner.check(now_s)

    def samples(self, now_s: float) -> tuple[ModelSample, ...]:
        """Return every loaded model's figures, active ones first."""
        samples = [
            runner.sample(now_s, active=self.is_active(digest))
            for digest, runner in self._runners.items()
        ]
        return tuple(sorted(samples, key=lambda each: (not each.active, each.model, each.version)))

    def route(self, model: str, version: str) -> ModelRunner:
        """Return the loaded bundle that requests for a name and version reach.

        Raises:
            RequestError: NOT_READY for a configured model, UNKNOWN_MODEL otherwise.
        """
        digest = self._active.get(model)
        if digest is not None and version in ("", self._runners[digest].manifest.version):
            return self._runners[digest]
        for runner in self._runners.values():
            if version and (runner.manifest.model, runner.manifest.version) == (model, version):
                return runner
        if (
            any(spec.model_id == model and spec.load for spec in self._config.model_specs)
            and not version
        ):
            raise RequestError(
                ErrorCode.NOT_READY,
                f"{model!r} has no worker that can serve",
                hint="try again later",
            )
        names = sorted(self._active)
        what = f"{model!r} version {version!r}" if version else repr(model)
        known = f"active models: {', '.join(names)}" if names else "no model is active"
        raise RequestError(
            ErrorCode.UNKNOWN_MODEL, f"no loaded model answers to {what}", hint=known
        )
