"""Power rails of Jetsons up to JetPack 4, whose INA3221 is an iio device.

Source: jetson_stats (jtop/core/power.py). Newer ones show as hwmon chips.
"""

from __future__ import annotations

import re
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.counters import MAX_PLAUSIBLE_W
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Round

_ADDRESS: Final = re.compile(r"[0-9]{1,3}-[0-9a-f]{4}")
_DEVICE: Final = re.compile(r"iio:device[0-9]{1,3}|iio_device[0-9]{0,3}")
_RAIL: Final = re.compile(r"rail_name_([0-9]{1,2})")
_PLACES: Final = ("bus/i2c/drivers/ina3221x", "bus/iio/devices")


def read_iio_rails(round_: Round) -> list[SensorReading]:
    """Return each rail once, named as the board names it."""
    readings: dict[str, SensorReading] = {}
    for folder in _devices(round_):
        for file in round_.files.names(folder):
            match = _RAIL.fullmatch(file)
            name = round_.label(f"{folder}/{file}") if match else ""
            if match and name and name != "NC":
                readings.setdefault(name, _rail(round_, folder, name, match[1]))
    return list(readings.values())


def _devices(round_: Round) -> list[str]:
    drivers, devices = _PLACES
    found = [folder for _, folder in round_.folders(devices, _DEVICE)]
    for address, _ in round_.folders(drivers, _ADDRESS):
        found += [folder for _, folder in round_.folders(f"{drivers}/{address}", _DEVICE)]
    return found


def _rail(round_: Round, folder: str, name: str, number: str) -> SensorReading:
    limits = {}
    for limit, file in (("warn", "warn_current_limit"), ("crit", "crit_current_limit")):
        milliamperes = round_.maybe(f"{folder}/{file}_{number}")
        if milliamperes is not None and 0 < milliamperes < 1_000_000:
            limits[f"current_{limit}_a"] = milliamperes / 1000
    path = f"{folder}/in_power{number}_input"
    power = round_.measure(
        SensorKind.POWER, name, "W", path, 1e3, most=MAX_PLAUSIBLE_W, limits=limits
    )
    if power.value is not None:
        return power
    try:
        millivolts = round_.number(f"{folder}/in_voltage{number}_input")
        milliamperes = round_.number(f"{folder}/in_current{number}_input")
    except UnreadError:
        return power
    watts = millivolts * milliamperes / 1e6
    if not 0.0 <= watts <= MAX_PLAUSIBLE_W:
        return power
    source = f"{folder}/in_voltage{number}_input × in_current{number}_input"
    return round_.reading(
        SensorKind.POWER, name, watts, "W", source, quality=Quality.DERIVED, limits=limits
    )
