"""Thermal zones with their trip points, and cooling devices. Source: the kernel's sysfs-api.rst."""

from __future__ import annotations

import re
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round

PLAUSIBLE_C: Final = (-40.0, 125.0)
"""What silicon that works can have."""
_READABLE_C: Final = (-60.0, 250.0)
"""Outside it, drivers mean that there is no sensor."""
_OFFLINE_C: Final = -256.0
"""Jetson's word for a part that is powered off (jetson_stats: TEMPERATURE_OFFLINE)."""
_ZONE: Final = re.compile(r"thermal_zone[0-9]{1,4}")
_COOLING: Final = re.compile(r"cooling_device[0-9]{1,4}")
_TRIP: Final = re.compile(r"trip_point_([0-9]{1,3})_type")
_TRIP_TYPES: Final = frozenset({"active", "passive", "hot", "critical"})
_CONSTANT: Final = {"pmic-die": 100.0}
"""A zone of every Jetson that always says the same (jetson_stats, psutil PR 1881)."""


def read_zones(round_: Round) -> list[SensorReading]:
    """Return each zone's temperature; limits are the lowest trip of each type."""
    readings = []
    for name, folder in round_.folders("class/thermal", _ZONE):
        kind = round_.label(f"{folder}/type") or "?"
        readings.append(
            temperature(
                round_, f"{name}/{kind}", f"{folder}/temp", _trips(round_, folder), word=kind
            )
        )
    return readings


def temperature(
    round_: Round,
    name: str,
    path: str,
    limits: dict[str, float],
    *,
    state: str = "",
    word: str = "",
    units_per_c: int = 1000,
) -> SensorReading:
    """Return a temperature in °C; placeholders are unknown, what is implausible is not believed."""
    value: float | None = None
    quality, reason = Quality.MEASURED, ""
    try:
        value = round_.number(path) / units_per_c
    except UnreadError as error:
        reason = error.reason
    if value == _OFFLINE_C:
        value, reason = None, "the part is powered off"
    elif value is not None and not _READABLE_C[0] <= value <= _READABLE_C[1]:
        value, reason = None, f"{value:g} °C is a placeholder: there is no sensor"
    elif value is not None and not PLAUSIBLE_C[0] <= value <= PLAUSIBLE_C[1]:
        quality, reason = Quality.UNKNOWN, "not plausible for a device that works"
    elif value is not None and _CONSTANT.get(word.lower()) == value:
        quality, reason = Quality.UNKNOWN, f"a constant: {word} says it on every device"
    return round_.reading(
        SensorKind.TEMPERATURE,
        name,
        value,
        "°C",
        path,
        quality=quality,
        reason=reason,
        limits=limits,
        state=state,
    )


def limit_c(milli_c: int | None) -> float | None:
    """Return an upper limit in °C; `None` for the numbers that mean that it is not set."""
    if milli_c is None or not 0 < milli_c <= _READABLE_C[1] * 1000:
        return None
    return milli_c / 1000


def _trips(round_: Round, folder: str) -> dict[str, float]:
    """Return the lowest trip of each type; the order of trips is the driver's."""
    lowest: dict[str, float] = {}
    for name in round_.files.names(folder):
        match = _TRIP.fullmatch(name)
        if not match:
            continue
        kind = round_.label(f"{folder}/{name}")
        limit = limit_c(round_.maybe(f"{folder}/trip_point_{match[1]}_temp"))
        if kind in _TRIP_TYPES and limit is not None:
            lowest[kind] = min(limit, lowest.get(kind, limit))
    return lowest


def read_cooling(round_: Round) -> list[SensorReading]:
    """Return how far each means of cooling is turned on, and how far it could be."""
    readings = []
    for name, folder in round_.folders("class/thermal", _COOLING):
        kind = round_.label(f"{folder}/type") or "?"
        most = round_.maybe(f"{folder}/max_state")
        readings.append(
            round_.measure(
                SensorKind.COOLING,
                f"{name}/{kind}",
                "1",
                f"{folder}/cur_state",
                1.0,
                limits={} if most is None or most < 0 else {"max": float(most)},
            )
        )
    return readings
