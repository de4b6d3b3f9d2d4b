"""Readings from trees like the kernel's: only what is surely the processor's, else why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeconsole.protocol.telemetry import Quality, Reading
from edgeconsole.runtime.health.sensors import (
    EnergyCount,
    power_between,
    read_energy,
    read_temperature,
)


def zones(root: Path, *found: tuple[str, str | None]) -> Path:
    """Write thermal zones: their types, and what their `temp` says (`None`: unreadable)."""
    for number, (kind, temp) in enumerate(found):
        folder = root / "class" / "thermal" / f"thermal_zone{number}"
        folder.mkdir(parents=True)
        (folder / "type").write_text(f"{kind}\n")
        if temp is None:
            (folder / "temp").mkdir()  # Reading it fails, for root too.
        else:
            (folder / "temp").write_text(f"{temp}\n")
    return root


@pytest.mark.parametrize(
    "kind",
    [
        *("x86_pkg_temp", "cpu-thermal", "cpu_thermal", "CPU-thermal", "cpu0-thermal"),
        *("cpu12-thermal", "soc-thermal", "soc_thermal", "soc-max-thermal", "tj-thermal"),
        *("bcm2835_thermal", "cpu-thermal-zone"),
    ],
)
def test_processor_zones_are_known(tmp_path: Path, kind: str) -> None:
    """The names kernels give to processors are measured readings that name their source."""
    reading = read_temperature(zones(tmp_path, (kind, "51250")))
    source = f"thermal_zone0 ({kind})"
    assert reading == Reading(51.25, "°C", source, Quality.MEASURED)


@pytest.mark.parametrize(
    "kind",
    [
        *("PMIC-Die", "pmic_thermal", "Tboard_tegra", "Tdiode_tegra", "acpitz", "iwlwifi_1"),
        *("gpu-thermal", "nvme", "battery", "my-cpu-thermal-fan", "cpu", ""),
    ],
)
def test_other_zones_are_not_taken_for_the_processor(tmp_path: Path, kind: str) -> None:
    """Boards, power chips and radios are named in the reason, and give no value."""
    reading = read_temperature(zones(tmp_path, (kind, "99000")))
    assert (reading.value, reading.quality) == (None, Quality.UNKNOWN)
    assert f"no thermal zone is the processor's (there are: {kind or '?'})" == reading.reason


def test_the_hottest_processor_zone_is_chosen(tmp_path: Path) -> None:
    """Among board, power chip and two processor zones, the hotter processor zone counts."""
    found = (("Tboard_tegra", "95000"), ("cpu-thermal", "61000"), ("PMIC-Die", "100000"))
    reading = read_temperature(zones(tmp_path, *found, ("tj-thermal", "63500")))
    assert (reading.value, reading.source) == (63.5, "thermal_zone3 (tj-thermal)")


@pytest.mark.parametrize("temp", ["-40001", "125001", "-274000", "2147483647", "hot", "", None])
def test_implausible_zones_are_unknown_with_the_reason(tmp_path: Path, temp: str | None) -> None:
    """What silicon cannot have, and what cannot be read, is not shown; the zone is named."""
    reading = read_temperature(zones(tmp_path, ("acpitz", "40000"), ("cpu-thermal", temp)))
    assert (reading.value, reading.quality, reading.unit) == (None, Quality.UNKNOWN, "°C")
    assert reading.reason == "thermal_zone1 (cpu-thermal) cannot be read or is not plausible"


@pytest.mark.parametrize("temp", ["-40000", "0", "125000"])
def test_the_ends_of_the_plausible_range_count(tmp_path: Path, temp: str) -> None:
    """Frost, zero and the limit itself are temperatures."""
    assert read_temperature(zones(tmp_path, ("cpu-thermal", temp))).value == int(temp) / 1000


def test_a_broken_zone_does_not_hide_a_good_one(tmp_path: Path) -> None:
    """One unreadable processor zone leaves the others."""
    found = (("cpu0-thermal", None), ("cpu1-thermal", "45000"), ("cpu2-thermal", "999999"))
    assert read_temperature(zones(tmp_path, *found)).value == 45.0


def test_no_zone_is_unknown_with_the_reason(tmp_path: Path) -> None:
    """A machine without thermal zones says just that."""
    reading = read_temperature(tmp_path)
    assert (reading.value, reading.reason) == (None, "the kernel exposes no thermal zone")


def test_a_zone_without_a_type_is_nobodys(tmp_path: Path) -> None:
    """A zone whose type cannot be read is listed as unknown."""
    (tmp_path / "class" / "thermal" / "thermal_zone0").mkdir(parents=True)
    assert "(there are: ?)" in read_temperature(tmp_path).reason


# Power.


def package(
    root: Path, zone: str, name: str, energy: int | None, wraps_at: int | None = 2**32
) -> Path:
    """Write a powercap zone; without energy it is as root-only files are to others."""
    folder = root / "class" / "powercap" / zone
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    if energy is None:
        (folder / "energy_uj").mkdir()
    else:
        (folder / "energy_uj").write_text(f"{energy}\n")
    if wraps_at is not None:
        (folder / "max_energy_range_uj").write_text(f"{wraps_at}\n")
    return root


def test_packages_are_counted_once(tmp_path: Path) -> None:
    """Cores and memory inside a package are not added to it, nor other kinds of zones."""
    package(tmp_path, "intel-rapl:0", "package-0", 100)
    package(tmp_path, "intel-rapl:0:0", "core", 60)
    package(tmp_path, "intel-rapl:1", "package-1", 200)
    package(tmp_path, "intel-rapl:2", "psys", 900)
    package(tmp_path, "intel-rapl-mmio:0", "package-0", 100)
    found = read_energy(tmp_path, 5.0)
    assert found == EnergyCount(
        5.0, {"intel-rapl:0": 100, "intel-rapl:1": 200}, dict.fromkeys(found.wraps_at, 2**32), ""
    )


def test_no_counter_is_a_reason(tmp_path: Path) -> None:
    """Without packages there is a reason, which the power reading repeats."""
    package(tmp_path, "intel-rapl:0:0", "core", 60)
    count = read_energy(tmp_path, 1.0)
    assert count.reason == "the kernel exposes no processor energy counter"
    assert power_between(count, count) == Reading(unit="W", reason=count.reason)


def test_a_counter_for_root_only_is_a_reason(tmp_path: Path) -> None:
    """Counters that cannot be read are told from counters that are not there."""
    package(tmp_path, "intel-rapl:0", "package-0", None)
    count = read_energy(tmp_path, 1.0)
    assert count.reason == "the energy counter is readable by root only"
    assert power_between(None, count).reason == count.reason


def counts(*microjoules: int, at_s: float, wraps_at: int = 2**32) -> EnergyCount:
    """Return a count of one or more packages."""
    found = {f"intel-rapl:{index}": count for index, count in enumerate(microjoules)}
    return EnergyCount(at_s, found, dict.fromkeys(found, wraps_at), "")


@pytest.mark.parametrize(
    ("before", "after", "watts"),
    [
        (counts(0, at_s=0.0), counts(15_000_000, at_s=1.0), 15.0),
        (counts(0, at_s=0.0), counts(15_000_000, at_s=2.0), 7.5),
        (counts(7, at_s=0.0), counts(7, at_s=1.0), 0.0),
        (counts(10, 20, at_s=0.0), counts(2_000_010, 3_000_020, at_s=1.0), 5.0),
        (counts(2**32 - 4_000_000, at_s=0.0), counts(6_000_000, at_s=1.0), 10.0),
    ],
    ids=["one second", "two seconds", "idle", "two packages", "wrapped around"],
)
def test_power_is_energy_over_time(before: EnergyCount, after: EnergyCount, watts: float) -> None:
    """The mean power is derived from two counts, also across the counter's wrap-around."""
    reading = power_between(before, after)
    assert reading.value == pytest.approx(watts)
    assert (reading.unit, reading.quality) == ("W", Quality.DERIVED)
    assert "processor package, not the board" in reading.source
    assert all(zone in reading.source for zone in after.microjoules)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (None, counts(5, at_s=1.0), "needs a second reading"),
        (counts(5, at_s=1.0), counts(9, at_s=1.1), "needs a second reading"),
        (counts(5, at_s=1.0), counts(5, 9, at_s=2.0), "needs a second reading"),
        (counts(9_000_000, at_s=1.0), counts(5, at_s=2.0, wraps_at=0), "was reset"),
        (counts(9_000_000, at_s=1.0), counts(5, at_s=2.0, wraps_at=2**40), "was reset"),
        (counts(5, at_s=1.0), counts(2_001_000_005, at_s=2.0), "was reset"),
    ],
    ids=["first", "too soon", "a package more", "no range", "reset", "too much"],
)
def test_power_is_unknown_with_the_reason(
    before: EnergyCount | None, after: EnergyCount, reason: str
) -> None:
    """Nothing is shown for a first count, a reset counter or an interval too short to trust."""
    reading = power_between(before, after)
    assert (reading.value, reading.quality, reading.unit) == (None, Quality.UNKNOWN, "W")
    assert reason in reading.reason


def test_a_counter_without_a_range_still_counts(tmp_path: Path) -> None:
    """A kernel that names no range gives power as long as the counter rises."""
    readings = []
    for at_s, energy in ((0.0, 1_000_000), (1.0, 4_000_000)):
        package(tmp_path, "intel-rapl:0", "package-0", energy, None)
        readings.append(read_energy(tmp_path, at_s))
    assert power_between(*readings).value == pytest.approx(3.0)
