"""Batteries and what feeds the device. Source: the kernel's ABI, sysfs-class-power.

A battery with `scope` = `Device` is a mouse's or a headset's, and not ours. Signs of currents and
powers are the drivers' own business; the direction is in the status.
"""

from __future__ import annotations

import re
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.counters import MAX_PLAUSIBLE_W
from edgeconsole.runtime.health.sensors.round import Round, implausible
from edgeconsole.runtime.health.sensors.thermal import temperature

_NAME: Final = re.compile(r"[^/]{1,64}")
_MEASURES: Final = (
    ("voltage", "voltage_now", "V", 1e6),
    ("energy", "energy_now", "Wh", 1e6),
    ("energy_full", "energy_full", "Wh", 1e6),
    ("charge", "charge_now", "Ah", 1e6),
    ("charge_full", "charge_full", "Ah", 1e6),
)


def read_supplies(round_: Round) -> list[SensorReading]:
    """Return the device's batteries and the state of its feeds."""
    readings: list[SensorReading] = []
    for name, folder in round_.folders("class/power_supply", _NAME):
        kind = round_.label(f"{folder}/type")
        if round_.label(f"{folder}/scope") == "Device":
            continue
        if kind in ("Battery", "UPS"):
            readings += _battery(round_, name, folder)
        elif "online" in round_.files.names(folder):
            readings.append(
                round_.measure(
                    SensorKind.SUPPLY,
                    f"{name}/online",
                    "1",
                    f"{folder}/online",
                    1.0,
                    most=2.0,
                    state=kind,
                )
            )
    return readings


def _battery(round_: Round, name: str, folder: str) -> list[SensorReading]:
    files = frozenset(round_.files.names(folder))
    if "present" in files and round_.maybe(f"{folder}/present") == 0:
        reason = "no battery is in its place"
        return [round_.unknown(SensorKind.BATTERY, f"{name}/capacity", "%", folder, reason)]
    status = round_.label(f"{folder}/status")
    readings = []
    if "capacity" in files:
        readings.append(
            round_.measure(
                SensorKind.BATTERY,
                f"{name}/capacity",
                "%",
                f"{folder}/capacity",
                1.0,
                most=100.0,
                state=status,
            )
        )
    for what, file, unit, per in _MEASURES:
        if file in files:
            path = f"{folder}/{file}"
            readings.append(round_.measure(SensorKind.BATTERY, f"{name}/{what}", unit, path, per))
    if "temp" in files:
        readings.append(_temperature(round_, name, f"{folder}/temp"))
    return [*readings, *_power(round_, name, folder, files, status)]


def _power(
    round_: Round, name: str, folder: str, files: frozenset[str], status: str
) -> list[SensorReading]:
    """Return what goes in or out of a battery, without a sign; `state` says which."""
    name = f"{name}/power"
    path = f"{folder}/power_now"
    microwatts = round_.maybe(path) if "power_now" in files else None
    if microwatts is not None:
        watts, quality = abs(microwatts) / 1e6, Quality.MEASURED
    elif {"current_now", "voltage_now"} <= files:
        path = f"{folder}/voltage_now × current_now"
        microvolts = round_.maybe(f"{folder}/voltage_now")
        microamperes = round_.maybe(f"{folder}/current_now")
        if microvolts is None or microamperes is None:
            reason = "voltage or current cannot be read"
            return [round_.unknown(SensorKind.BATTERY, name, "W", path, reason)]
        watts, quality = abs(microvolts * microamperes) / 1e12, Quality.DERIVED
    elif "power_now" in files:
        return [round_.measure(SensorKind.BATTERY, name, "W", path, 1e6)]
    else:
        return []
    if watts > MAX_PLAUSIBLE_W:
        reason = implausible(watts, "W")
        return [round_.unknown(SensorKind.BATTERY, name, "W", path, reason)]
    return [
        round_.reading(SensorKind.BATTERY, name, watts, "W", path, quality=quality, state=status)
    ]


def _temperature(round_: Round, name: str, path: str) -> SensorReading:
    """Return a battery's temperature; the class counts in tenths of a degree."""
    return temperature(round_, f"{name}/battery", path, {}, units_per_c=10)
