"""The words: tiers, levels, latency classes, states, ids, and the base of every spec."""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Final

import msgspec

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


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every spec: immutable, and strict about unknown keys."""
