"""Temperature and power from sysfs: only what is surely the processor's, else unknown and why.

Blocking; the monitor calls it in a thread. Sources: the kernel's thermal `sysfs-api.rst` and
`powercap.rst`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeconsole.protocol.telemetry import Quality, Reading

# Zone types that kernels give to processors; boards, PMICs, radios and disks are not in it.
_CPU_ZONE: Final = re.compile(
    r"x86_pkg_temp|cpu[-_]?thermal|cpu\d*[-_]thermal|soc[-_]?(max)?[-_]?thermal|tj[-_]thermal|TJ|"
    r"cpu-thermal-zone|bcm2835_thermal",
    re.IGNORECASE,
)
_PLAUSIBLE_C: Final = (-40.0, 125.0)
_MIN_INTERVAL_S: Final = 0.2
_MAX_PLAUSIBLE_W: Final = 2000.0
"""A counter that was reset looks like a wrap; no edge processor draws so much."""


def read_temperature(sysfs_root: Path) -> Reading:
    """Return the hottest processor zone in °C, or unknown with the reason."""
    zones = sorted((sysfs_root / "class" / "thermal").glob("thermal_zone*"))
    if not zones:
        return Reading(unit="°C", reason="the kernel exposes no thermal zone")
    seen: list[str] = []
    unusable = ""
    best: Reading | None = None
    for zone in zones:
        kind = _text(zone / "type") or "?"
        seen.append(kind)
        if not _CPU_ZONE.fullmatch(kind):
            continue
        milli_c = _integer(zone / "temp")
        if milli_c is None or not _PLAUSIBLE_C[0] <= milli_c / 1000 <= _PLAUSIBLE_C[1]:
            unusable = f"{zone.name} ({kind}) cannot be read or is not plausible"
            continue
        value = milli_c / 1000
        if best is None or best.value is None or value > best.value:
            best = Reading(value, "°C", f"{zone.name} ({kind})", Quality.MEASURED)
    if best is not None:
        return best
    if unusable:
        return Reading(unit="°C", reason=unusable)
    names = ", ".join(sorted(set(seen)))
    return Reading(unit="°C", reason=f"no thermal zone is the processor's (there are: {names})")


@dataclass(frozen=True, slots=True)
class EnergyCount:
    """A package energy counter at one moment: monotonic seconds, and µJ by zone."""

    at_s: float
    microjoules: dict[str, int]
    wraps_at: dict[str, int]
    reason: str


def read_energy(sysfs_root: Path, now_s: float) -> EnergyCount:
    """Return the package counters of powercap, each package once."""
    counts: dict[str, int] = {}
    wraps: dict[str, int] = {}
    zones = sorted((sysfs_root / "class" / "powercap").glob("intel-rapl:*"))
    packages = [zone for zone in zones if (_text(zone / "name") or "").startswith("package-")]
    for zone in packages:
        count = _integer(zone / "energy_uj")
        if count is not None:
            counts[zone.name] = count
            wraps[zone.name] = _integer(zone / "max_energy_range_uj") or 0
    reason = ""
    if not packages:
        reason = "the kernel exposes no processor energy counter"
    elif not counts:
        reason = "the energy counter is readable by root only"
    return EnergyCount(now_s, counts, wraps, reason)


def power_between(before: EnergyCount | None, after: EnergyCount) -> Reading:
    """Return the mean power in W between two counts, or unknown with the reason."""
    if after.reason or before is None:
        return Reading(unit="W", reason=after.reason or "needs a second reading of the counter")
    seconds = after.at_s - before.at_s
    if seconds < _MIN_INTERVAL_S or before.microjoules.keys() != after.microjoules.keys():
        return Reading(unit="W", reason="needs a second reading of the counter")
    joules = 0.0
    for zone, count in after.microjoules.items():
        delta = count - before.microjoules[zone]
        joules += (delta + after.wraps_at[zone] if delta < 0 else delta) / 1e6
    watts = joules / seconds
    if not 0.0 <= watts <= _MAX_PLAUSIBLE_W:
        return Reading(unit="W", reason="the energy counter was reset")
    names = "+".join(sorted(after.microjoules))
    return Reading(watts, "W", f"{names} (processor package, not the board)", Quality.DERIVED)


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(4096).decode(errors="replace").strip()
    except OSError:
        return None


def _integer(path: Path) -> int | None:
    text = _text(path)
    try:
        return int(text) if text else None
    except ValueError:
        return None
