"""Where a device's limit is, and how far from it each thermal state begins and ends. Pure.

The margins are those of the design's policy; the anchors are the kernel's step_wise and
power_allocator governors. Everything is relative to the limit: no temperature of any device
class is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edgeconsole.runtime.health.thermal_reading import ThermalReading

NO_LIMIT: Final = "the sensor has no trip points and device.toml names no max_temp_c"
_TRUSTED_C: Final = (50.0, 125.0)
"""Trip points outside this are placeholders, or are about skin and fans."""
_BEFORE_CRITICAL_C: Final = 10.0
"""At the critical trip the kernel powers off; the agent's limit is so far below."""


@dataclass(frozen=True, slots=True)
class ThermalLimits:
    """When the policy changes its mind. Temperatures are degrees below the limit."""

    configured_c: float | None = None
    """A limit from device.toml."""
    warn_c: float | None = None
    """From where on it is warm, from device.toml; `None`: `warm_c` below the limit."""
    power_budget_w: float | None = None
    warm_c: float = 15.0
    hot_c: float = 7.0
    critical_c: float = 2.0
    leave_warm_c: float = 20.0
    leave_hot_c: float = 12.0
    warm_hold_s: float = 3.0
    hot_hold_s: float = 2.0
    critical_hold_s: float = 1.0
    """A second reading at 1 Hz confirms the first."""
    cool_hold_s: float = 30.0
    cool_critical_hold_s: float = 60.0
    rising_hold_s: float = 60.0
    """Hot for so long and still rising at the last step is critical."""
    react_s: float = 2.5
    """Heating for so long at the measured rate is added to the margins: sensing and acting take it."""
    steady_c_per_s: float = 0.4
    """Slower heating than this is what the margins are made for: the median of 307 recorded runs."""
    most_widening_c: float = 15.0
    most_critical_widening_c: float = 3.0
    lost_s: float = 10.0
    good_reads: int = 5
    stuck_s: float = 300.0
    stuck_load_factor: float = 4.0
    warm_power_share: float = 0.9
    hot_power_share: float = 1.0
    leave_hot_power_share: float = 0.8
    leave_warm_power_share: float = 0.7
    warm_power_hold_s: float = 10.0
    hot_power_hold_s: float = 5.0
    forecast_s: float = 60.0
    step_s: float = 10.0
    """One step of the ladder in so long, within a state."""
    calm_s: float = 120.0
    """Hotter again within so long after a move down is a setback: cooling must last twice as long."""
    most_setbacks: int = 2
    unknown_rate_per_s: float | None = None
    """The most inferences a second while the temperature is unknown; `None`: no cap."""


def limit_of(reading: ThermalReading, limits: ThermalLimits) -> tuple[float | None, str]:
    """Return the lowest trusted limit in °C and which one it is; `None`: there is none."""
    critical_c = _trusted(reading.critical_c)
    found = [
        (value_c, name)
        for value_c, name in (
            (_trusted(reading.passive_c), "passive trip"),
            (
                None if critical_c is None else critical_c - _BEFORE_CRITICAL_C,
                f"critical trip − {_BEFORE_CRITICAL_C:.0f} °C",
            ),
            (_trusted(reading.vendor_c), "vendor's limit"),
            (limits.configured_c, "device.toml"),
        )
        if value_c is not None
    ]
    if not found:
        return None, NO_LIMIT
    return min(found)


def _trusted(value_c: float | None) -> float | None:
    trusted = value_c is not None and _TRUSTED_C[0] <= value_c <= _TRUSTED_C[1]
    return value_c if trusted else None
