"""Bringing models up at the agent's start: what the file names, what was deployed, what may fall back.

Needs no network: everything comes from the store and from bundles beside the file. A bundle that
cannot be served gives way to the one before it, and a route says so.
"""

from __future__ import annotations

import asyncio
from typing import Final

from edgeconsole.bundle import Bundle, Manifest
from edgeconsole.errors import EdgeConsoleError, ErrorCode, RequestError
from edgeconsole.protocol.telemetry import Severity
from edgeconsole.runtime.config import AgentSettings
from edgeconsole.runtime.failsafe.manager import FailsafeManager
from edgeconsole.runtime.failsafe.standby import memory_forbids, memory_needed
from edgeconsole.runtime.health.headroom import available_memory_bytes
from edgeconsole.runtime.models.store import ModelStore
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.runtime.telemetry import EdgeTelemetryCollector
from edgeconsole.specs import ModelDeploymentSpec

_Failed = tuple[str, str, Manifest | None]
"""A model that cannot be served, why, and what it would be."""
_NO_BUNDLE: Final = "it has no bundle in device.toml and none in the store"


class ModelBoot:
    """Loads an agent's models once."""

    def __init__(
        self,
        settings: AgentSettings,
        store: ModelStore,
        engine: InferenceEngine,
        failsafe: FailsafeManager,
        telemetry: EdgeTelemetryCollector,
    ) -> None:
        self.not_served: dict[str, str] = {}
        """Models that cannot be served, and why."""
        self._settings = settings
        self._config = settings.config
        self._store = store
        self._engine = engine
        self._failsafe = failsafe
        self._telemetry = telemetry
        self._fallbacks = {
            name for spec in self._config.model_specs for name in spec.fallback_models
        }

    async def load_models(self) -> None:
        """Load what is to answer to its own name."""
        specs = [*self._config.model_specs, *await asyncio.to_thread(self._deployed)]
        failed = await asyncio.gather(*(self._load(spec) for spec in specs if spec.load))
        # All at once, so that a fallback that was still loading does not count as missing.
        for name, reason, manifest in filter(None, failed):
            self._failsafe.not_loaded(name, reason, manifest)
        for spec in specs:
            if not spec.load and spec.model_id not in self._fallbacks:
                await self._take_in_only(spec)

    async def load_fallbacks(self) -> None:
        """Load what only answers in others' place, one after the other."""
        for spec in self._config.model_specs:
            if spec.load or spec.model_id not in self._fallbacks:
                continue
            try:
                bundles, _ = await asyncio.to_thread(self._candidates, spec)
                await asyncio.to_thread(self._check_memory, spec, bundles[0])
                await self._engine.load(bundles[0])
            except EdgeConsoleError as error:
                self._say_not_loaded(spec, error)

    def _deployed(self) -> list[ModelDeploymentSpec]:
        """Return the models that were deployed and are active, beside those of the file."""
        configured = {spec.model_id for spec in self._config.model_specs}
        try:
            return [
                ModelDeploymentSpec(model_id=name)
                for name in self._store.active()
                if name not in configured
            ]
        except EdgeConsoleError as error:
            self._telemetry.record_soon(Severity.CRITICAL, "store_damaged", str(error))
            return []

    async def _take_in_only(self, spec: ModelDeploymentSpec) -> None:
        """Put a bundle that waits to be loaded in the store."""
        try:
            await asyncio.to_thread(self._candidates, spec)
        except EdgeConsoleError as error:
            self._say_not_loaded(spec, error)

    async def _load(self, spec: ModelDeploymentSpec) -> _Failed | None:
        """Bring one model up; its failure, which is returned, is the agent's state, not its end."""
        problems: list[str] = []
        try:
            bundles, problems = await asyncio.to_thread(self._candidates, spec)
            bundle = await self._load_first(spec, bundles, problems)
        except EdgeConsoleError as error:
            self.not_served[spec.model_id] = error.message
            self._tell(spec, error)
            return spec.model_id, error.message, await asyncio.to_thread(self._manifest, spec)
        self._engine.activate(bundle.digest)
        if problems:
            note = f"{bundle.manifest.key} serves instead: {'; '.join(problems)}"
            self._failsafe.note(spec.model_id, note)
            self._telemetry.record(Severity.CRITICAL, "model_fell_back", f"{spec.model_id}: {note}")
        return None

    async def _load_first(
        self, spec: ModelDeploymentSpec, bundles: list[Bundle], problems: list[str]
    ) -> Bundle:
        """Load the first bundle that can be served; adds to `problems` why others cannot."""
        for bundle in bundles:
            if spec.model_id in self._fallbacks:
                await asyncio.to_thread(self._check_memory, spec, bundle)
            try:
                await self._engine.load(bundle)
            except EdgeConsoleError as error:
                problems.append(error.message)
            else:
                return bundle
        raise RequestError(ErrorCode.NOT_READY, "; ".join(problems) or _NO_BUNDLE)

    def _check_memory(self, spec: ModelDeploymentSpec, bundle: Bundle) -> None:
        """Keep a fallback from taking the memory that others need; raises `RequestError`."""
        reason = memory_forbids(
            memory_needed(bundle.manifest, spec.memory_requirement_mb),
            available_memory_bytes(),
            self._config.failsafe.memory_reserve_mb << 20,
        )
        if reason:
            raise RequestError(ErrorCode.CONFLICT, reason, hint="lower memory_reserve_mb")

    def _say_not_loaded(self, spec: ModelDeploymentSpec, error: EdgeConsoleError) -> None:
        self._failsafe.not_loaded(spec.model_id, error.message)
        self._tell(spec, error)

    def _tell(self, spec: ModelDeploymentSpec, error: EdgeConsoleError) -> None:
        self._telemetry.record(Severity.CRITICAL, "model_not_served", f"{spec.model_id}: {error}")

    def _candidates(self, spec: ModelDeploymentSpec) -> tuple[list[Bundle], list[str]]:
        """Return the bundles that may answer, best first, and what is wrong with better ones.

        A bundle that was never seen before is the best; then what an operator activated wins over
        the file, then what was active before. Raises `RequestError` if there is none.
        """
        store, name = self._store, spec.model_id
        path = self._settings.bundle_path(spec)
        recorded = store.active().get(name)
        bundles: list[Bundle] = []
        problems: list[str] = []
        of_file = None
        if path is not None:
            of_file, is_new = store.add(path)
            if of_file.manifest.model != name:
                raise RequestError(
                    ErrorCode.CONFLICT,
                    f"{path} holds the model {of_file.manifest.model!r}, not {name!r}",
                )
            if is_new or recorded is None:
                store.set_active(name, of_file.digest)
                bundles.append(of_file)
        for digest in (recorded.active, recorded.previous) if recorded is not None else ():
            stored = store.get(digest) if digest else None
            if stored is not None:
                bundles.append(stored)
            elif digest:
                problems.append(f"bundle {digest[:12]}… is damaged or gone")
        if bundles and problems and bundles[0] is of_file:
            problems.clear()  # What should serve, serves; the damaged ones are only spares.
        last = of_file if of_file is not None else store.find(name)
        if last is not None:
            bundles.append(last)
        unique = list({bundle.digest: bundle for bundle in bundles}.values())
        if not unique:
            raise RequestError(
                ErrorCode.UNKNOWN_MODEL,
                "; ".join(problems) or _NO_BUNDLE,
                hint='add bundle = "…" to its [[models]] entry',
            )
        return unique, problems

    def _manifest(self, spec: ModelDeploymentSpec) -> Manifest | None:
        """Return what a model that cannot be served would be, for its static answer."""
        try:
            recorded = self._store.active().get(spec.model_id)
        except EdgeConsoleError:
            return None
        for digest in (recorded.active, recorded.previous) if recorded is not None else ():
            manifest = self._store.manifest(digest) if digest else None
            if manifest is not None:
                return manifest
        return None
