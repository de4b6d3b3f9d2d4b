"""A whole `device.toml`, and its tables about the agent itself."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from edgeconsole.engines import Engine
from edgeconsole.specs.device import EdgeDeviceSpec
from edgeconsole.specs.model import ModelDeploymentSpec
from edgeconsole.specs.vocabulary import (
    EdgeDeploymentTier,
    LatencyRequirement,
    Spec,
    check_id,
    is_loopback,
)


class ServerConfig(Spec, frozen=True):
    """Where an agent listens."""

    host: str = "127.0.0.1"
    port: int = 7311
    token_file: str | None = None
    """The file with the bearer token, mode 0600; `None`: `token` in the state folder."""

    def __post_init__(self) -> None:
        """Refuse ports out of range and addresses other hosts can reach."""
        _check_listener(self.host, self.port)


class HttpConfig(Spec, frozen=True):
    """Where an agent also speaks HTTP: metrics and the Open Inference Protocol. Off without it."""

    port: int
    host: str = "127.0.0.1"

    def __post_init__(self) -> None:
        """Refuse what `ServerConfig` refuses."""
        _check_listener(self.host, self.port)


def _check_listener(host: str, port: int) -> None:
    if not 0 <= port <= 65535:
        raise ValueError(f"port must be 0 to 65535, got {port}")
    if not is_loopback(host):
        raise ValueError(
            f"host {host!r} is not a loopback address: this version speaks without TLS and "
            "so only to its own machine; reach it through an SSH tunnel"
        )


class QueuePolicy(StrEnum):
    """What happens to a request that finds its priority class's queue full."""

    REJECT = "reject"
    """It is refused with `QUEUE_FULL`."""
    DROP_OLDEST = "drop_oldest"
    """It takes the place of the one that waits longest, which is refused."""


class ServingConfig(Spec, frozen=True):
    """Bounds of the serving path."""

    max_queue: int = 256
    """Requests of one model and priority class (low, normal, high) that may wait."""
    max_queue_mb: int = 64
    """The bytes of one model's waiting requests, together."""
    queue_policy: QueuePolicy = QueuePolicy.REJECT
    cache_mb: int = 32
    """The bytes of all cached answers, for the models that cache."""
    cache_ttl_s: float = 300.0
    """How long an answer may be reused."""
    max_message_bytes: int = 8 * 1024 * 1024
    """The largest inference message that is accepted."""
    hang_timeout_s: float = 5.0
    """A worker that has not answered for so long is ended and replaced."""

    def __post_init__(self) -> None:
        """Refuse bounds that would refuse everything, or bound nothing."""
        if not 1 <= self.max_queue <= 65536:
            raise ValueError(f"max_queue must be 1 to 65536, got {self.max_queue}")
        if not 1 <= self.max_queue_mb <= 65536:
            raise ValueError(f"max_queue_mb must be 1 to 65536, got {self.max_queue_mb}")
        if not 0 <= self.cache_mb <= 65536 or not self.cache_ttl_s > 0:
            raise ValueError("cache_mb must be 0 to 65536 and cache_ttl_s positive")
        if not 1024 <= self.max_message_bytes <= 64 * 1024 * 1024:
            raise ValueError("max_message_bytes must be between 1 KiB and 64 MiB")
        if not 0.1 <= self.hang_timeout_s <= 600:
            raise ValueError(f"hang_timeout_s must be 0.1 to 600, got {self.hang_timeout_s}")


class LadderConfig(Spec, frozen=True):
    """`[failsafe]`: what holds for the ladders of all models."""

    changes_per_hour: int = 40
    """How often a route may change its rung before it is latched."""
    memory_reserve_mb: int = 64
    """What must stay free when a fallback model is loaded."""
    record: str | None = None
    """A file for the ladders' evidence, to be replayed; relative to the file."""
    record_mb: int = 16
    """Its size; the one before it is kept beside it."""

    def __post_init__(self) -> None:
        """Refuse bounds that would hold every route down, or bound nothing."""
        if not 12 <= self.changes_per_hour <= 1000:
            raise ValueError(f"changes_per_hour must be 12 to 1000, got {self.changes_per_hour}")
        if not 0 <= self.memory_reserve_mb <= 1 << 20:
            raise ValueError("memory_reserve_mb must be 0 to 1048576")
        if not 1 <= self.record_mb <= 1024:
            raise ValueError(f"record_mb must be 1 to 1024, got {self.record_mb}")


class TelemetryConfig(Spec, frozen=True):
    """`[telemetry]`: what a device keeps of its own telemetry until every console has it."""

    buffer_mb: int = 16
    """The size of `outbox.db`. 72 h at one sample a second take about 9 MB."""
    keep_days: float = 30.0
    """How long; days in which the agent ran."""
    min_free_mb: int = 256
    """With less left on the disk it does not grow any more."""

    def __post_init__(self) -> None:
        """Refuse bounds that would keep nothing, or bound nothing."""
        if not 1 <= self.buffer_mb <= 65536:
            raise ValueError(f"buffer_mb must be 1 to 65536, got {self.buffer_mb}")
        if not 0.01 <= self.keep_days <= 3650:
            raise ValueError(f"keep_days must be 0.01 to 3650, got {self.keep_days}")
        if not 0 <= self.min_free_mb <= 1 << 20:
            raise ValueError(f"min_free_mb must be 0 to 1048576, got {self.min_free_mb}")


class PowerEstimate(Spec, frozen=True):
    """`[health.power_estimate]`: a line between two powers, for devices that measure none."""

    idle_w: float
    full_w: float
    """What it draws with all processors busy."""
    calibrated: bool = False
    """Whether both were measured on this device; else they are taken to be much less exact."""

    def __post_init__(self) -> None:
        """Refuse what is no power, and a line that falls."""
        if not 0.0 < self.idle_w <= self.full_w <= 2000.0:
            raise ValueError(
                "idle_w and full_w must be above 0, at most 2000, and idle_w the smaller"
            )


class HealthConfig(Spec, frozen=True):
    """`[health]`: which sensors the agent acts on."""

    control_temperature: str = ""
    """A reading's name, its last part, or a pattern with `*`; empty: the documented order."""
    control_power: str = ""
    """Likewise for power; of several the sum counts."""
    power_estimate: PowerEstimate | None = None
    """How to estimate power where nothing measures it; `None`: it is unknown."""


class SimulatedHeat(Spec, frozen=True):
    """`[simulated_heat]`: a made-up device's heat in place of sensors, marked so everywhere.

    A die and a heat sink that are heated by the requests the agent answers, in a room whose
    temperature rises and falls like a wave. For demonstrations and tests.
    """

    limit_c: float = 80.0
    """Its passive trip."""
    ambient_c: float = 25.0
    wave_c: float = 0.0
    """How much hotter the room is at the top of the wave."""
    wave_s: float = 240.0
    """From one top to the next."""
    idle_w: float = 2.0
    joules_each: float = 0.1
    """What one request costs."""
    most_w: float = 15.0
    die_k_per_w: float = 1.5
    sink_k_per_w: float = 3.0
    die_tau_s: float = 5.0
    sink_tau_s: float = 60.0
    time_scale: float = 1.0
    """How many seconds pass for the device, its policy included, in one of ours."""

    def __post_init__(self) -> None:
        """Refuse what is no device."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0.0 <= value <= 10_000.0 or (value == 0.0 and name not in _MAY_BE_ZERO):
                raise ValueError(f"{name} must be positive and at most 10000, got {value}")
        if not 50.0 <= self.limit_c <= 125.0:
            raise ValueError(f"limit_c must be 50 to 125 °C, got {self.limit_c}")
        if self.time_scale > 100.0:
            raise ValueError(f"time_scale must be at most 100, got {self.time_scale}")


_MAY_BE_ZERO: Final = frozenset({"ambient_c", "wave_c", "idle_w", "joules_each"})


class EdgeAgentConfig(Spec, frozen=True):
    """A whole `device.toml`. Tables `[device]` and `[[models]]` are `device_spec`, `model_specs`."""

    agent_id: str
    deployment_tier: EdgeDeploymentTier = EdgeDeploymentTier.DEVICE_EDGE
    latency_requirement: LatencyRequirement = LatencyRequirement.INTERACTIVE
    state_dir: str | None = None
    """Where the agent keeps what must survive; `None`: the user's XDG state folder."""
    server: ServerConfig = ServerConfig()
    http: HttpConfig | None = None
    """The HTTP face; `None`: there is none."""
    serving: ServingConfig = ServingConfig()
    failsafe: LadderConfig = LadderConfig()
    telemetry: TelemetryConfig = TelemetryConfig()
    health: HealthConfig = HealthConfig()
    simulated_heat: SimulatedHeat | None = None
    """A made-up device's heat in place of sensors; `None`: the sensors count."""
    device_spec: EdgeDeviceSpec = msgspec.field(name="device", default=EdgeDeviceSpec())
    model_specs: tuple[ModelDeploymentSpec, ...] = msgspec.field(name="models", default=())

    def __post_init__(self) -> None:
        """Refuse what only shows when the parts are seen together."""
        check_id("agent_id", self.agent_id)
        _check_frameworks(self.device_spec.supported_frameworks)
        names = [spec.model_id for spec in self.model_specs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"models: {twice[0]!r} is listed twice")
        for spec in self.model_specs:
            for fallback in spec.fallback_models:
                if fallback not in names:
                    raise ValueError(
                        f"models: {spec.model_id!r} names the fallback {fallback!r}, "
                        "which is not one of the models"
                    )

    def deadline_ms(self, model_id: str) -> float:
        """Return the deadline, in ms, of requests to a model that name none themselves."""
        for spec in self.model_specs:
            if spec.model_id == model_id and spec.deadline_ms is not None:
                return spec.deadline_ms
        return self.latency_requirement.deadline_ms


def _check_frameworks(names: tuple[str, ...]) -> None:
    strange = [name for name in names if name not in {*Engine}]
    if strange:
        known = ", ".join(Engine)
        raise ValueError(
            f"supported_frameworks: {strange[0]!r} is not an engine; there are {known}"
        )
    if names and Engine.ONNXRUNTIME not in names:
        raise ValueError("supported_frameworks must name onnxruntime: models are packed for it")
