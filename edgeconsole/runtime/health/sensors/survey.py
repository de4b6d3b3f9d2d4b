"""Everything that files say: all collectors, one after the other."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from edgeconsole.protocol.sensors import SensorReading
from edgeconsole.runtime.health.sensors.cgroup import read_cgroup
from edgeconsole.runtime.health.sensors.graphics import read_cards, read_devfreq
from edgeconsole.runtime.health.sensors.hwmon import (
    find_chips,
    read_fans,
    read_temperatures,
    read_under_voltage,
)
from edgeconsole.runtime.health.sensors.hwmon_power import read_power
from edgeconsole.runtime.health.sensors.jetson import read_iio_rails
from edgeconsole.runtime.health.sensors.memory import read_memory
from edgeconsole.runtime.health.sensors.network import read_network
from edgeconsole.runtime.health.sensors.powercap import read_powercap
from edgeconsole.runtime.health.sensors.pressure import read_pressure
from edgeconsole.runtime.health.sensors.processor import (
    read_frequencies,
    read_throttle_counts,
    read_usage,
)
from edgeconsole.runtime.health.sensors.round import Round
from edgeconsole.runtime.health.sensors.storage import read_disks
from edgeconsole.runtime.health.sensors.supplies import read_supplies
from edgeconsole.runtime.health.sensors.thermal import read_cooling, read_zones

MAX_READINGS: Final = 2048
"""Of a tree with more, the last are dropped."""
_SOURCES: Final = (
    read_zones,
    read_cooling,
    read_powercap,
    read_iio_rails,
    read_supplies,
    read_usage,
    read_frequencies,
    read_throttle_counts,
    read_cards,
    read_devfreq,
    read_memory,
    read_cgroup,
    read_pressure,
    read_disks,
    read_network,
)
_OF_CHIPS: Final = (read_temperatures, read_fans, read_under_voltage, read_power)


def read_files(round_: Round) -> list[SensorReading]:
    """Return everything that files say."""
    readings: list[SensorReading] = []
    for chip in find_chips(round_):
        for of_chip in _OF_CHIPS:
            readings += of_chip(round_, chip)
    for source in _SOURCES:
        readings += source(round_)
    return unique(readings)


def read_heat(round_: Round) -> list[SensorReading]:
    """Return the temperatures alone."""
    readings = [each for chip in find_chips(round_) for each in read_temperatures(round_, chip)]
    return unique([*readings, *read_zones(round_)])


def unique(readings: Iterable[SensorReading]) -> list[SensorReading]:
    """Return the readings with names that are unique within their kind."""
    found = list(readings)[:MAX_READINGS]
    times = Counter((each.kind, each.name) for each in found)
    taken = {key for key, count in times.items() if count == 1}
    result = []
    for each in found:
        if times[each.kind, each.name] > 1:
            name = f"{each.name} ({os.path.basename(each.source)})"
            number = 1
            while (each.kind, name) in taken:
                number += 1
                name = f"{each.name} (#{number})"
            taken.add((each.kind, name))
            each = msgspec.structs.replace(each, name=name)  # noqa: PLW2901 - the same reading
        result.append(each)
    return result
