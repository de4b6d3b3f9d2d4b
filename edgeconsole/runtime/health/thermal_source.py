"""From what the device's sensors said to what the thermal policy looks at. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.monitor import ResourceUsage
from edgeconsole.runtime.health.thermal_reading import ThermalReading

OLDEST_S: Final = 5.0
"""A reading older than this says nothing of now."""
_COUNTER: Final = "_throttle_count"
_BITS: Final = frozenset(
    {
        "throttled",
        "soft_temperature_limit",
        "hw_slowdown",
        "sw_thermal_slowdown",
        "hw_thermal_slowdown",
    }
)
_UNDER_VOLTAGE: Final = "under_voltage"


def thermal_reading(
    usage: ResourceUsage, readings: Sequence[SensorReading], rate_per_s: float
) -> ThermalReading:
    """Return what the policy needs of all readings; an estimated power is not among it.

    `readings` have their ages as of now; that of the control sensor is looked up there.
    """
    sensor, power = usage.control_temperature, usage.control_power
    temp_c, reason, limits = None, usage.temp_c.reason, {}
    if sensor is not None:
        limits, reason = sensor.limits, sensor.reason
        old_s = max((each.age_s for each in readings if _is(each, sensor)), default=sensor.age_s)
        if not sensor.believed:
            temp_c = None
        elif old_s > OLDEST_S:
            reason = f"{sensor.name} was last read {old_s:.0f} s ago"
        else:
            temp_c = sensor.value
    measured = power is not None and power.believed and power.quality is not Quality.ESTIMATED
    counts, throttled, under_voltage = _throttling(readings)
    return ThermalReading(
        temp_c=temp_c,
        reason=reason if temp_c is None else "",
        sensor="" if sensor is None else sensor.name,
        passive_c=limits.get("passive"),
        critical_c=limits.get("critical", limits.get("crit")),
        throttle_count=counts,
        throttled=throttled,
        under_voltage=under_voltage,
        power_w=power.value if measured and power is not None else None,
        load=None if usage.cpu_percent is None else usage.cpu_percent / 100.0,
        rate_per_s=rate_per_s,
    )


def _is(reading: SensorReading, sensor: SensorReading) -> bool:
    return reading.kind is sensor.kind and reading.name == sensor.name


def _throttling(readings: Iterable[SensorReading]) -> tuple[int | None, bool, bool]:
    """Return the sum of all throttle counters, and whether something throttles or lacks voltage now."""
    counts: int | None = None
    throttled = under_voltage = False
    for reading in readings:
        value = reading.value
        if reading.kind is not SensorKind.THROTTLE or value is None or not reading.believed:
            continue
        last = reading.name.rpartition("/")[2]
        if last.endswith(_COUNTER):
            counts = int(value) + (counts or 0)
        elif value > 0.0:
            throttled |= last in _BITS
            under_voltage |= last == _UNDER_VOLTAGE
    return counts, throttled, under_voltage
