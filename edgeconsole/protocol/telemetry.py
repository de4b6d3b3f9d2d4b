"""What a device says about itself once a second: readings, model figures, events.

Unknown fields are tolerated here, so that an older console can watch a newer agent.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from edgeconsole.protocol.bounds import Count, DeadlineMs, UnixTime
from edgeconsole.protocol.failsafe import RouteSample, Transition
from edgeconsole.protocol.thermal import ThermalSample, ThermalTransition
from edgeconsole.specs import AgentState


class Quality(StrEnum):
    """How a reading came to be."""

    MEASURED = "measured"
    DERIVED = "derived"
    ESTIMATED = "estimated"
    SIMULATED = "simulated"
    UNKNOWN = "unknown"


class Severity(StrEnum):
    """How much an event matters."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class ModelState(StrEnum):
    """Whether a loaded model can answer."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    STOPPING = "stopping"


MODEL_ACTIVATED: Final = "model_activated"
"""The kind of event that tells of another bundle that answers."""
_ANSWERS: Final = " answers to "


def activated_text(key: str, model: str) -> str:
    """Return the message of an event that tells which bundle answers to a name from now on."""
    return f"{key}{_ANSWERS}{model!r}"


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One sensor reading; `value` is `None` where it is unknown, and then `reason` says why."""

    value: float | None = None
    unit: str = ""
    source: str = ""
    quality: Quality = Quality.UNKNOWN
    reason: str = ""


class ModelSample(msgspec.Struct, frozen=True, gc=False):
    """One loaded model at one moment.

    Percentiles are over the last 60 s of answered requests, in milliseconds from the moment the
    agent read the request; `None` without requests. Counters are since the agent started.
    """

    model: str
    version: str
    variant: str
    digest: str
    state: ModelState
    active: bool
    deadline_ms: DeadlineMs
    worker_pids: tuple[int, ...] = ()
    intra_op_threads: int = 0
    restarts: Count = 0
    queue_depth: Count = 0
    in_flight: Count = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    infer_p50_ms: float | None = None
    rate_per_s: float = 0.0
    """Answers per second over the last 5 s."""
    requests_total: Count = 0
    answered_total: Count = 0
    refused_total: Count = 0
    """Refused before a model ran: queue full, deadline passed while waiting, cancelled."""
    failed_total: Count = 0
    """The model or its worker failed."""
    late_total: Count = 0
    """Results that came after their deadline and were dropped."""
    cached_total: Count = 0
    """Answers from the cache; they are among the answered."""
    rss_bytes: Count | None = None
    reason: str = ""
    """Why it is not ready."""

    @property
    def key(self) -> str:
        """Return `model/version/variant`."""
        return f"{self.model}/{self.version}/{self.variant}"


class BacklogSample(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device keeps of its telemetry until every console has it. Counters since its start."""

    used_bytes: Count
    budget_bytes: Count
    samples: Count = 0
    """How many wait."""
    oldest_unix_s: UnixTime | None = None
    """The beginning of the oldest minute that is kept."""
    asked_unix_s: UnixTime | None = None
    """When a console asked for it last; `None`: none ever did."""
    thinned_blocks: Count = 0
    """Minutes of which only some samples, or only the rollup, are left."""
    dropped_total: Count = 0
    """Samples that were removed before every console had them."""
    disk_free_bytes: Count | None = None
    disk_total_bytes: Count | None = None
    problem: str = ""
    """Why nothing is written at the moment; empty while all is well."""
    gaps: Count = 0
    """Stretches of which nothing is left but that they were."""

    @property
    def was_read(self) -> bool:
        """Say whether the figures are known: a file that was ever opened is not empty."""
        return self.used_bytes > 0


class DeviceSample(msgspec.Struct, frozen=True, gc=False):
    """A whole device at one moment; `seq` counts samples since the agent's start `boot_id`."""

    device_id: str
    boot_id: str
    seq: Count
    time_unix_s: UnixTime
    state: AgentState
    uptime_s: float
    temp_c: Reading
    power_w: Reading
    cpu_percent: float | None
    memory_percent: float | None
    memory_used_bytes: Count | None
    agent_rss_bytes: Count | None
    connections: Count
    models: tuple[ModelSample, ...]
    reason: str = ""
    """Why the state is `error` or `maintenance`."""
    routes: tuple[RouteSample, ...] = ()
    """The failsafe ladder of each model that answers to a name."""
    thermal: ThermalSample | None = None
    """`None`: the agent is from before the thermal policy."""
    backlog: BacklogSample | None = None
    """`None`: the agent keeps none."""


class DeviceEvent(msgspec.Struct, frozen=True):
    """Something that happened on a device; `seq` counts events since the agent's start."""

    device_id: str
    boot_id: str
    seq: Count
    time_unix_s: UnixTime
    severity: Severity
    kind: str
    """A stable short name, such as `worker_lost` or `state_changed`."""
    message: str
    transition: Transition | None = None
    """With kind `rung_changed`: what changed, and the conditions that made it so."""
    thermal: ThermalTransition | None = None
    """Likewise with kind `thermal_changed`."""

    @property
    def activated(self) -> str:
        """Return the key of the bundle that answers from now on; empty: it is about something else."""
        key, told, _ = self.message.rpartition(_ANSWERS)
        return key if self.kind == MODEL_ACTIVATED and told else ""
