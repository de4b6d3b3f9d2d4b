"""The vocabulary: tiers, levels, latency classes, and the specs of devices, models and agents.

Everything here is immutable and validated when it is made. Units are in the names. The names come
from the document the project started from; where its values were wrong they are corrected here
(a dtype is not a framework, an unknown power draw is not a number, a latency class is a deadline).
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Any, Final

import msgspec

from edgeconsole.engines import Engine

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_id(what: str, value: str) -> str:
    """Return a device, agent or model id; raises `ValueError` naming `what` if it is not one."""
    if not _ID.fullmatch(value):
        raise ValueError(
            f"{what} {value!r} must be 1 to 64 letters, digits or . _ - and start with a letter "
            "or digit"
        )
    return value


def is_loopback(host: str) -> bool:
    """Say whether a host name or address can only be reached from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class EdgeDeploymentTier(StrEnum):
    """Where an agent stands between the sensor and the cloud; it is the same program everywhere."""

    CLOUD = "cloud"
    REGIONAL_EDGE = "regional_edge"
    LOCAL_EDGE = "local_edge"
    DEVICE_EDGE = "device_edge"


class ModelOptimizationLevel(StrEnum):
    """How far the optimiser may go with a model."""

    NONE = "none"
    QUANTIZATION = "quantization"
    PRUNING = "pruning"
    DISTILLATION = "distillation"
    COMPILATION = "compilation"
    FULL_OPTIMIZATION = "full_optimization"


class LatencyRequirement(StrEnum):
    """A latency class; `deadline_ms` is the answer time it stands for."""

    REAL_TIME = "real_time"
    NEAR_REAL_TIME = "near_real_time"
    INTERACTIVE = "interactive"
    BATCH = "batch"

    @property
    def deadline_ms(self) -> float:
        """Return the class's deadline in milliseconds."""
        return _DEADLINES_MS[self]


_DEADLINES_MS: Final = {
    LatencyRequirement.REAL_TIME: 1.0,
    LatencyRequirement.NEAR_REAL_TIME: 10.0,
    LatencyRequirement.INTERACTIVE: 100.0,
    LatencyRequirement.BATCH: 1000.0,
}


class AgentState(StrEnum):
    """What an agent is doing."""

    INITIALIZING = "initializing"
    """Starting, or loading its first model."""
    READY = "ready"
    """Every configured model can answer; no request is in progress."""
    PROCESSING = "processing"
    """As `ready`, and at least one request is in progress."""
    ERROR = "error"
    """At least one configured model cannot answer; the reason is in the status."""
    MAINTENANCE = "maintenance"
    """Draining or drained on purpose; new requests are refused."""


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every spec: immutable, and strict about unknown keys."""


class ComputeUnits(_Spec, frozen=True):
    """How many units of each kind a device has."""

    cpu_cores: int = 1
    gpu_cores: int = 0
    tpu_units: int = 0

    def __post_init__(self) -> None:
        """Refuse negative counts and a device without a CPU."""
        if self.cpu_cores < 1:
            raise ValueError(f"cpu_cores must be at least 1, got {self.cpu_cores}")
        if self.gpu_cores < 0 or self.tpu_units < 0:
            raise ValueError("gpu_cores and tpu_units must not be negative")


class ThermalConstraints(_Spec, frozen=True):
    """Temperature limits in °C; `None` means that the device's own trip points decide."""

    warn_temp_c: float | None = None
    """From here on the device is warm; `None`: 15 °C below its limit."""
    max_temp_c: float | None = None
    """A limit besides the trip points: the lowest counts."""
    unknown_rate_per_s: float | None = None
    """The most requests a second while the temperature is unknown; `None`: as many as come."""

    def __post_init__(self) -> None:
        """Refuse limits outside what silicon survives, or in the wrong order."""
        rate = self.unknown_rate_per_s
        if rate is not None and not 1.0 <= rate <= 1e6:
            raise ValueError(f"unknown_rate_per_s must be 1 to 1000000, got {rate}")
        for name, value in (("warn_temp_c", self.warn_temp_c), ("max_temp_c", self.max_temp_c)):
            if value is not None and not 0.0 <= value <= 125.0:
                raise ValueError(f"{name} must be between 0 and 125 °C, got {value}")
        warn, most = self.warn_temp_c, self.max_temp_c
        if warn is not None and most is not None and warn >= most:
            raise ValueError(f"warn_temp_c ({warn}) must be below max_temp_c ({most})")


class EdgeDeviceSpec(_Spec, frozen=True):
    """What a device is: `None` where nobody has said and nothing was measured."""

    device_id: str = ""
    """The device's name; empty means: the agent's."""
    device_class: str = ""
    """A label for devices of the same kind, such as `jetson-orin-nano-15w`."""
    compute_units: ComputeUnits = ComputeUnits()
    memory_mb: int | None = None
    storage_gb: int | None = None
    network_bandwidth_mbps: int | None = None
    power_budget_w: float | None = None
    """What the device may draw, not what it draws."""
    thermal_constraints: ThermalConstraints = ThermalConstraints()
    supported_frameworks: tuple[str, ...] = ()
    """Engines it may use, not datatypes; none named: all that are installed."""
    optimization_capabilities: tuple[ModelOptimizationLevel, ...] = (ModelOptimizationLevel.NONE,)

    def __post_init__(self) -> None:
        """Refuse sizes that are not positive and a name that is not one."""
        if self.device_id:
            check_id("device_id", self.device_id)
        for name in ("memory_mb", "storage_gb", "network_bandwidth_mbps", "power_budget_w"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")


class FailsafeSpec(_Spec, frozen=True):
    """`[models.failsafe]`: what may answer in a model's place, and what counts as failing."""

    static_answer: dict[str, Any] = {}
    """By output: one number for all values, or the values of one row; wins over the bundle's."""
    last_good_max_age_ms: float | None = None
    """For how long the last valid answer may be given again; `None`: never."""
    output_range: dict[str, tuple[float, float]] = {}
    """By output: least and largest valid value; what is outside is a failure."""
    collapse_after: int = 20
    """So many samples in a row with one answer to differing inputs are a failure; 0: never."""
    objective_ms: float | None = None
    """p99 above this sheds low priorities; `None`: never."""
    reserve_ms: float | None = None
    """What stays of a deadline when another rung answers; `None`: a tenth, 1 to 10 ms."""
    error_share: float = 0.5
    """From this share of failed requests on the breaker opens."""
    slow_share: float = 0.5
    """Likewise of requests the primary was late for."""
    minimum_calls: int = 10
    """Below this number of requests in 10 s, shares say nothing."""
    shadow_share: float = 0.015
    """Of the requests, how many the fallback runs beside the primary to stay proven."""
    self_test_s: float = 10.0
    """How often a model proves itself with its golden inputs when idle."""

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing."""
        for name in ("last_good_max_age_ms", "objective_ms", "reserve_ms"):
            limit_ms = getattr(self, name)
            if limit_ms is not None and not 0.0 < limit_ms <= 86_400_000.0:
                raise ValueError(f"{name} must be above 0 and at most a day, got {limit_ms}")
        for name, (least, most) in self.output_range.items():
            if not least < most:
                raise ValueError(f"output_range of {name!r} must be [least, most], got no range")
        for name in ("error_share", "slow_share"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must be above 0 and at most 1")
        if not 0.0 <= self.shadow_share <= 0.1:
            raise ValueError(f"shadow_share must be 0 to 0.1, got {self.shadow_share}")
        if not 1 <= self.minimum_calls <= 100:
            raise ValueError(f"minimum_calls must be 1 to 100, got {self.minimum_calls}")
        if self.collapse_after != 0 and not 3 <= self.collapse_after <= 10_000:
            raise ValueError("collapse_after must be 0 (never) or 3 to 10000")
        if not 1.0 <= self.self_test_s <= 3600.0:
            raise ValueError(f"self_test_s must be 1 to 3600, got {self.self_test_s}")


class ModelDeploymentSpec(_Spec, frozen=True):
    """One model an agent is to serve, and what is expected of it."""

    model_id: str
    """The name clients call; the bundle's model name."""
    bundle: str | None = None
    """A bundle folder to take in at start, relative to the file; `None`: already in the store."""
    load: bool = True
    """Whether a worker is started for it at once."""
    deadline_ms: float | None = None
    """The deadline of requests that name none; `None`: the agent's latency class."""
    accuracy_baseline: float | None = None
    """The least accuracy the model must keep, 0 to 1."""
    memory_requirement_mb: int | None = None
    """The most memory its worker may use."""
    workers: int | None = None
    """Worker processes; `None`: measured at load, within the cores there are."""
    intra_op_threads: int | None = None
    """Threads inside one inference; `None`: measured at load."""
    max_batch: int = 32
    """The most rows that run together."""
    max_delay_ms: float = 0.0
    """How long a request may wait for company while a worker is idle; 0: never."""
    cache: bool = False
    """Whether answers to inputs that were seen before are reused."""
    fallback_models: tuple[str, ...] = ()
    """Models that may answer in its place, best first."""
    failsafe: FailsafeSpec = FailsafeSpec()
    """What may answer in its place beside models, and what counts as failing."""
    supported_optimizations: tuple[ModelOptimizationLevel, ...] = (ModelOptimizationLevel.NONE,)

    def __post_init__(self) -> None:
        """Refuse names, shares and counts outside their range."""
        check_id("model_id", self.model_id)
        if self.deadline_ms is not None and not self.deadline_ms > 0:
            raise ValueError(f"deadline_ms must be positive, got {self.deadline_ms}")
        if self.accuracy_baseline is not None and not 0.0 <= self.accuracy_baseline <= 1.0:
            raise ValueError(f"accuracy_baseline must be 0 to 1, got {self.accuracy_baseline}")
        if self.memory_requirement_mb is not None and self.memory_requirement_mb < 16:
            raise ValueError("memory_requirement_mb must be at least 16")
        for name in ("workers", "intra_op_threads", "max_batch"):
            count = getattr(self, name)
            if count is not None and not 1 <= count <= 1024:
                raise ValueError(f"{name} must be 1 to 1024, got {count}")
        if not 0.0 <= self.max_delay_ms <= 10_000:
            raise ValueError(f"max_delay_ms must be 0 to 10000, got {self.max_delay_ms}")
        if self.model_id in self.fallback_models:
            raise ValueError(f"{self.model_id!r} cannot be its own fallback")


class ServerConfig(_Spec, frozen=True):
    """Where an agent listens."""

    host: str = "127.0.0.1"
    port: int = 7311
    token_file: str | None = None
    """The file with the bearer token, mode 0600; `None`: `token` in the state folder."""

    def __post_init__(self) -> None:
        """Refuse ports out of range and addresses other hosts can reach."""
        _check_listener(self.host, self.port)


class HttpConfig(_Spec, frozen=True):
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


class ServingConfig(_Spec, frozen=True):
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


class LadderConfig(_Spec, frozen=True):
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


class TelemetryConfig(_Spec, frozen=True):
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


class PowerEstimate(_Spec, frozen=True):
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


class HealthConfig(_Spec, frozen=True):
    """`[health]`: which sensors the agent acts on."""

    control_temperature: str = ""
    """A reading's name, its last part, or a pattern with `*`; empty: the documented order."""
    control_power: str = ""
    """Likewise for power; of several the sum counts."""
    power_estimate: PowerEstimate | None = None
    """How to estimate power where nothing measures it; `None`: it is unknown."""


class SimulatedHeat(_Spec, frozen=True):
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


class EdgeAgentConfig(_Spec, frozen=True):
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


class FleetDevice(_Spec, frozen=True):
    """One `[[devices]]` entry of `fleet.toml`: how the console reaches a device."""

    id: str
    url: str
    token_file: str | None = None
    """The file with the device's token; `None`: where an agent on this machine keeps its own."""
    site: str = ""
    labels: dict[str, str] = {}

    def __post_init__(self) -> None:
        """Refuse names and addresses that cannot be used."""
        check_id("id", self.id)
        if not re.fullmatch(r"wss?://[^\s/]+/?", self.url):
            raise ValueError(f"url must look like ws://127.0.0.1:7311, got {self.url!r}")


class RetentionConfig(_Spec, frozen=True):
    """`[retention]`: how long the console's history keeps what; the audit is kept for ever."""

    raw_hours: float = 48.0
    """Samples, one a second."""
    minute_days: float = 30.0
    """Rollups of minutes, of devices and of the fleet."""
    hour_days: float = 730.0
    """Rollups of hours."""
    event_days: float = 30.0
    """Events and transitions."""

    def __post_init__(self) -> None:
        """Refuse times in the wrong order: what is finer is kept for less long."""
        if not 1 <= self.raw_hours <= 24 * self.minute_days <= 24 * self.hour_days <= 24 * 36500:
            raise ValueError("raw_hours (from 1), minute_days and hour_days must not get shorter")
        if not 1 <= self.event_days <= 36500:
            raise ValueError(f"event_days must be 1 to 36500, got {self.event_days}")


class AlertConfig(_Spec, frozen=True):
    """`[alerts]`: from when on a person is told, and how."""

    error_share: float = 0.05
    """Failed requests, of those of a minute."""
    degraded_share: float = 0.2
    """Answers from a lower rung, of those of a minute."""
    disk_free_share: float = 0.05
    """What must be free of a device's disk."""
    buffer_share: float = 0.8
    """How full a device's backlog may be; at 0.9 it begins to thin."""
    command: tuple[str, ...] = ()
    """A program that is given each incident as JSON on its standard input; empty: none."""
    webhook: str = ""
    """An address that each incident is posted to as JSON; empty: none."""
    timeout_s: float = 10.0
    """How long the program or the address may take."""

    def __post_init__(self) -> None:
        """Refuse shares out of range, and addresses that cannot be posted to."""
        for name in ("error_share", "degraded_share", "disk_free_share", "buffer_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {getattr(self, name)}")
        if self.webhook and not re.fullmatch(r"https?://[^\s/]+\S*", self.webhook):
            raise ValueError(f"webhook must begin with http:// or https://, got {self.webhook!r}")
        if not 0.1 <= self.timeout_s <= 300:
            raise ValueError(f"timeout_s must be 0.1 to 300, got {self.timeout_s}")


class FleetSpec(_Spec, frozen=True):
    """A whole `fleet.toml`: a name, when a device counts as silent, and the devices."""

    name: str = "fleet"
    stale_after_s: float = 3.0
    """A device not heard for so long is shown as stale."""
    gone_after_s: float = 15.0
    """A device not heard for so long is shown as gone."""
    history: str | None = None
    """The history database, relative to the file; `None`: in the user's XDG data folder."""
    retention: RetentionConfig = RetentionConfig()
    alerts: AlertConfig = AlertConfig()
    warn_temp_c: float = 80.0
    """From here a temperature is a warning, where the device names no limit of its own."""
    max_temp_c: float = 90.0
    """From here a temperature is critical, where the device names no limit of its own."""
    devices: tuple[FleetDevice, ...] = ()

    def __post_init__(self) -> None:
        """Refuse repeated devices and limits in the wrong order."""
        names = [device.id for device in self.devices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"devices: {twice[0]!r} is listed twice")
        if not 0 < self.stale_after_s < self.gone_after_s:
            raise ValueError("stale_after_s must be positive and below gone_after_s")
        if not 0 < self.warn_temp_c < self.max_temp_c <= 125:
            raise ValueError("warn_temp_c must be below max_temp_c, both within 0 to 125 °C")
