"""Frequencies and throttling of processors, and how busy they are.

Sources: the kernel's cpu-freq user guide (a `scaling_cur_freq` may be what was asked for, not what
is), arch/x86 therm_throt.c, proc_stat(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from edgeconsole.protocol.sensors import SensorKind, SensorReading
from edgeconsole.protocol.telemetry import Quality
from edgeconsole.runtime.health.sensors.files import UnreadError
from edgeconsole.runtime.health.sensors.round import Count, Round, whole_number

_CPU: Final = re.compile(r"cpu[0-9]{1,5}")
_CPUS: Final = "devices/system/cpu"
_FREQUENCIES: Final = ("scaling_cur_freq", "cpuinfo_cur_freq")
_LIMITS: Final = (
    ("max", "scaling_max_freq"),
    ("min", "scaling_min_freq"),
    ("hardware_max", "cpuinfo_max_freq"),
)
_MAX_KHZ: Final = 20_000_000
_TIMES: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_RESTING: Final = frozenset({"idle", "iowait"})


def read_frequencies(round_: Round) -> list[SensorReading]:
    """Return each processor's frequency; limits are what it may have now, and what it can."""
    readings = []
    for name, folder in round_.folders(_CPUS, _CPU):
        policy = round_.folder(f"{folder}/cpufreq")
        if policy is None:
            continue
        limits = {}
        for limit, file in _LIMITS:
            khz = round_.maybe(f"{policy}/{file}")
            if khz is not None and 0 < khz <= _MAX_KHZ:
                limits[limit] = khz / 1000
        readings.append(_frequency(round_, name, policy, limits))
    return readings


def _frequency(round_: Round, name: str, policy: str, limits: dict[str, float]) -> SensorReading:
    found = [
        round_.measure(
            SensorKind.FREQUENCY,
            name,
            "MHz",
            f"{policy}/{file}",
            1e3,
            least=1e-3,
            most=_MAX_KHZ / 1000,
            limits=limits,
        )
        for file in _FREQUENCIES
    ]
    return next((each for each in found if each.value is not None), found[0])


def read_throttle_counts(round_: Round) -> list[SensorReading]:
    """Return how often cores and packages were slowed down; a package's count is on all its cores."""
    readings = []
    packages: dict[str, SensorReading] = {}
    for name, folder in round_.folders(_CPUS, _CPU):
        counters = f"{folder}/thermal_throttle"
        if not round_.files.is_folder(counters):
            continue
        path = f"{counters}/core_throttle_count"
        readings.append(
            round_.measure(SensorKind.THROTTLE, f"{name}/core_throttle_count", "1", path, 1.0)
        )
        number = round_.maybe(f"{folder}/topology/physical_package_id")
        package = name if number is None else f"package-{number}"
        count = round_.measure(
            SensorKind.THROTTLE,
            f"{package}/package_throttle_count",
            "1",
            f"{counters}/package_throttle_count",
            1.0,
        )
        most = packages.get(package)
        if most is None or (count.value or 0.0) > (most.value or 0.0):
            packages[package] = count
    return [*readings, *packages.values()]


def read_usage(round_: Round) -> list[SensorReading]:
    """Return the shares of processor time since the round before; unknown if a total went down."""
    path = round_.proc("stat")
    try:
        times = _times(round_.lines(path))
    except UnreadError as error:
        return [round_.unknown(SensorKind.CPU, "busy", "%", path, error.reason)]
    at_s = round_.clock()
    before = {name: round_.count(f"cpu/{name}", value, at_s) for name, value in times.items()}
    shares = _shares(times, before)
    if shares is None:
        reason = "needs a second reading"
        if all(before.values()):
            reason = "the counted time did not grow"
        return [round_.unknown(SensorKind.CPU, "busy", "%", path, reason)]
    busy = sum(share for name, share in shares.items() if name not in _RESTING)
    return [
        round_.reading(SensorKind.CPU, name, share, "%", path, quality=Quality.DERIVED)
        for name, share in (("busy", busy), *shares.items())
    ]


def _times(lines: Iterable[str]) -> dict[str, float]:
    for line in lines:
        words = line.split()
        if words and words[0] == "cpu":
            found = zip(_TIMES, words[1:], strict=False)
            return {name: float(whole_number(word)) for name, word in found}
    raise UnreadError("has no line of all processors")


def _shares(times: dict[str, float], before: dict[str, Count | None]) -> dict[str, float] | None:
    """Return percentages; a time that went down alone (iowait does) counts as none."""
    if not times or any(count is None for count in before.values()):
        return None
    spent = {name: value - count.value for name, value in times.items() if (count := before[name])}
    if sum(spent.values()) <= 0:
        return None
    grown = {name: max(0.0, value) for name, value in spent.items()}
    total = sum(grown.values())
    return {name: 100 * value / total for name, value in grown.items()}
