"""Power of hwmon chips: energy counters, then averages, then inputs, then known pairs of V and A.

The order and the pairs are Kepler's (internal/device/hwmon): the same index does not mean the
same rail, so a chip that is not in the table gives no power from volts and amperes. Sources: the
kernel's ina3221.rst (in4 to in6 are shunts, in7 their sum), ina2xx.rst (in0 is the shunt),
max20730.rst (the current is the output's).
"""

from __future__ import annotations

from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.counters import MAX_PLAUSIBLE_W, power_of
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.hwmon import Chip
from edgeconsole.runtime.health.sensors.round import Round, implausible

_SINGLE: Final = {1: (1, "ch1")}
_OUTPUT: Final = {1: (2, "vout")}
_PAIRS: Final[dict[str, dict[int, tuple[int, str]]]] = {
    "ina3221": {number: (number, f"ch{number}") for number in (1, 2, 3)},
    **dict.fromkeys(("ina209", "ina219", "ina220", "ina226", "ina230", "ina231"), _SINGLE),
    **dict.fromkeys(("ina232", "ina233", "ina234", "ina237", "ina238", "ina260"), _SINGLE),
    **dict.fromkeys(("max20710", "max20730", "max20734", "max20743"), _OUTPUT),
}
"""By driver and number of the current: the voltage's number, and a name for the rail."""
_NOT_CONNECTED: Final = "NC"


def read_power(round_: Round, chip: Chip) -> list[SensorReading]:
    """Return a chip's energies and powers; each rail once, by the best way that has a value."""
    energies = _energies(round_, chip)
    at_s = round_.clock()
    ways = {
        number: [power_of(round_, energy.name, energy, at_s)] for number, energy in energies.items()
    }
    for number, attributes in chip.channels.get("power", {}).items():
        name = _name(round_, chip, "power", number, str(number))
        if not name:
            continue
        for attribute in ("average", "input"):
            if attribute in attributes:
                ways.setdefault(number, []).append(_watts(round_, chip, name, number, attribute))
    if not ways:
        return _from_pairs(round_, chip)
    best = [
        next((way for way in of_rail if way.value is not None), of_rail[0])
        for of_rail in ways.values()
    ]
    return [*energies.values(), *best]


def _name(round_: Round, chip: Chip, kind: str, number: int, otherwise: str) -> str:
    """Return a channel's name; empty if it is off or leads nowhere."""
    label = chip.label(round_, kind, number)
    if label == _NOT_CONNECTED or not chip.enabled(round_, kind, number):
        return ""
    return f"{chip.name}/{label or otherwise}"


def _energies(round_: Round, chip: Chip) -> dict[int, SensorReading]:
    readings = {}
    for number, attributes in chip.channels.get("energy", {}).items():
        name = _name(round_, chip, "energy", number, str(number))
        if name and "input" in attributes:
            path = chip.path("energy", number, "input")
            readings[number] = round_.measure(SensorKind.ENERGY, name, "J", path, 1e6)
    return readings


def _watts(round_: Round, chip: Chip, name: str, number: int, attribute: str) -> SensorReading:
    limits: dict[str, float] = {}
    for limit in ("cap", "max", "crit"):
        if limit in chip.channels["power"][number]:
            microwatts = round_.maybe(chip.path("power", number, limit))
            if microwatts is not None and 0 < microwatts <= MAX_PLAUSIBLE_W * 1e6:
                limits[limit] = microwatts / 1e6
    path = chip.path("power", number, attribute)
    return round_.measure(
        SensorKind.POWER, name, "W", path, 1e6, most=MAX_PLAUSIBLE_W, limits=limits
    )


def _from_pairs(round_: Round, chip: Chip) -> list[SensorReading]:
    """Return volts times amperes where it is known which belong together."""
    volts, amperes = chip.channels.get("in", {}), chip.channels.get("curr", {})
    pairs = _PAIRS.get(chip.driver)
    if pairs is None:
        return [
            round_.unknown(
                SensorKind.POWER,
                _name(round_, chip, "curr", number, f"ch{number}") or f"{chip.name}/ch{number}",
                "W",
                chip.path("curr", number, "input"),
                f"which voltage of {chip.driver} belongs to this current is not known",
            )
            for number, attributes in amperes.items()
            if volts and "input" in attributes
        ]
    readings = []
    for number, (at, rail) in pairs.items():
        if at not in volts and number not in amperes:
            continue
        label = chip.label(round_, "in", at) or chip.label(round_, "curr", number)
        in_use = chip.enabled(round_, "in", at) and chip.enabled(round_, "curr", number)
        if label != _NOT_CONNECTED and in_use:
            readings.append(_rail(round_, chip, f"{chip.name}/{label or rail}", at, number))
    return readings


def _rail(round_: Round, chip: Chip, name: str, at: int, number: int) -> SensorReading:
    source = f"{chip.path('in', at, 'input')} × curr{number}_input"
    if not chip.channels.get("in", {}).get(at):
        reason = f"there is a current and no voltage in{at} to go with it"
        return round_.unknown(SensorKind.POWER, name, "W", source, reason)
    if not chip.channels.get("curr", {}).get(number):
        reason = f"there is a voltage and no current curr{number} to go with it"
        return round_.unknown(SensorKind.POWER, name, "W", source, reason)
    try:
        millivolts = _best(round_, chip, "in", at)
        milliamperes = _best(round_, chip, "curr", number)
    except UnreadError as error:
        return round_.unknown(SensorKind.POWER, name, "W", source, error.reason)
    watts = millivolts * milliamperes / 1e6
    if not 0.0 <= watts <= MAX_PLAUSIBLE_W:
        reason = implausible(watts, "W")
        return round_.unknown(SensorKind.POWER, name, "W", source, reason)
    limits = {}
    for limit in ("max", "crit"):  # The over-current alarms of a Jetson, in A.
        if limit in chip.channels["curr"][number]:
            most = round_.maybe(chip.path("curr", number, limit))
            if most is not None and 0 < most < 1_000_000:
                limits[f"current_{limit}_a"] = most / 1000
    return round_.reading(
        SensorKind.POWER, name, watts, "W", source, quality=Quality.DERIVED, limits=limits
    )


def _best(round_: Round, chip: Chip, kind: str, number: int) -> int:
    """Return the average, else the momentary value; raises `UnreadError`."""
    if "average" in chip.channels[kind][number]:
        average = round_.maybe(chip.path(kind, number, "average"))
        if average is not None:
            return average
    return round_.number(chip.path(kind, number, "input"))
