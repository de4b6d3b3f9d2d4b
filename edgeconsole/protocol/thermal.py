"""The thermal policy's words: states, what each allows, transitions, and what an operator may force.

Everything here is what an agent says, so unknown fields are tolerated; the command is in
`protocol/control.py`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from edgeconsole.protocol.bounds import AgeSeconds, Count, UnixTime
from edgeconsole.protocol.failsafe import Condition


class ThermalState(StrEnum):
    """How near a device is to its own limit."""

    UNKNOWN = "unknown"
    """There is no control sensor, or no limit to compare it with."""
    NOMINAL = "nominal"
    WARM = "warm"
    """Background work waits, batches are halved."""
    HOT = "hot"
    """The rate of inferences is governed; then fewer threads and a lighter model."""
    CRITICAL = "critical"
    """Inference is refused."""

    @property
    def depth(self) -> int:
        """Return how far it is from nominal; unknown holds back as little as nominal does."""
        return _DEPTHS[self]


_DEPTHS: Final = {
    ThermalState.UNKNOWN: 0,
    ThermalState.NOMINAL: 0,
    ThermalState.WARM: 1,
    ThermalState.HOT: 2,
    ThermalState.CRITICAL: 3,
}


class ThermalAllowance(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the device may do now; the default is everything."""

    step: Count = 0
    """How many steps of the ladder are taken; each includes those before it."""
    defer_background: bool = False
    """Jobs, self-made downloads and scans wait."""
    batch_share: float = 1.0
    """Of the largest batch."""
    rate_per_s: float | None = None
    """Inferences a second, all models together; `None`: as many as come."""
    thread_share: float = 1.0
    """Of the worker threads."""
    lighter_model: bool = False
    """A loaded, proven fallback model answers in the primary's place."""
    refuse: bool = False
    """Inference is refused; control and telemetry go on."""


class ThermalOverride(msgspec.Struct, frozen=True, omit_defaults=True):
    """A state that an operator forced: a cooler one than the policy's, or a hotter one for a time."""

    state: ThermalState
    actor: str
    reason: str
    left_s: AgeSeconds
    """Seconds until it ends."""
    ignored: bool = False
    """It would allow more than a critical device may do."""


class ThermalSample(msgspec.Struct, frozen=True, omit_defaults=True):
    """The thermal policy at one moment."""

    state: ThermalState
    held_s: AgeSeconds = 0.0
    """For how long it has been in this state."""
    cause: str = ""
    """The latest transition's, a stable short name; empty: there was none."""
    reason: str = ""
    """In words; why it is unknown, where it is."""
    sensor: str = ""
    """The control sensor."""
    temp_c: float | None = None
    limit_c: float | None = None
    limit_source: str = ""
    """Which limit that is, such as `passive trip`."""
    margin_c: float | None = None
    """Degrees that are left to the limit."""
    slope_c_per_s: float | None = None
    allowance: ThermalAllowance = ThermalAllowance()
    limit_in_s: float | None = None
    """Seconds to the limit, only while the forecast beats "it stays as it is"."""
    forecast_note: str = ""
    """Why there is no forecast."""
    override: ThermalOverride | None = None
    warnings: tuple[str, ...] = ()
    """What a person must look at, such as a sensor that seems stuck."""
    throttled_total: Count = 0
    """Requests refused by the rate limit since the agent started."""
    transitions_total: Count = 0
    simulated: bool = False
    """The readings come from a simulated device."""


class ThermalTransition(msgspec.Struct, frozen=True, omit_defaults=True):
    """A device went from one thermal state or step to another, and why."""

    before: ThermalState
    after: ThermalState
    step_before: Count
    step_after: Count
    cause: str
    """A stable short name, such as `hot_temperature` or `cooled`."""
    time_unix_s: UnixTime
    reason: str = ""
    conditions: tuple[Condition, ...] = ()
    simulated: bool = False
    actor: str = ""
    """Who forced the state that holds after it; empty: it is the policy's own."""


class ThermalConditions(msgspec.Struct, frozen=True):
    """What the latest decision looked at."""

    state: ThermalState
    reason: str
    conditions: tuple[Condition, ...]
