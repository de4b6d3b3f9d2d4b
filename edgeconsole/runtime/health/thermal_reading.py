"""What the thermal policy looks at, as one immutable value that can be recorded and written by hand.

Every field has a default that says "not known", so that a trace names only what matters.
"""

from __future__ import annotations

import math
from typing import Final

import msgspec

_PLAUSIBLE_C: Final = (-40.0, 125.0)
"""A processor's sensor outside this is broken: −256 is a gated sensor, 200 a missing one."""


class ThermalReading(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One device at one moment."""

    temp_c: float | None = None
    """The control sensor's; `None`: it could not be read, and `reason` says why."""
    reason: str = ""
    sensor: str = ""
    passive_c: float | None = None
    """The zone's lowest passive trip, from where on the kernel throttles."""
    critical_c: float | None = None
    """The zone's critical trip, at which the kernel powers the device off."""
    vendor_c: float | None = None
    """What the vendor's documents or tools call the limit."""
    throttle_count: int | None = None
    """A counter that moves when the kernel or the firmware throttles."""
    throttled: bool = False
    """The firmware says that it throttles now."""
    under_voltage: bool = False
    power_w: float | None = None
    load: float | None = None
    """The share of the processor's time that is used, 0 to 1."""
    rate_per_s: float | None = None
    """Inferences answered in the last second."""
    simulated: bool = False


def plausible_c(reading: ThermalReading) -> float | None:
    """Return the temperature, unless it is unknown or no processor's temperature."""
    temp_c = reading.temp_c
    plausible = temp_c is not None and _PLAUSIBLE_C[0] <= temp_c <= _PLAUSIBLE_C[1]
    return temp_c if plausible else None


def known_w(reading: ThermalReading) -> float | None:
    """Return the power, unless it is unknown or no power."""
    power_w = reading.power_w
    return power_w if power_w is not None and math.isfinite(power_w) and power_w >= 0.0 else None
