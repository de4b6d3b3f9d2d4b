"""`ModelChanges`: what consoles do to a device's models, one change at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from edgeconsole.bundle import Bundle
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import (
    ActivateModel,
    CheckModel,
    LoadModel,
    RemoveModel,
    RollBackModel,
    StoredModel,
    UnloadModel,
)
from edgeconsole.protocol.telemetry import MODEL_ACTIVATED, Severity, activated_text
from edgeconsole.runtime.config import AgentSettings
from edgeconsole.runtime.failsafe.manager import FailsafeManager
from edgeconsole.runtime.jobs.service import JobService
from edgeconsole.runtime.models import needs
from edgeconsole.runtime.models.store import ModelStore
from edgeconsole.runtime.outcomes import CommandLog
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.runtime.telemetry import EdgeTelemetryCollector

DRAIN_S: Final = 5.0
"""How long accepted requests may take when a model is unloaded or the agent stops."""


class ModelChanges:
    """Loads, activates, rolls back, unloads and removes stored bundles."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        store: Callable[[], ModelStore],
        engine: InferenceEngine,
        failsafe: FailsafeManager,
        jobs: JobService,
        commands: CommandLog,
        telemetry: EdgeTelemetryCollector,
    ) -> None:
        """Make it; `store` raises `RequestError` while the agent opens it."""
        self.changing = asyncio.Lock()
        self.not_served: dict[str, str] = {}
        """Configured models that could not be served at the start, and why."""
        self._settings = settings
        self._store = store
        self._engine = engine
        self._failsafe = failsafe
        self._jobs = jobs
        self._commands = commands
        self._telemetry = telemetry

    async def listed(self) -> tuple[StoredModel, ...]:
        """Return all models in the store."""
        bundles = await asyncio.to_thread(self._store().bundles)
        loaded, needed = self._engine.loaded(), await self._needed()
        return tuple(
            StoredModel(
                model=bundle.manifest.model,
                version=bundle.manifest.version,
                variant=bundle.manifest.variant,
                digest=bundle.digest,
                task=bundle.manifest.task.value,
                size_bytes=sum(file.size for file in bundle.manifest.files),
                loaded=bundle.digest in loaded,
                active=self._engine.is_active(bundle.digest),
                needed=needed(bundle.digest),
            )
            for bundle in bundles
        )

    async def load(self, command: LoadModel) -> str:
        """Load a stored model; returns a sentence. Raises `RequestError` or `BackendError`."""
        return await self._commands.once(command.command_id, partial(self._load, command))

    async def _load(self, command: LoadModel) -> str:
        async with self.changing:
            bundle = await self._find(command.model, command.version, command.variant)
            await self._engine.load(bundle)
            return f"{bundle.manifest.key} is loaded"

    async def activate(self, command: ActivateModel) -> str:
        """Let a stored model answer to its name; the one before it drains and ends.

        Returns a sentence. Raises `RequestError`, `BackendError` or `StoreError`, and then the one
        before goes on.
        """
        return await self._commands.once(command.command_id, partial(self._activate_as, command))

    async def _activate_as(self, command: ActivateModel) -> str:
        async with self.changing:
            if command.digest:
                bundle = await asyncio.to_thread(self._store().get, command.digest)
                if bundle is None or bundle.manifest.model != command.model:
                    raise RequestError(
                        ErrorCode.UNKNOWN_MODEL,
                        f"the store has no {command.model!r} with digest {command.digest[:12]}…",
                    )
            else:
                bundle = await self._find(command.model, command.version, command.variant)
            if not self._engine.is_active(bundle.digest):
                self._check_expected(command.model, command.expected)
            return await self._activate(bundle)

    async def roll_back(self, command: RollBackModel) -> str:
        """Let the bundle that answered before answer again; returns a sentence, raises as `activate`."""
        return await self._commands.once(command.command_id, partial(self._roll_back, command))

    async def _roll_back(self, command: RollBackModel) -> str:
        model = command.model
        async with self.changing:
            self._check_expected(model, command.expected)
            recorded = (await asyncio.to_thread(self._store().active)).get(model)
            previous = recorded.previous if recorded else None
            bundle = await asyncio.to_thread(self._store().get, previous) if previous else None
            if bundle is None:
                raise RequestError(
                    ErrorCode.CONFLICT, f"there is no earlier {model!r} to go back to"
                )
            return await self._activate(bundle)

    def _check_expected(self, model: str, expected: str) -> None:
        """Refuse what was decided while another bundle answered; raises `RequestError`."""
        active = self._engine.active_runner(model)
        if expected and (active is None or active.bundle.digest != expected):
            by_now = "nothing" if active is None else active.manifest.key
            raise RequestError(
                ErrorCode.CONFLICT,
                f"{by_now} answers to {model!r} by now, not what answered when this was ordered",
                hint="look again, then order it again if it is still meant",
            )

    async def _activate(self, bundle: Bundle) -> str:
        model = bundle.manifest.model
        await self._engine.load(bundle)
        await asyncio.to_thread(self._store().set_active, model, bundle.digest)
        before = self._engine.active_digest(model)
        self._engine.activate(bundle.digest)
        self._failsafe.expect(model)
        self.not_served.pop(model, None)
        told = activated_text(bundle.manifest.key, model)
        self._telemetry.record(Severity.INFO, MODEL_ACTIVATED, told)
        if before is not None and before != bundle.digest:
            await self._engine.unload(before, drain_s=DRAIN_S)
        return f"{bundle.manifest.key} is active"

    async def unload(self, command: UnloadModel) -> str:
        """Drain and end a model's workers; returns a sentence. Raises `RequestError`."""
        return await self._commands.once(command.command_id, partial(self._unload, command))

    async def _unload(self, command: UnloadModel) -> str:
        model = command.model
        async with self.changing:
            found = [
                runner
                for runner in self._engine.loaded().values()
                if runner.manifest.model == model
                and command.version in ("", runner.manifest.version)
                and command.variant in ("", runner.manifest.variant)
            ]
            if not found:
                raise RequestError(ErrorCode.UNKNOWN_MODEL, f"{model!r} is not loaded")
            if any(self._engine.is_active(runner.bundle.digest) for runner in found):
                # It goes because somebody wants it to: nothing answers in its place.
                self._failsafe.forget(model)
            for runner in found:
                await self._engine.unload(runner.bundle.digest, drain_s=DRAIN_S)
                self._telemetry.record(
                    Severity.INFO, "model_unloaded", f"{runner.manifest.key} was unloaded"
                )
            if not any(spec.model_id == model for spec in self._settings.config.model_specs):
                # What device.toml does not name comes back at the next start only while it is active.
                await asyncio.to_thread(self._store().forget_active, model)
            return f"unloaded {', '.join(runner.manifest.key for runner in found)}"

    async def remove(self, command: RemoveModel) -> str:
        """Remove a stored bundle that nothing needs; returns a sentence.

        Raises `RequestError` for one that is needed or not there, `StoreError` if the disk refuses.
        """
        return await self._commands.once(command.command_id, partial(self._remove, command.digest))

    async def _remove(self, digest: str) -> str:
        async with self.changing:
            bundle = await self._get(digest)
            key, reason = bundle.manifest.key, (await self._needed())(digest)
            if reason:
                raise RequestError(ErrorCode.CONFLICT, f"{key} stays: {reason}")
            freed = await asyncio.to_thread(self._store().remove, digest)
        message = f"{key} is removed, {freed / 1024:,.0f} KiB are free again"
        self._telemetry.record(Severity.INFO, "bundle_removed", message)
        return message

    async def check(self, command: CheckModel) -> str:
        """Read a stored bundle; returns a sentence.

        Raises `RequestError` for one that is not there, `BundleError` for one that is damaged.
        """
        return await self._commands.once(command.command_id, partial(self._check, command.digest))

    async def _check(self, digest: str) -> str:
        async with self.changing:
            bundle = await self._get(digest)
            await asyncio.to_thread(bundle.verify)
            return f"{bundle.manifest.key} is stored, each byte as its manifest says"

    async def _needed(self) -> Callable[[str], str]:
        """Return what says why a bundle must stay; empty: it need not."""
        store, loaded, working = self._store(), self._engine.loaded(), self._jobs.working()
        look = partial(needs.look, store, self._settings, loaded=loaded.keys(), working=working)
        return await asyncio.to_thread(look)

    async def _get(self, digest: str) -> Bundle:
        bundle = await asyncio.to_thread(self._store().get, digest)
        if bundle is None:
            raise RequestError(
                ErrorCode.UNKNOWN_MODEL,
                f"the store has no bundle with digest {digest[:12]}…",
                hint="list_models says what it has",
            )
        return bundle

    async def _find(self, model: str, version: str, variant: str) -> Bundle:
        bundle = await asyncio.to_thread(self._store().find, model, version, variant)
        if bundle is None:
            wanted = "/".join(part for part in (model, version, variant) if part)
            raise RequestError(
                ErrorCode.UNKNOWN_MODEL,
                f"the store has no {wanted!r}",
                hint="list_models says what it has",
            )
        return bundle
