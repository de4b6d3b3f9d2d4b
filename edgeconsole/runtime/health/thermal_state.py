"""Where a device stands by the thermal policy, between two readings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgeconsole.protocol.thermal import ThermalState
from edgeconsole.runtime.health.thermal_forecast import ForecastState
from edgeconsole.runtime.health.thermal_rate import RateState
from edgeconsole.runtime.health.thermal_sensor import SensorState


@dataclass(frozen=True, slots=True)
class Forced:
    """What an operator forced."""

    state: ThermalState
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class ThermalPolicyState:
    """Where a device stands; times are monotonic seconds."""

    state: ThermalState = ThermalState.UNKNOWN
    """What holds: the judged state, or what an operator forced."""
    since_s: float = 0.0
    judged: ThermalState = ThermalState.UNKNOWN
    judged_since_s: float = 0.0
    judged_cause: str = ""
    judged_reason: str = ""
    cause: str = ""
    reason: str = ""
    step: int = 0
    stepped_s: float = 0.0
    sensor: SensorState = field(default_factory=SensorState)
    forecast: ForecastState = field(default_factory=ForecastState)
    rate: RateState = field(default_factory=RateState)
    limit_c: float | None = None
    limit_source: str = ""
    held: Mapping[str, float] = field(default_factory=dict)
    """Since when each signal is present."""
    throttle_count: int | None = None
    throttled_s: float = -math.inf
    """When something throttled last."""
    fell_s: float | None = None
    """When it last went a state down."""
    setbacks: int = 0
