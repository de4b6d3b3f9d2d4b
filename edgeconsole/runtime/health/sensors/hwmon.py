"""Chips of the hwmon class: temperatures, fans, alarms; their power is hwmon_power's.

Chips are named by what does not change at reboot: the driver's name, and the device if two share
one. Source: the kernel's hwmon sysfs-interface.rst.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.runtime.health.sensors.round import Round
from edgeconsole.runtime.health.sensors.thermal import limit_c, temperature

_CHIP: Final = re.compile(r"hwmon[0-9]{1,4}")
_ATTRIBUTE: Final = re.compile(r"(temp|fan|power|energy|in|curr)([0-9]{1,3})_([a-z_]{1,24})")
_UPPER_LIMITS: Final = ("max", "crit", "emergency")
_ALARMS: Final = ("crit_alarm", "emergency_alarm", "max_alarm", "alarm", "fault")
_MAX_RPM: Final = 100_000.0


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip: its name, its folder, and what its channels have, by type and number."""

    name: str
    driver: str
    folder: str
    channels: dict[str, dict[int, frozenset[str]]]

    def path(self, kind: str, number: int, attribute: str) -> str:
        """Return an attribute's path."""
        return f"{self.folder}/{kind}{number}_{attribute}"

    def label(self, round_: Round, kind: str, number: int) -> str:
        """Return what a channel calls itself; empty if it does not."""
        if "label" not in self.channels.get(kind, {}).get(number, ()):
            return ""
        return round_.label(self.path(kind, number, "label"))

    def enabled(self, round_: Round, kind: str, number: int) -> bool:
        """Say whether a channel is in use."""
        attributes = self.channels.get(kind, {}).get(number, frozenset())
        return "enable" not in attributes or round_.maybe(self.path(kind, number, "enable")) != 0


def find_chips(round_: Round) -> list[Chip]:
    """Return the chips that the class lists."""
    found = []
    for name, folder in round_.folders("class/hwmon", _CHIP):
        place, channels = folder, _channels(round_, folder)
        if not channels:  # Old drivers have their files in the device's folder.
            device = round_.folder(f"{folder}/device")
            if device is not None:
                place, channels = device, _channels(round_, device)
        driver = round_.label(f"{folder}/name") or round_.label(f"{place}/name") or name
        device_name = os.path.basename(round_.files.link(f"{folder}/device"))
        found.append((driver, device_name, name, place, channels))
    drivers = Counter(driver for driver, *_ in found)
    places = Counter((driver, device) for driver, device, *_ in found)
    return [
        Chip(
            _name(driver, device if device and places[driver, device] == 1 else name)
            if drivers[driver] > 1
            else driver,
            driver,
            place,
            channels,
        )
        for driver, device, name, place, channels in found
    ]


def _name(driver: str, device: str) -> str:
    """Return a name that begins with the driver's."""
    return device if device.startswith(driver) else f"{driver}@{device}"


def _channels(round_: Round, folder: str) -> dict[str, dict[int, frozenset[str]]]:
    seen: dict[str, dict[int, set[str]]] = {}
    for name in round_.files.names(folder):
        match = _ATTRIBUTE.fullmatch(name)
        if match:
            seen.setdefault(match[1], {}).setdefault(int(match[2]), set()).add(match[3])
    return {
        kind: {number: frozenset(attributes) for number, attributes in sorted(numbers.items())}
        for kind, numbers in seen.items()
    }


def read_temperatures(round_: Round, chip: Chip) -> list[SensorReading]:
    """Return a chip's temperatures with the limits that are set and an alarm that is raised."""
    readings = []
    for number, attributes in chip.channels.get("temp", {}).items():
        if "input" not in attributes or not chip.enabled(round_, "temp", number):
            continue
        limits: dict[str, float] = {}
        for limit in _UPPER_LIMITS:
            if limit in attributes:
                value_c = limit_c(round_.maybe(chip.path("temp", number, limit)))
                if value_c is not None:
                    limits[limit] = value_c
        readings.append(
            temperature(
                round_,
                f"{chip.name}/{chip.label(round_, 'temp', number) or f'temp{number}'}",
                chip.path("temp", number, "input"),
                limits,
                state=_alarm(round_, chip, number, attributes),
            )
        )
    return readings


def _alarm(round_: Round, chip: Chip, number: int, attributes: frozenset[str]) -> str:
    raised = (
        name
        for name in _ALARMS
        if name in attributes and round_.maybe(chip.path("temp", number, name)) == 1
    )
    return next(raised, "")


def read_fans(round_: Round, chip: Chip) -> list[SensorReading]:
    """Return a chip's fans."""
    return [
        round_.measure(
            SensorKind.FAN,
            f"{chip.name}/{chip.label(round_, 'fan', number) or f'fan{number}'}",
            "rpm",
            chip.path("fan", number, "input"),
            1.0,
            most=_MAX_RPM,
        )
        for number, attributes in chip.channels.get("fan", {}).items()
        if "input" in attributes and chip.enabled(round_, "fan", number)
    ]


def read_under_voltage(round_: Round, chip: Chip) -> list[SensorReading]:
    """Return a Raspberry Pi's under-voltage bit, which needs no tool (raspberrypi-hwmon.rst)."""
    if chip.driver != "rpi_volt" or "lcrit_alarm" not in chip.channels.get("in", {}).get(0, ()):
        return []
    path = chip.path("in", 0, "lcrit_alarm")
    return [round_.measure(SensorKind.THROTTLE, "rpi_volt/under_voltage", "1", path, 1.0, most=1.0)]
