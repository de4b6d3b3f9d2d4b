"""Which temperature the agent acts on: a pure function of the readings. docs/sensors.md has the order."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality

PROCESSOR: Final = "processor"
"""The name of the reading that says why there is no control temperature."""
_ZONE: Final = re.compile(r"thermal_zone[0-9]+/(.+)", re.DOTALL)
_CHIP: Final = r"(?:coretemp|k10temp|k8temp|zenpower)(?:\.[0-9]+|@[^/]+)?"
_SOC_CHIP: Final = r"(?:cpu|soc)[-_]?thermal(?:@[^/]+)?"
_NOT_THE_SOC: Final = re.compile(
    r"\?|acpi|pmic|board|diode|nvme|ssd|hdd|disk|drive|wi-?fi|wlan|phy\b|phy[-_0-9]|eth|mdio|modem"
    r"|batt|bms|charg|fan|skin|ambient|case|usb|emmc|ddr|dram|dimm|pch|int3400|sen[0-9]|xo[-_]|quiet"
    r"|virtual|^mt7|^mt76",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Tier:
    """Sensors that are equally good; the hottest of them counts."""

    zones: re.Pattern[str] | None = None
    """What a thermal zone's type must be."""
    chips: re.Pattern[str] | None = None
    """What a chip's reading must be called; only where no zone fits."""


_TIERS: Final = (
    _Tier(chips=re.compile(rf"{_CHIP}/(?:Package id [0-9]+|Physical id [0-9]+|Tctl)")),
    _Tier(chips=re.compile(rf"{_CHIP}/(?:Tdie|temp1|Core [0-9]+)")),
    _Tier(
        zones=re.compile(
            r"x86_pkg_temp|tcpu|b0d4|mtktscpu|bcm2835_thermal"
            r"|(?:cpu|soc)[-_0-9a-z]*therm(?:al)?(?:[-_](?:zone|sensor))?[-_0-9]*",
            re.IGNORECASE,
        ),
        chips=re.compile(rf"{_SOC_CHIP}/.+"),
    ),
    _Tier(zones=re.compile(r"tj(?:[-_]?therm(?:al)?)?", re.IGNORECASE)),
    _Tier(zones=re.compile(r".*therm.*|.*gpu.*|.*soc.*|.*cpu.*|.*npu.*", re.IGNORECASE)),
)
_LAST: Final = len(_TIERS) - 1


@dataclass(frozen=True, slots=True)
class Choice:
    """The control sensor's reading, and what to stay with in the next round."""

    reading: SensorReading
    """Without a value, with the reason, if there is none."""
    tier: int | None = None
    """Which kind of sensor it is; it is not left for a worse one while it is only silent."""

    @property
    def name(self) -> str | None:
        """Return the sensor's name; `None` if there is none."""
        return self.reading.name if self.reading.believed else None


def choose_temperature(
    readings: Sequence[SensorReading], wanted: str = "", held_tier: int | None = None
) -> Choice:
    """Return the sensor that stands for the processor: what is configured, else the best there is.

    `wanted` is a name, its last part, or a pattern with `*`. A sensor that was chosen before
    (`held_tier`) and gives no value now is lost: no worse one takes its place.
    """
    found = [each for each in readings if each.kind is SensorKind.TEMPERATURE]
    if wanted:
        return _configured(found, wanted)
    silent = ""
    for tier in range(len(_TIERS)):
        members = _members(found, tier)
        best = hottest([each for each in members if each.believed])
        if best is not None:
            return Choice(best, tier)
        if members:
            silent = silent or f"{members[0].name}: {members[0].reason}"
        if tier == held_tier:
            return Choice(
                _none(f"the sensor is lost: {silent or 'it is not there any more'}"), tier
            )
    if silent:
        return Choice(_none(silent))
    if not found:
        return Choice(_none("no thermal zone, no hwmon"))
    names = ", ".join(sorted({each.name for each in found})[:8])
    return Choice(_none(f"no sensor is surely the processor's (there are: {names})"))


def _configured(found: Sequence[SensorReading], wanted: str) -> Choice:
    members = [each for each in found if fits(each.name, wanted)]
    best = hottest([each for each in members if each.believed])
    if best is not None:
        return Choice(best)
    if members:
        return Choice(_none(f"{members[0].name}: {members[0].reason}"))
    return Choice(_none(f"the configured sensor {wanted!r} is not there"))


def fits(name: str, wanted: str) -> bool:
    """Say whether a reading is the one a configuration names."""
    return name == wanted or name.endswith(f"/{wanted}") or fnmatch.fnmatchcase(name, wanted)


def hottest(readings: Sequence[SensorReading]) -> SensorReading | None:
    """Return the reading with the highest value, the first of equal ones."""
    return max(readings, key=lambda each: each.value or 0.0, default=None)


def _members(found: Sequence[SensorReading], tier: int) -> list[SensorReading]:
    wanted = _TIERS[tier]
    zones, chips = [], []
    for reading in found:
        zone = _ZONE.fullmatch(reading.name)
        if zone and wanted.zones and wanted.zones.fullmatch(zone[1]):
            if tier != _LAST or not _NOT_THE_SOC.search(zone[1]):
                zones.append(reading)
        elif not zone and wanted.chips and wanted.chips.fullmatch(reading.name):
            chips.append(reading)
    return zones or chips


def _none(reason: str) -> SensorReading:
    return SensorReading(
        kind=SensorKind.TEMPERATURE,
        name=PROCESSOR,
        unit="°C",
        quality=Quality.UNKNOWN,
        reason=reason,
    )
