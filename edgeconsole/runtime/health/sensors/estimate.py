"""Power from the load, only where device.toml says how: a line between idle and full, as a range. Pure.

A line fitted to the machine is off by 8 to 48 % on average in codecarbon's profiling data, and by
more from data sheets; so the range is ±60 %, or ±25 % where the two ends were measured.
"""

from __future__ import annotations

from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.specs import PowerEstimate

NAME: Final = "estimate"
_SHARE: Final = 0.60
_CALIBRATED_SHARE: Final = 0.25


def estimate_power(
    readings: tuple[SensorReading, ...], model: PowerEstimate | None
) -> SensorReading | None:
    """Return the estimate with its range in `limits`; `None` if none is configured."""
    if model is None:
        return None
    busy = next(
        (each for each in readings if each.kind is SensorKind.CPU and each.name == "busy"), None
    )
    if busy is None or busy.value is None:
        reason = busy.reason if busy else "the processor's load is not known"
        return SensorReading(kind=SensorKind.POWER, name=NAME, unit="W", reason=reason)
    watts = model.idle_w + (model.full_w - model.idle_w) * busy.value / 100
    share = _CALIBRATED_SHARE if model.calibrated else _SHARE
    return SensorReading(
        kind=SensorKind.POWER,
        name=NAME,
        value=watts,
        unit="W",
        source=f"{model.idle_w:g} to {model.full_w:g} W by load, ±{share:.0%}",
        quality=Quality.ESTIMATED,
        limits={"low": watts * (1 - share), "high": watts * (1 + share)},
    )
