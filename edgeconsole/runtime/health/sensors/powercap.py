"""Energy of processor packages (RAPL, Intel's and AMD's) and of other powercap zones.

Source: the kernel's powercap.rst. Counters wrap at `max_energy_range_uj`; they are for root only
since CVE-2020-8694. The same package shows under `intel-rapl` and `intel-rapl-mmio`: it counts once.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.counters import MAX_PLAUSIBLE_W, power_of
from edgeconsole.runtime.health.sensors.round import Round

_ZONE: Final = re.compile(r"([a-z][a-z0-9-]{0,31}):([0-9a-f]{1,8}(?::[0-9a-f]{1,8})*)")
_ALWAYS_ON: Final = re.compile(r"package|psys")
_MODELLED: Final = "dtpm"
"""Dynamic thermal power management: its watts come from the kernel's energy model."""


@dataclass(frozen=True, slots=True)
class _Zone:
    control: str
    place: str
    """Its numbers, such as `0:1` for the second part of the first zone."""
    name: str
    folder: str


def read_powercap(round_: Round) -> list[SensorReading]:
    """Return each zone's energy and power, named `package-0`, or `package-0/core` where two share a name."""
    zones = _zones(round_)
    by_place = {(zone.control, zone.place): zone.name for zone in zones}
    names = Counter(zone.name for zone in zones)
    readings: list[SensorReading] = []
    for zone in zones:
        parent = by_place.get((zone.control, zone.place.rpartition(":")[0]))
        name = zone.name
        if names[name] > 1:
            name = f"{parent}/{name}" if parent else f"{name}@{zone.control}:{zone.place}"
        readings += _read_zone(round_, zone, name)
    return readings


def _zones(round_: Round) -> list[_Zone]:
    """Return the zones; what `intel-rapl` has is left out of other control types of RAPL."""
    found = []
    for folder_name, folder in round_.folders("class/powercap", _ZONE):
        match = _ZONE.fullmatch(folder_name)
        assert match is not None
        name = round_.label(f"{folder}/name")
        if name:
            found.append(_Zone(match[1], match[2], name, folder))
    msr = {_family(zone, found) for zone in found if zone.control == "intel-rapl"}
    return [
        zone
        for zone in found
        if zone.control == "intel-rapl"
        or "rapl" not in zone.control
        or _family(zone, found) not in msr
    ]


def _family(zone: _Zone, zones: list[_Zone]) -> tuple[str, ...]:
    """Return the names from the outermost zone to this one."""
    above = zone.place.rpartition(":")[0]
    for other in zones:
        if above and other.control == zone.control and other.place == above:
            return (*_family(other, zones), zone.name)
    return (zone.name,)


def _read_zone(round_: Round, zone: _Zone, name: str) -> list[SensorReading]:
    path = f"{zone.folder}/energy_uj"
    files = round_.files.names(zone.folder)
    if os.path.basename(path) in files:
        energy = round_.measure(SensorKind.ENERGY, name, "J", path, 1e6)
        at_s = round_.clock()
        wraps_at_j = max(0, round_.maybe(f"{zone.folder}/max_energy_range_uj") or 0) / 1e6
        limits = {} if not wraps_at_j else {"wraps_at": wraps_at_j}
        power = power_of(round_, name, energy, at_s, wraps_at_j)
        if power.value == 0.0 and _ALWAYS_ON.match(zone.name):
            reason = "the counter stands still, which a processor's never does"
            power = round_.unknown(SensorKind.POWER, name, "W", path, reason)
        return [
            round_.reading(
                SensorKind.ENERGY,
                name,
                energy.value,
                "J",
                path,
                reason=energy.reason,
                limits=limits,
            ),
            power,
        ]
    if "power_uw" in files:
        power = round_.measure(
            SensorKind.POWER, name, "W", f"{zone.folder}/power_uw", 1e6, most=MAX_PLAUSIBLE_W
        )
        if zone.control == _MODELLED and power.value is not None:
            power = round_.reading(
                SensorKind.POWER,
                name,
                power.value,
                "W",
                f"{zone.folder}/power_uw",
                quality=Quality.ESTIMATED,
                reason="from the kernel's energy model",
            )
        return [power]
    return []
