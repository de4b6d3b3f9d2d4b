"""What the device draws, from readings that overlap: a pure function. docs/sensors.md has the order.

Cores are part of the package, packages of the platform (powercap.rst), rails of what feeds the
board. Where nothing measures the whole, what is measured is summed, and the source says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.control import fits

TOTAL: Final = "total"
"""The name of a sum, and of the reading that says why there is no power."""
_INPUT_RAIL: Final = re.compile(r"(?:.*/)?(?:VDD_IN|POM_5V_IN)")
"""What feeds the whole module of a Jetson (jetson_stats)."""
_PLATFORM: Final = re.compile(r"psys(?:@.*)?")
_PACKAGE: Final = re.compile(r"package-[0-9]+(?:-die-[0-9]+)?(?:@.*)?")
_DRAM: Final = re.compile(r"(?:package-[0-9]+(?:-die-[0-9]+)?/)?dram(?:@.*)?")
_NVIDIA: Final = re.compile(r"nvidia[0-9]+/power")
_WHOLE_CHIP: Final = re.compile(
    r".*/(?:package|ppt|pin[0-9]*|psys|total|socket|input).*|pmic/sum", re.IGNORECASE
)
_POWERCAP: Final = "/sys/class/powercap/"


def total_power(readings: Sequence[SensorReading], wanted: str = "") -> SensorReading:
    """Return the reading that stands for the device's power; without a value, with the reason, if none does."""
    powers = [
        each
        for each in readings
        if each.kind is SensorKind.POWER and each.quality is not Quality.ESTIMATED
    ]
    if wanted:
        named = [each for each in readings if _is_power(each) and fits(each.name, wanted)]
        return _sum(named) if named else _none(f"the configured sensor {wanted!r} is not there")
    packages = _named(powers, _PACKAGE)
    ways: tuple[Sequence[SensorReading], ...] = (
        _named(powers, _INPUT_RAIL)[:1],
        _named(powers, _PLATFORM)[:1],
        _discharging(readings),
        [*packages, *_named(powers, _DRAM), *_named(powers, _NVIDIA)] if packages else (),
        list(_outermost(powers)),
    )
    silent: Sequence[SensorReading] = ()
    for parts in ways:
        if any(part.believed for part in parts):
            return _sum(parts)
        silent = silent or parts
    if silent:
        return _none(f"{silent[0].name}: {silent[0].reason}")
    return _none("nothing here measures power")


def _is_power(reading: SensorReading) -> bool:
    return reading.unit == "W" and reading.kind in (SensorKind.POWER, SensorKind.BATTERY)


def _named(powers: Iterable[SensorReading], pattern: re.Pattern[str]) -> list[SensorReading]:
    return [each for each in powers if pattern.fullmatch(each.name)]


def _discharging(readings: Sequence[SensorReading]) -> list[SensorReading]:
    """Return what the batteries give, if nothing else feeds the device."""
    if any(each.kind is SensorKind.SUPPLY and (each.value or 0.0) > 0 for each in readings):
        return []
    return [
        each
        for each in readings
        if each.kind is SensorKind.BATTERY and each.unit == "W" and each.state == "Discharging"
    ]


def _outermost(powers: Sequence[SensorReading]) -> Iterable[SensorReading]:
    """Yield what no other reading of the same chip contains."""
    by_chip: dict[str, list[SensorReading]] = {}
    for power in powers:
        if not power.source.startswith(_POWERCAP):
            by_chip.setdefault(power.name.rpartition("/")[0], []).append(power)
    for of_chip in by_chip.values():
        whole = [each for each in _named(of_chip, _WHOLE_CHIP) if each.believed]
        yield from whole or of_chip


def _sum(parts: Sequence[SensorReading]) -> SensorReading:
    known = [part for part in parts if part.believed]
    if not known:
        return _none(f"{parts[0].name}: {parts[0].reason}")
    if len(parts) == 1:
        return known[0]
    missing = [part.name for part in parts if not part.believed]
    return SensorReading(
        kind=SensorKind.POWER,
        name=TOTAL,
        value=sum(part.value or 0.0 for part in known),
        unit="W",
        source=" + ".join(part.name for part in known),
        quality=Quality.DERIVED,
        reason=f"without {', '.join(missing)}" if missing else "",
    )


def _none(reason: str) -> SensorReading:
    return SensorReading(kind=SensorKind.POWER, name=TOTAL, unit="W", reason=reason)
