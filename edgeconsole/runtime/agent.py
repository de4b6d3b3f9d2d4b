"""`EdgeIntelligentAgent`: what the device does, from its first start to its orderly end.

The supervisor process: sockets, queues, policy and state. It never runs a model.
"""

from __future__ import annotations

import asyncio
import platform
import secrets
import time
from collections.abc import Sequence
from functools import partial
from typing import Final, Literal

import msgspec
import psutil

from edgeconsole import __version__
from edgeconsole.engines import installed_engines
from edgeconsole.errors import ErrorCode, RequestError
from edgeconsole.protocol.control import (
    PROTOCOL_VERSION,
    CancelJob,
    Explain,
    ExplainReply,
    Force,
    ForceThermal,
    HelloReply,
    Optimize,
    OptimizeReply,
    Release,
)
from edgeconsole.protocol.telemetry import (
    DeviceSample,
    Severity,
)
from edgeconsole.runtime.auth import load_or_create_token
from edgeconsole.runtime.config import AgentSettings
from edgeconsole.runtime.failsafe.manager import FailsafeManager
from edgeconsole.runtime.health.monitor import EdgeResourceMonitor
from edgeconsole.runtime.health.simulated import SimulatedDevice
from edgeconsole.runtime.health.thermal_limits import ThermalLimits
from edgeconsole.runtime.health.thermal_manager import ThermalManager
from edgeconsole.runtime.health.thermal_reading import ThermalReading
from edgeconsole.runtime.health.thermal_source import thermal_reading
from edgeconsole.runtime.http import make_http_server
from edgeconsole.runtime.jobs.permission import check_order
from edgeconsole.runtime.jobs.records import JobRecords
from edgeconsole.runtime.jobs.service import OPTIMIZER, JobService
from edgeconsole.runtime.models.boot import ModelBoot
from edgeconsole.runtime.models.changes import DRAIN_S, ModelChanges
from edgeconsole.runtime.models.store import ModelStore
from edgeconsole.runtime.offline.manager import OfflineCapabilityManager
from edgeconsole.runtime.outcomes import CommandLog
from edgeconsole.runtime.place import lock_state, write_endpoint
from edgeconsole.runtime.server import AgentServer
from edgeconsole.runtime.serving.engine import InferenceEngine
from edgeconsole.runtime.telemetry import EdgeTelemetryCollector
from edgeconsole.runtime.thermal_hands import AgentHands, heat_of
from edgeconsole.specs import AgentState, ComputeUnits, EdgeDeviceSpec

_TICK_S: Final = 1.0


class EdgeIntelligentAgent:
    """One device's agent."""

    def __init__(self, settings: AgentSettings, *, optimizer: Sequence[str] = OPTIMIZER) -> None:
        """Make the agent; `optimizer` is what Python runs for a job, another only in tests."""
        self.settings = settings
        self.config = settings.config
        self.device_id = self.config.device_spec.device_id or self.config.agent_id
        self.boot_id = secrets.token_hex(8)
        self.telemetry = EdgeTelemetryCollector(self.device_id, self.boot_id)
        self.offline = OfflineCapabilityManager(
            settings.state_dir / "outbox.db",
            self.config.telemetry,
            self.boot_id,
            self.telemetry.record,
        )
        self.telemetry.listen(self.offline.add_event)
        self.telemetry.follow(self.offline.add_sample)
        self.monitor = EdgeResourceMonitor(config=self.config.health, storage=settings.state_dir)
        self.engine = InferenceEngine(self.config, self.telemetry.record)
        self.failsafe = FailsafeManager(
            self.config,
            self.engine,
            self.telemetry.record,
            record_path=settings.record_path,
        )
        self.engine.failsafe = self.failsafe
        self.jobs = JobService(
            JobRecords(settings.state_dir / "jobs"),
            settings.state_dir / "optimizer",
            lambda: self.store,
            lambda: self.engine.samples(time.monotonic()),
            self.telemetry.record,
            engines=self.config.device_spec.supported_frameworks,
            program=optimizer,
        )
        self.commands = CommandLog(settings.state_dir)
        self.models = ModelChanges(
            settings,
            store=lambda: self.store,
            engine=self.engine,
            failsafe=self.failsafe,
            jobs=self.jobs,
            commands=self.commands,
            telemetry=self.telemetry,
        )
        self.thermal = self._make_thermal()
        self.failsafe.heed(partial(heat_of, self.thermal))
        self._store: ModelStore | None = None
        self._device = _completed(self.config.device_spec, self.device_id)
        token = load_or_create_token(settings.token_file)
        self._server = AgentServer(self, self.config.server, token)
        http = self.config.http
        self._http = None if http is None else make_http_server(self, http, token)
        self._started_s = time.monotonic()
        self._sample_seq = 0
        self._loading = True
        self._stopping = False
        self._last_state = AgentState.INITIALIZING

    def _make_thermal(self) -> ThermalManager:
        """Make the thermal policy: fed by the sensors, or by a simulated device."""
        device, heat = self.config.device_spec, self.config.simulated_heat
        constraints = device.thermal_constraints
        self.simulated = None if heat is None else SimulatedDevice(heat)
        return ThermalManager(
            self._read_heat,
            ThermalLimits(
                configured_c=constraints.max_temp_c,
                warn_c=constraints.warn_temp_c,
                power_budget_w=device.power_budget_w,
                unknown_rate_per_s=constraints.unknown_rate_per_s,
            ),
            AgentHands(self.engine, self.jobs),
            self.telemetry.record,
            time_scale=1.0 if heat is None else heat.time_scale,
        )

    def _read_heat(self, rate_per_s: float, now_s: float) -> ThermalReading:
        if self.simulated is not None:
            return self.simulated.read(rate_per_s, now_s)
        return thermal_reading(self.monitor.latest, self.monitor.report().readings, rate_per_s)

    @property
    def port(self) -> int:
        """Return the port the agent listens on."""
        return self._server.port

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain and end.

        Raises:
            ConfigError: the address is taken.
            StoreError: the state folder cannot be used.
        """
        with lock_state(self.settings.state_dir):
            await self._run(stop)

    async def _run(self, stop: asyncio.Event) -> None:
        self._store = await asyncio.to_thread(ModelStore, self.settings.state_dir / "models")
        await asyncio.to_thread(self.failsafe.open, self.settings.state_dir)
        await self.jobs.open()
        await self.offline.open()
        await asyncio.to_thread(self.commands.open)
        await self._server.start()
        if self._http is not None:
            await self._http.start()
        write_endpoint(self.settings.state_dir, self.config.server.host, self.port)
        monitor = asyncio.create_task(self.monitor.run())
        supervisor = asyncio.create_task(self._supervise())
        ladders = asyncio.create_task(self.failsafe.run())
        jobs = asyncio.create_task(self.jobs.run())
        thermal = asyncio.create_task(self.thermal.run())
        sampler = asyncio.create_task(self.telemetry.run(self.sample))
        keeper = asyncio.create_task(self.offline.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            also = "" if self._http is None else f", for HTTP on port {self._http.port}"
            self.telemetry.record(
                Severity.INFO,
                "agent_started",
                f"agent {__version__} listens on port {self.port}{also}",
            )
            loading = asyncio.create_task(self._load_configured())
            endless = (monitor, supervisor, ladders, jobs, thermal, sampler, keeper)
            tasks: set[asyncio.Task[None] | asyncio.Task[Literal[True]]] = {*endless, stopping}
            await asyncio.wait({*tasks, loading}, return_when=asyncio.FIRST_COMPLETED)
            if loading.done():
                await loading
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            else:
                loading.cancel()
                await asyncio.gather(loading, return_exceptions=True)
            for work in endless:
                if work.done():
                    await work  # It ends only by failing: let that end the agent.
        finally:
            # Models that go down in order are no reason to step down.
            ladders.cancel()
            jobs.cancel()
            await asyncio.gather(ladders, return_exceptions=True)
            await self._shut_down()
            for task in (monitor, supervisor, thermal, sampler, keeper, stopping):
                task.cancel()
            await asyncio.gather(
                monitor,
                supervisor,
                jobs,
                thermal,
                sampler,
                keeper,
                stopping,
                return_exceptions=True,
            )
            await self.offline.close()

    # What the agent says of itself.

    def hello(self, command_id: str) -> HelloReply:
        """Return who this agent is."""
        return HelloReply(
            id=command_id,
            version=PROTOCOL_VERSION,
            agent_id=self.config.agent_id,
            agent_version=__version__,
            boot_id=self.boot_id,
            tier=self.config.deployment_tier,
            latency_requirement=self.config.latency_requirement,
            device=self._device,
            platform=f"{platform.system()} {platform.machine()}",
        )

    def state(self) -> tuple[AgentState, str]:
        """Return what the agent is doing, and the reason where it is not well."""
        if self._stopping:
            return AgentState.MAINTENANCE, "the agent is going down"
        if self._loading:
            return AgentState.INITIALIZING, "loading models"
        busy = any(runner.busy for runner in self.engine.loaded().values())
        held = self.failsafe.maintenance()
        if held is not None:
            how = "draining" if busy else "drained"
            return AgentState.MAINTENANCE, f"{held.actor}: {held.reason} ({how})"
        if self.models.not_served:
            name, reason = next(iter(self.models.not_served.items()))
            return AgentState.ERROR, f"{name}: {reason}"
        failed = self.engine.failed()
        if failed:
            return AgentState.ERROR, f"{failed[0].manifest.model}: {failed[0].reason}"
        if busy:
            return AgentState.PROCESSING, ""
        return AgentState.READY, ""

    def sample(self) -> DeviceSample:
        """Return the device as it is now."""
        now_s = time.monotonic()
        state, reason = self.state()
        usage, simulated = self.monitor.latest, self.simulated
        self._sample_seq += 1
        return DeviceSample(
            device_id=self.device_id,
            boot_id=self.boot_id,
            seq=self._sample_seq,
            time_unix_s=round(time.time(), 3),
            state=state,
            uptime_s=now_s - self._started_s,
            temp_c=usage.temp_c if simulated is None else simulated.temperature(),
            power_w=usage.power_w if simulated is None else simulated.power(),
            cpu_percent=usage.cpu_percent,
            memory_percent=usage.memory_percent,
            memory_used_bytes=usage.memory_used_bytes,
            agent_rss_bytes=usage.agent_rss_bytes,
            connections=self._server.connections,
            models=self.engine.samples(now_s),
            reason=reason,
            routes=self.failsafe.samples(now_s),
            thermal=self.thermal.sample(),
            backlog=self.offline.sample(),
        )

    # What consoles may ask for.

    async def cancel_job(self, command: CancelJob) -> str:
        """End a job; returns a sentence. Raises `RequestError`."""
        cancel = partial(self.jobs.cancel, command.job_id, command.actor)
        return await self.commands.once(command.command_id, cancel)

    async def force(self, command: Force) -> str:
        """Force a rung; returns a sentence. Raises `RequestError`."""
        message = await self.failsafe.force(command)
        self._note_state()
        return message

    async def release(self, command: Release) -> str:
        """End what was forced; returns a sentence. Raises `RequestError`."""
        message = await self.failsafe.release(command)
        self._note_state()
        return message

    def force_thermal(self, command: ForceThermal) -> str:
        """Force a thermal state, or end that; returns a sentence. Raises `RequestError`."""
        return self.thermal.force(command)

    def explain(self, command: Explain) -> ExplainReply:
        """Return why the device answers as it does; raises `RequestError`."""
        return msgspec.structs.replace(
            self.failsafe.explain(command),
            thermal=self.thermal.conditions(),
            thermal_transitions=self.thermal.transitions(command.limit),
        )

    async def optimize(self, command: Optimize) -> OptimizeReply:
        """Queue an optimisation; raises `RequestError`, `BundleError` or `StoreError`."""
        known = self.jobs.ordered(command)
        if known is not None:
            return known
        digest = command.digest or self.engine.active_digest(command.model)
        bundle = await asyncio.to_thread(self.store.get, digest) if digest else None
        if bundle is None:
            raise RequestError(
                ErrorCode.UNKNOWN_MODEL,
                f"the store has no bundle with digest {command.digest[:12]}…"
                if command.digest
                else f"nothing answers to {command.model!r}",
                hint="list_models says what there is; a digest names what is not active",
            )
        check_order(self.config, bundle.manifest, command.level)
        return await self.jobs.order(command, bundle)

    @property
    def store(self) -> ModelStore:
        """Return the model store; raises `RequestError` while the agent opens it."""
        if self._store is None:
            raise RequestError(ErrorCode.NOT_READY, "the agent is still starting")
        return self._store

    # Start, supervision, end.

    async def _load_configured(self) -> None:
        boot = ModelBoot(self.settings, self.store, self.engine, self.failsafe, self.telemetry)
        async with self.models.changing:
            await boot.load_models()
            self.models.not_served = boot.not_served
        self._loading = False
        self._note_state()
        async with self.models.changing:
            await boot.load_fallbacks()
        self.jobs.begin()

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(_TICK_S)
            now_s = time.monotonic()
            self.engine.check(now_s)
            self._server.check(now_s)
            self._note_state()

    def _note_state(self) -> None:
        """Make an event of a state that changed; ready and processing are one to a person."""
        state, reason = self.state()
        if state is AgentState.PROCESSING:
            state = AgentState.READY
        if state is self._last_state:
            return
        self._last_state = state
        severity = Severity.CRITICAL if state is AgentState.ERROR else Severity.INFO
        self.telemetry.record(
            severity, "state_changed", f"{state.value}{': ' + reason if reason else ''}"
        )

    async def _shut_down(self) -> None:
        self._stopping = True
        self.engine.accepting = False
        self._note_state()
        await asyncio.gather(
            *(self.engine.unload(digest, drain_s=DRAIN_S) for digest in self.engine.loaded())
        )
        await self.failsafe.close()
        if self._http is not None:
            await self._http.stop()
        await self._server.stop()


def _completed(spec: EdgeDeviceSpec, device_id: str) -> EdgeDeviceSpec:
    """Fill in what the machine itself says where the file says nothing."""
    return EdgeDeviceSpec(
        device_id=device_id,
        device_class=spec.device_class,
        compute_units=ComputeUnits(
            cpu_cores=max(spec.compute_units.cpu_cores, psutil.cpu_count() or 1),
            gpu_cores=spec.compute_units.gpu_cores,
            tpu_units=spec.compute_units.tpu_units,
        ),
        memory_mb=spec.memory_mb or psutil.virtual_memory().total // 2**20,
        storage_gb=spec.storage_gb,
        network_bandwidth_mbps=spec.network_bandwidth_mbps,
        power_budget_w=spec.power_budget_w,
        thermal_constraints=spec.thermal_constraints,
        supported_frameworks=tuple(
            name
            for name in installed_engines()
            if not spec.supported_frameworks or name in spec.supported_frameworks
        ),
        optimization_capabilities=spec.optimization_capabilities,
    )
